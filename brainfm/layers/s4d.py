"""Diagonal state-space convolution, in both directions of time (S4D-Lin).

Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models", NeurIPS 2022,
arXiv 2206.11893. For every feature by itself, with A diagonal, Ā = exp(Δ A) and B̄ = (Ā − 1) A⁻¹ B,

    h_t = Ā h_{t−1} + B̄ x_t        past and present, read by C₁
    g_t = Ā g_{t+1} + B̄ x_{t+1}    the future, read by C₂
    y_t = 2 Re (C₁ h_t + C₂ g_t) + D x_t

which is a convolution with a kernel as long as the sequence, computed by FFT.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Complex, Float
from scipy.fft import next_fast_len
from torch import Tensor, nn

ELEMENTS = 2**26  # complex numbers that one group of features may hold at once: 512 MB
LONG = 2**14  # samples from which it pays to ask where a kernel has died away
SILENCE = 30.0  # exp(−30) = 10⁻¹³ of its start, far below single precision


def powers(
    base: Complex[Tensor, "*shape"], count: int, dtype: torch.dtype
) -> Complex[Tensor, "*shape count"]:
    """Return base⁰ … base^(count−1) by doubling: one product an entry where exp would take fifty.

    The factors are squared in the base's double precision, so that an entry of the table in ``dtype``
    has the rounding of log₂ count products and not of count.
    """
    factor = base.unsqueeze(-1)
    table = torch.ones_like(factor, dtype=dtype)
    while (n := table.shape[-1]) < count:
        table = torch.cat([table, table[..., : count - n] * factor.to(dtype)], -1)
        factor = factor * factor
    return table


class S4D(nn.Module):
    """One bidirectional diagonal state-space model a feature, of any length at n·log n cost.

    Both directions share A, B, Δ and D and have a C each. A feature has 4·``state`` + 2 parameters:
    ``state / 2`` modes that stand for conjugate pairs, each with a decay, a frequency, a complex B
    and two complex C, and Δ and D.

    Parameters
    ----------
    features
        number of independent models.
    state
        size of a model's state, counting both of each conjugate pair.
    shortest
        lower bound of the time step Δ at the start.
    longest
        upper bound; between them Δ is log-uniform.
    """

    undecayed = ("log_step", "log_decay", "frequency", "B")  # as in S4: they make the dynamics
    compiles = False  # torch.compile has no code for complex numbers

    def __init__(
        self, features: int, *, state: int = 128, shortest: float = 1e-3, longest: float = 1e-1
    ):
        super().__init__()
        modes = state // 2
        low, high = math.log(shortest), math.log(longest)
        self.log_step = nn.Parameter(torch.rand(features) * (high - low) + low)
        # A = −exp(log_decay) + i·frequency: the real part stays negative, so no state can grow.
        self.log_decay = nn.Parameter(torch.full((features, modes), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(modes).float().repeat(features, 1))
        one = torch.ones(features, modes)
        self.B = nn.Parameter(torch.stack([one, torch.zeros_like(one)], -1))
        # A complex number of variance 1.
        self.C = nn.Parameter(torch.randn(2, features, modes, 2) * math.sqrt(0.5))
        self.D = nn.Parameter(torch.randn(features))

    def modes(
        self,
    ) -> tuple[Complex[Tensor, "feature mode"], Complex[Tensor, "direction feature mode"]]:
        """Return Δ A and C B̄ in double precision, in which a phase of many turns keeps its angle."""
        step = self.log_step.double().exp().unsqueeze(-1)
        A = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        B = torch.view_as_complex(self.B.double())
        C = torch.view_as_complex(self.C.double())
        return step * A, C * (B * torch.expm1(step * A) / A)

    def kernel(self, length: int) -> Float[Tensor, "direction feature {length}"]:
        """Return what both directions answer to an impulse: 2 Re Σ C B̄ Āᵗ for t < ``length``.

        With t = a·m + b and m ≈ √length, Āᵗ = (Ā^m)^a · Ā^b, so the sum over modes is a product of two
        small matrices, and nothing of the size features × modes × length is ever made.
        """
        exponent, weight = self.modes()
        fine = math.isqrt(length - 1) + 1
        coarse = -(-length // fine)
        dtype = torch.complex128 if self.D.dtype == torch.float64 else torch.complex64
        coarsely = powers((exponent * fine).exp(), coarse, dtype)
        left = weight.to(dtype).unsqueeze(-1) * coarsely
        right = powers(exponent.exp(), fine, dtype)
        product = torch.einsum(
            "dhna,hnb->dhab",
            torch.cat([left.real, -left.imag], 2),
            torch.cat([right.real, right.imag], 1),
        )
        return 2 * rearrange(product, "d h a b -> d h (a b)")[..., :length]

    def reach(self, length: int) -> int:
        """Return after how many samples of ``length`` every kernel has died away."""
        if length <= LONG or self.D.dtype == torch.float64:
            return length
        slowest = float(
            (self.log_step.detach().unsqueeze(-1) + self.log_decay.detach()).min().exp()
        )
        return min(length, math.ceil(SILENCE / slowest))

    def forward(self, x: Float[Tensor, "row time feature"]) -> Float[Tensor, "row time feature"]:
        """Filter sequences; the arithmetic is in the parameters' precision whatever autocast says."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.D.dtype)
            length, features = x.shape[1:]
            size = next_fast_len(2 * length - 1, real=True)
            past, future = self.kernel(self.reach(length))
            # A long recording goes through a few features at a time: they do not meet here.
            group = max(1, ELEMENTS // (len(x) * size))
            parts = [
                _convolve(x[..., i : i + group], past[i : i + group], future[i : i + group], size)
                for i in range(0, features, group)
            ]
            return torch.cat(parts, -1) + self.D * x


def _convolve(
    x: Float[Tensor, "row time feature"],
    past: Float[Tensor, "feature reach"],
    future: Float[Tensor, "feature reach"],
    size: int,
) -> Float[Tensor, "row time feature"]:
    """Convolve on a circle of ``size`` samples, where the future lies at negative times."""
    length = x.shape[1]
    # The furthest future sample that a sequence of this length can reach is length − 1 ahead.
    future = future[:, : length - 1].flip(-1)
    gap = past.new_zeros(len(past), size - past.shape[1] - future.shape[1])
    circle = torch.cat([past, gap, future], -1)
    spectrum = torch.fft.rfft(x.transpose(1, 2), size) * torch.fft.rfft(circle)
    return torch.fft.irfft(spectrum, size)[..., :length].transpose(1, 2)
