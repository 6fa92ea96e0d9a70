"""How much noise each step of a diffusion adds, and the identities of v-prediction.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020; the squared-cosine schedule is
Nichol & Dhariwal's (ICML 2021), v-prediction Salimans & Ho's (ICLR 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Name = Literal["squared-cosine", "linear"]


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Step t turns a signal x₀ into x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε with ε standard normal.

    Attributes
    ----------
    alpha_bar
        (step,) share of the signal's power that is left, falling from near 1 to near 0.
    """

    alpha_bar: Float[Tensor, " step"]

    @classmethod
    def of(cls, name: Name, steps: int) -> NoiseSchedule:
        """Return a schedule by its name: EEGDM's squared cosine, or its ablated linear one.

        ``"linear"`` has β from 10⁻⁴ to 0.05, the numbers that the released configuration carries
        and that its squared-cosine schedule does not use.
        """
        if name == "linear":
            return cls(torch.cumprod(1 - torch.linspace(1e-4, 0.05, steps).double(), 0))
        angle = (torch.arange(steps + 1).double() / steps + 0.008) / 1.008 * math.pi / 2
        level = angle.cos().square()
        beta = (1 - level[1:] / level[:-1]).clamp_max(0.999)
        return cls(torch.cumprod(1 - beta, 0))

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def weights(
        self, step: Int[Tensor, " row"], like: Float[Tensor, "row time"]
    ) -> tuple[Float[Tensor, "row 1"], Float[Tensor, "row 1"]]:
        """Return √ᾱ and √(1 − ᾱ), the weights of signal and noise, a row each."""
        alpha_bar = self.alpha_bar.to(step.device)[step].unsqueeze(-1)
        return alpha_bar.sqrt().to(like.dtype), (1 - alpha_bar).sqrt().to(like.dtype)

    def noised(
        self,
        clean: Float[Tensor, "row time"],
        noise: Float[Tensor, "row time"],
        step: Int[Tensor, " row"],
    ) -> Float[Tensor, "row time"]:
        """Return x_t."""
        signal, rest = self.weights(step, clean)
        return signal * clean + rest * noise

    def velocity(
        self,
        clean: Float[Tensor, "row time"],
        noise: Float[Tensor, "row time"],
        step: Int[Tensor, " row"],
    ) -> Float[Tensor, "row time"]:
        """Return v = √ᾱ ε − √(1 − ᾱ) x₀, which a denoiser predicts from x_t."""
        signal, rest = self.weights(step, clean)
        return signal * noise - rest * clean

    def clean(
        self,
        noised: Float[Tensor, "row time"],
        velocity: Float[Tensor, "row time"],
        step: Int[Tensor, " row"],
    ) -> Float[Tensor, "row time"]:
        """Return x₀ = √ᾱ x_t − √(1 − ᾱ) v."""
        signal, rest = self.weights(step, noised)
        return signal * noised - rest * velocity
