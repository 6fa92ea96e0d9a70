"""The Mamba mixer: a gated convolution and a selective scan.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752.
Names, shapes, layout and initialisation are those of ``mamba_ssm.Mamba``, so that weights go both ways.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from brainfm.layers.scan import Backend, Kernel, can_run, running, selective_scan

STEP = (1e-3, 1e-1)  # range of Δ at the start, as in the paper
SMALLEST_STEP = 1e-4


class Mamba(nn.Module):
    """Mixes a sequence causally, in time linear in its length.

    Parameters
    ----------
    d_model
        width of the sequence.
    d_state
        numbers in the state of a channel.
    d_conv
        taps of the convolution.
    expand
        inner width over ``d_model``.
    scan
        path of the scan, see `brainfm.layers.scan`.

    Attributes
    ----------
    kernels
        paths of the scan that have run, in the order of their first runs.
    """

    undecayed = ("A_log", "D")  # as in mamba_ssm
    compiles = (
        False  # the scan has kernels of its own, which torch.compile unrolls or cannot see into
    )
    uncalled = (
        "dt_proj",
    )  # the scan reads its weight and bias, so an adapter would change nothing

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        scan: Backend = "auto",
    ):
        super().__init__()
        self.d_model, self.d_state, self.d_conv, self.expand = d_model, d_state, d_conv, expand
        self.d_inner, self.dt_rank = expand * d_model, math.ceil(d_model / 16)
        self.scan: Backend = scan
        self.kernels: tuple[Kernel, ...] = ()
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(
            self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1
        )
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        self._start_steps()

    @torch.no_grad()
    def _start_steps(self) -> None:
        """Let softplus of the bias, Δ, start evenly spread over the logarithm of its range."""
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = (math.log(step) for step in STEP)
        step = torch.empty_like(self.D).uniform_(low, high).exp().clamp(min=SMALLEST_STEP)
        self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus

    def forward(self, x: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Mix a sequence; what comes later changes nothing earlier."""
        signal, gate = rearrange(self.in_proj(x), "b t (two d) -> two b d t", two=2)
        signal = silu(self.conv1d(signal)[..., : x.shape[1]])
        selected = self.x_proj(rearrange(signal, "b d t -> b t d"))
        sizes = [self.dt_rank, self.d_state, self.d_state]
        step, B, C = selected.split(sizes, dim=-1)
        kernel = running(self.scan, x.device)
        y = selective_scan(
            signal,
            rearrange(step @ self.dt_proj.weight.t(), "b t d -> b d t"),
            -self.A_log.exp(),
            rearrange(B, "b t n -> b n t"),
            rearrange(C, "b t n -> b n t"),
            D=self.D,
            z=gate,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            backend=kernel,
        )
        if kernel not in self.kernels:
            self.kernels = (*self.kernels, kernel)
        return self.out_proj(rearrange(y, "b d t -> b t d"))


def mixers(model: nn.Module) -> Iterator[Mamba]:
    """Return every Mamba mixer of a model."""
    return (m for m in model.modules() if isinstance(m, Mamba))


def kernels(model: nn.Module) -> list[str]:
    """Return the sorted paths of the scan that a model's mixers have taken."""
    return sorted({kernel for mixer in mixers(model) for kernel in mixer.kernels})


def check_scans(model: nn.Module, device: torch.device | str) -> None:
    """Refuse a model that names a path of the scan which cannot run on ``device``.

    Raises
    ------
    UsageError
        If there is such a path.
    """
    for mixer in mixers(model):
        running(mixer.scan, device)


@contextmanager
def adapted(model: nn.Module, device: torch.device | str) -> Generator[None]:
    """Let scans that are named for another device take the path of ``auto`` on this one."""
    foreign = [m for m in mixers(model) if not can_run(m.scan, device)]
    named = [mixer.scan for mixer in foreign]
    for mixer in foreign:
        mixer.scan = "auto"
    try:
        yield
    finally:
        for mixer, scan in zip(foreign, named, strict=True):
            mixer.scan = scan
