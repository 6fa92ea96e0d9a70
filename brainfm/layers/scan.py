"""The selective scan: a linear recurrence whose step, input and output follow the signal.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752.
Each channel d has a state h of a few numbers, and with Δ > 0 and A < 0

    h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t        y_t = C_t · h_t + D u_t

A large Δ_t forgets the past and takes in u_t, a small one holds the state. Four paths compute the same
numbers; `running` says which one runs:

===========  ========================================================================================
reference    the recurrence as it is written, `recurrence`; autograd keeps every state
torch        the same in chunks, with a backward pass of its own; any device, nothing to compile
numba        compiled for the processor at the first call (`brainfm.layers.scan_compiled`)
cuda         mamba-ssm's fused kernel
===========  ========================================================================================

``auto`` takes ``cuda`` for tensors on a CUDA device where mamba-ssm is installed, ``numba`` for float32
and float64 on the processor where numba is installed, and ``torch`` otherwise. A path that is named and
cannot run is refused where it is to run; nothing falls back to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu, softplus

from brainfm.errors import UsageError

Backend = Literal["auto", "reference", "torch", "numba", "cuda"]
Kernel = Literal["reference", "torch", "numba", "cuda"]
CHUNK = 16  # steps whose states are held at once

Series = Float[Tensor, "batch channel time"]
Matrix = Float[Tensor, "channel state"]
Selection = Float[Tensor, "batch state time"]
PerChannel = Float[Tensor, " channel"]


def running(backend: Backend, device: torch.device | str) -> Kernel:
    """Return the path that ``backend`` means for tensors on ``device``.

    Raises
    ------
    UsageError
        If the path is named and cannot run there.
    """
    if backend == "auto":
        compiled: tuple[Kernel, ...] = ("cuda", "numba")
        return next((path for path in compiled if can_run(path, device)), "torch")
    if not can_run(backend, device):
        where = torch.device(device).type
        package, wanted = {"cuda": ("mamba", "a CUDA device"), "numba": ("fast", "the processor")}[
            backend
        ]
        raise UsageError(
            f"The scan {backend!r} cannot run on {where!r} here: it wants {wanted} and "
            f"`pip install 'brainfm[{package}]'`; install that or choose scan: auto."
        )
    return backend


def can_run(backend: Backend, device: torch.device | str) -> bool:
    """Return whether a path can run on ``device`` here; ``auto`` always can."""
    where = torch.device(device).type
    if backend == "cuda":
        return where == "cuda" and _has("mamba_ssm")
    return backend != "numba" or (where == "cpu" and _has("numba"))


def _has(package: str) -> bool:
    return find_spec(package) is not None


def selective_scan(
    u: Series,
    delta: Series,
    A: Matrix,
    B: Selection,
    C: Selection,
    *,
    D: PerChannel | None = None,
    z: Series | None = None,
    delta_bias: PerChannel | None = None,
    delta_softplus: bool = False,
    backend: Backend = "auto",
) -> Series:
    """Scan a signal; arguments and result are those of mamba-ssm's ``selective_scan_fn``.

    Sums run in float32 or, for float64 inputs, in float64, also under autocast; the result has the
    type of ``u``.

    Parameters
    ----------
    u
        the signal.
    delta
        the step Δ of each channel and moment, before bias and softplus where there are any.
    A
        how fast each state decays, negative.
    B, C
        how the signal enters the states and how they are read.
    D
        how much of the signal passes by the states.
    z
        a gate; the result is multiplied by silu(z).
    delta_bias
        added to ``delta``.
    delta_softplus
        True where the step is softplus(delta + delta_bias).
    backend
        the path, see `running`.

    Raises
    ------
    UsageError
        If the path is named and cannot run here.
    """
    path = running(backend, u.device)
    if u.shape[-1] == 0:
        return u.clone()
    if path == "cuda":
        skip, bias = (x if x is None else x.float() for x in (D, delta_bias))  # it insists
        return _fused()(u, delta, A.float(), B, C, skip, z, bias, delta_softplus)
    with torch.autocast(u.device.type, enabled=False):
        exact = torch.promote_types(u.dtype, torch.float32)
        signal, step, A, B, C = (x.to(exact) for x in (u, delta, A, B, C))
        if delta_bias is not None:
            step = step + delta_bias.to(exact).unsqueeze(-1)
        if delta_softplus:
            step = softplus(step)
        y = _scan(path, signal, step, A, B, C)
        if D is not None:
            y = torch.addcmul(y, D.to(exact).unsqueeze(-1), signal)
        return (y if z is None else y * silu(z.to(exact))).to(u.dtype)


def _fused() -> Callable[..., Tensor]:
    try:
        from mamba_ssm.ops import selective_scan_interface  # ty: ignore[import-not-found]
    except ImportError as error:
        raise UsageError(
            f"mamba-ssm is installed and cannot be imported ({error}); install the build for this "
            "PyTorch and CUDA, or choose scan: torch."
        ) from error
    return selective_scan_interface.selective_scan_fn


def _scan(path: Kernel, u: Series, delta: Series, A: Matrix, B: Selection, C: Selection) -> Series:
    if path == "reference":
        return recurrence(u, delta, A, B, C)
    if path == "numba":
        from brainfm.layers.scan_compiled import Compiled

        return Compiled.apply(u, delta, A, B, C)
    return Chunked.apply(u, delta, A, B, C)


def recurrence(u: Series, delta: Series, A: Matrix, B: Selection, C: Selection) -> Series:
    """Compute the scan as it is written down, one step after the other."""
    h = u.new_zeros(*u.shape[:2], A.shape[1])
    y = []
    for t in range(u.shape[-1]):
        step = delta[:, :, t, None]
        h = torch.exp(step * A) * h + step * B[:, None, :, t] * u[:, :, t, None]
        y.append((h * C[:, None, :, t]).sum(-1))
    return torch.stack(y, -1)


class Chunked(torch.autograd.Function):
    """The scan in plain PyTorch, with memory that grows with the length and not with length × state.

    Only the state before each chunk is kept. The backward pass computes the states of one chunk
    again, then runs the adjoint recurrence g_t = C_t ∂y_t + exp(Δ_{t+1} A) g_{t+1} backwards through
    it. A step is one fused multiply-add on (batch, state, channel). Time is the first axis and channels
    the last, so that a step is one piece of memory and the vectors are long.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Series, delta: Series, A: Matrix, B: Selection, C: Selection
    ) -> Series:
        """Return y; a chunk is at least as long as a state, so that what is kept is no more than u."""
        u, delta, B, C = (_time_first(x) for x in (u, delta, B, C))
        A = A.t().contiguous()
        y, h, kept = torch.empty_like(u), u.new_zeros(u.shape[1], *A.shape), []
        for span in _spans(u, A):
            kept.append(h)
            _, states = _states(h, u[span], delta[span], A, B[span])
            y[span] = (C[span].unsqueeze(2) @ states).squeeze(2)
            h = states[-1].clone()
        ctx.save_for_backward(u, delta, A, B, C, *kept)
        return _time_last(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Series) -> tuple[Tensor, ...]:
        """Return the gradients of u, Δ, A, B and C."""
        u, delta, A, B, C, *kept = ctx.saved_tensors
        series = (u, delta, B, C, _time_first(grad))
        grads, dA = [torch.empty_like(x) for x in series[:4]], torch.zeros_like(kept[0])
        carry = torch.zeros_like(kept[0])
        for span, h in reversed(list(zip(_spans(u, A), kept, strict=True))):
            carry, parts = _adjoint(h, carry, dA, A, *(x[span] for x in series))
            for whole, part in zip(grads, parts, strict=True):
                whole[span] = part
        du, ddelta, dB, dC = (_time_last(x) for x in grads)
        return du, ddelta, dA.sum(0).t(), dB, dC


