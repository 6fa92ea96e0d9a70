"""From noise to a signal: the reverse of a diffusion.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (DDPM); Song et al., "Denoising
Diffusion Implicit Models", ICLR 2021 (DDIM), of whose family DDPM is the member with η = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainfm.errors import UsageError
from brainfm.layers.noise import NoiseSchedule

Velocity = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sampler:
    """How to walk back from noise.

    Attributes
    ----------
    name
        ``"ddpm"`` draws new noise at every step, with the variance of the posterior; ``"ddim"``
        draws none, so that the start decides all. With few steps both make too little: of white
        noise of deviation 0.3 the 50 steps of DDPM make 10 % less, those of DDIM 3 %.
    steps
        steps to take, spread evenly over the schedule's; None for all.
    clip
        largest magnitude of the signal that any step may predict; None for any. The released
        code clips at 1 by its library's default, which cuts off all beyond 100 µV.
    """

    name: Literal["ddpm", "ddim"] = "ddpm"
    steps: int | None = None
    clip: float | None = None

    def path(self, n_steps: int) -> Int[Tensor, " step"]:
        """Return the steps from the noisiest to 0.

        Step 0 is one of them: the released code stops before it and leaves its noise in.
        """
        count = n_steps if self.steps is None else self.steps
        if not 1 <= count <= n_steps:
            raise UsageError(f"A sampler can take 1 to {n_steps} steps, not {count}.")
        if count == 1:
            return torch.tensor([n_steps - 1])
        return torch.linspace(n_steps - 1, 0, count).round().long()


def draw(
    velocity: Velocity,
    shape: tuple[int, int],
    schedule: NoiseSchedule,
    *,
    generator: torch.Generator,
    sampler: Sampler = Sampler(),
    device: torch.device | str = "cpu",
) -> Float[Tensor, "row time"]:
    """Draw signals that a denoiser has learned.

    Parameters
    ----------
    velocity
        predicts v from (row, time) noised signals and their (row,) steps.
    shape
        rows and samples.
    schedule
        of the diffusion.
    generator
        of all noise.
    sampler
        how.
    device
        where to compute.
    """

    def noise() -> Float[Tensor, "row time"]:
        return torch.randn(shape, generator=generator).to(device)

    x, path = noise(), sampler.path(len(schedule))
    levels = torch.cat([schedule.alpha_bar[path], torch.ones(1, dtype=torch.float64)]).tolist()
    for t, here, there in zip(path.tolist(), levels, levels[1:], strict=False):
        step = torch.full(shape[:1], t, device=device)
        clean = schedule.clean(x, velocity(x, step), step)
        if sampler.clip is not None:
            clean = clean.clamp(-sampler.clip, sampler.clip)
        rest = (x - here**0.5 * clean) / (1 - here) ** 0.5
        fresh = (1 - there) / (1 - here) * (1 - here / there) if sampler.name == "ddpm" else 0.0
        x = there**0.5 * clean + (1 - there - fresh) ** 0.5 * rest
        if fresh:
            x = x + fresh**0.5 * noise()
    return x
