"""The selective scan compiled for the processor by numba; needs no compiler at install.

The chunked scan of `brainfm.layers.scan`, all of it in registers and cache: each task takes some channels
of one window through time, chunk by chunk, states innermost. The sums over channels are made in a
fixed order, so that results do not depend on the number of threads. numba is imported at the first call,
which also compiles, for a few seconds; nothing is written to disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from inspect import unwrap
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 64  # steps whose states are held at once, a few KiB a channel
GROUP = 32  # channels a task

Series = Float[Tensor, "batch channel time"]
Matrix = Float[Tensor, "channel state"]
Selection = Float[Tensor, "batch state time"]


class Compiled(torch.autograd.Function):
    """The scan of float32 or float64 tensors on the processor."""

    @staticmethod
    def forward(
        ctx: Any, u: Series, delta: Series, A: Matrix, B: Selection, C: Selection
    ) -> Series:
        """Return y, and keep the state before each chunk."""
        given = [x.detach().contiguous() for x in (u, delta, A, *_state_last(B, C))]
        n_chunks, n_groups = -(-u.shape[2] // CHUNK), -(-u.shape[1] // GROUP)
        y, kept = torch.empty_like(given[0]), u.new_empty(len(u), n_chunks, *A.shape)
        _launch(_kernels(u.dtype)[0], len(u) * n_groups, *given, y, kept)
        ctx.save_for_backward(*given, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Series) -> tuple[Tensor, ...]:
        """Return the gradients of u, Δ, A, B and C."""
        u, delta, A, B, C, kept = ctx.saved_tensors
        n_groups = -(-u.shape[1] // GROUP)
        du, ddelta, dA = torch.empty_like(u), torch.empty_like(u), u.new_zeros(len(u), *A.shape)
        dB, dC = (u.new_zeros(n_groups, *B.shape) for _ in range(2))
        given = (u, delta, A, B, C, kept, grad.contiguous())
        _launch(_kernels(u.dtype)[1], len(u) * n_groups, *given, du, ddelta, dA, dB, dC)
        return du, ddelta, dA.sum(0), *(x.sum(0).transpose(1, 2) for x in (dB, dC))


def _state_last(*series: Tensor) -> tuple[Tensor, ...]:
    return tuple(x.transpose(1, 2) for x in series)


def _launch(kernel: Callable[..., None], n_tasks: int, *tensors: Tensor) -> None:
    """Run a kernel's tasks on as many threads as PyTorch uses.

    The threads are Python's, without the interpreter's lock: numba's own thread pool shares OpenMP with
    PyTorch, changes its number of threads, and does not survive a fork.
    """
    arrays = [x.detach().numpy() for x in tensors]
    n_threads = min(torch.get_num_threads(), n_tasks)
    if n_threads == 1:
        kernel(0, n_tasks, *arrays)
        return
    size = -(-n_tasks // (4 * n_threads))
    with ThreadPoolExecutor(n_threads) as pool:
        runs = [
            pool.submit(kernel, first, min(first + size, n_tasks), *arrays)
            for first in range(0, n_tasks, size)
        ]
        for run in runs:
            run.result()


@lru_cache
def _kernels(dtype: torch.dtype) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the forward and the backward pass for a floating type."""
    from numba import njit

    exp = njit(unwrap(_exp32), fastmath={"contract"}) if dtype == torch.float32 else math.exp
    # Sums may be reordered, which lets them use vector registers; NaN and infinity keep their meaning.
    compiled = njit(nogil=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")

    # Under pytest, type checks are wrapped around every function.
    return compiled(unwrap(_forward(exp))), compiled(unwrap(_backward(exp)))


def _forward(exp: Callable[[float], float]) -> Callable[..., None]:
    """Return the forward pass, not compiled yet."""

    def forward(begin, end, u, delta, A, B, C, y, kept):
        channels, length = u.shape[1:]
        n_states = A.shape[1]
        n_groups = (channels + GROUP - 1) // GROUP
        for task in range(begin, end):
            b, first = task // n_groups, task % n_groups * GROUP
            h = np.zeros((GROUP, n_states), u.dtype)
            for start in range(0, length, CHUNK):
                stop = min(start + CHUNK, length)
                for d in range(first, min(first + GROUP, channels)):
                    state, a = h[d - first], A[d]
                    kept[b, start // CHUNK, d] = state
                    for t in range(start, stop):
                        step = delta[b, d, t]
                        entering = step * u[b, d, t]
                        read = u.dtype.type(0)
                        for s in range(n_states):
                            state[s] = exp(step * a[s]) * state[s] + entering * B[b, t, s]
                            read += C[b, t, s] * state[s]
                        y[b, d, t] = read

    return forward


def _backward(exp: Callable[[float], float]) -> Callable[..., None]:
    """Return the backward pass, not compiled yet."""

    def backward(begin, end, u, delta, A, B, C, kept, grad, du, ddelta, dA, dB, dC):
        channels, length = u.shape[1:]
        n_states = A.shape[1]
        n_groups = (channels + GROUP - 1) // GROUP
        n_chunks = (length + CHUNK - 1) // CHUNK
        for task in range(begin, end):
            b, group = task // n_groups, task % n_groups
            first = group * GROUP
            carry = np.zeros((GROUP, n_states), u.dtype)
            decay = np.empty((CHUNK, n_states), u.dtype)
            states = np.empty((CHUNK + 1, n_states), u.dtype)  # of the chunk, and the one before it
            for chunk in range(n_chunks - 1, -1, -1):
                start = chunk * CHUNK
                stop = min(start + CHUNK, length)
                for d in range(first, min(first + GROUP, channels)):
                    g, a, da = carry[d - first], A[d], dA[b, d]
                    states[0] = kept[b, chunk, d]
                    for t in range(start, stop):
                        step = delta[b, d, t]
                        entering, k = step * u[b, d, t], t - start
                        for s in range(n_states):
                            decay[k, s] = exp(step * a[s])
                            states[k + 1, s] = decay[k, s] * states[k, s] + entering * B[b, t, s]
                    for t in range(stop - 1, start - 1, -1):
                        step, here, k = delta[b, d, t], grad[b, d, t], t - start
                        entering = step * u[b, d, t]
                        into, along = u.dtype.type(0), u.dtype.type(0)
                        for s in range(n_states):
                            dC[group, b, t, s] += here * states[k + 1, s]
                            total = g[s] + here * C[b, t, s]
                            dB[group, b, t, s] += total * entering
                            into += total * B[b, t, s]
                            flow = total * decay[k, s]
                            exponent = flow * states[k, s]
                            along += exponent * a[s]
                            da[s] += exponent * step
                            g[s] = flow
                        du[b, d, t] = into * step
                        ddelta[b, d, t] = along + into * u[b, d, t]

    return backward


def _exp32(x):
    """Compute exp in float32 to one unit in the last place, without branches, so that it vectorises.

    x = k ln 2 + r with |r| < ln 2 / 2; Cephes' polynomial gives exp r, and k goes into the exponent
    bits, where −127 makes 0 and 128 infinity. Adding 1.5·2²³ rounds to a whole number and leaves it in
    the low bits, also for NaN.
    """
    x = np.float32(-88.0) if x < np.float32(-88.0) else x
    x = np.float32(89.0) if x > np.float32(89.0) else x
    shifted = x * np.float32(1.44269504) + np.float32(12582912.0)
    k = shifted - np.float32(12582912.0)
    r = x - k * np.float32(0.693359375) + k * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    power = (np.float32(shifted).view(np.int32) - np.int32(0x4B400000) + np.int32(127)) << np.int32(
        23
    )
    return p * np.int32(power).view(np.float32)