def _time_first(x: Tensor) -> Tensor:
    """Return (batch, row, time) as (time, batch, row), in memory too; PyTorch is fast in 2-D only."""
    return x.flatten(0, 1).t().contiguous().unflatten(1, x.shape[:2])


def _time_last(x: Tensor) -> Tensor:
    return x.flatten(1).t().contiguous().unflatten(0, x.shape[1:])


def _spans(u: Tensor, A: Tensor) -> Iterator[slice]:
    chunk = max(CHUNK, len(A))
    return (slice(start, start + chunk) for start in range(0, len(u), chunk))


def _states(h: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Return decays and states, (time, batch, state, channel), of a chunk that starts from ``h``."""
    decay = (delta.unsqueeze(2) * A).exp_()
    states = (delta * u).unsqueeze(2) * B.unsqueeze(3)
    for factor, state in zip(decay, states, strict=True):
        h = state.addcmul_(factor, h)
    return decay, states


def _adjoint(
    h: Tensor,
    carry: Tensor,
    dA: Tensor,
    A: Tensor,
    u: Tensor,
    delta: Tensor,
    B: Tensor,
    C: Tensor,
    grad: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return what flows back into the chunk before, and the gradients of u, Δ, B and C; add to dA."""
    decay, states = _states(h, u, delta, A, B)
    g = grad.unsqueeze(2) * C.unsqueeze(3)
    g[-1] += carry
    for t in range(len(g) - 2, -1, -1):
        g[t].addcmul_(decay[t + 1], g[t + 1])
    carry = decay[0] * g[0]
    dC = (states @ grad.unsqueeze(3)).squeeze(3)
    dB = (g @ (delta * u).unsqueeze(3)).squeeze(3)
    entering = (B.unsqueeze(2) @ g).squeeze(2)
    exponent = g.mul_(decay)  # becomes the gradient of Δ_t A
    exponent[1:].mul_(states[:-1])
    exponent[0].mul_(h)
    for part, step in zip(exponent, delta, strict=True):
        dA.addcmul_(part, step.unsqueeze(1))
    ddelta = exponent.mul_(A).sum(2).addcmul_(entering, u)
    return carry, (entering * delta, ddelta, dB, dC)
