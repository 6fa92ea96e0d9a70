"""A slowly moving average of a model's weights, whose predictions are steadier than the model's.

Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, as an exponential average.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class WeightAverage(nn.Module):
    """The exponential moving average of a model's parameters, in a copy of the model.

    Up to ``start`` steps the copy follows the model. From then on its decay rises to ``decay``: with
    a fixed one, 0.999 every 10 steps, a run of some thousand steps would still hold much of where it
    stood at step ``start``. It is all in the state dict, so that a resumed run goes on exactly.

    Parameters
    ----------
    model
        what is averaged.
    decay
        the largest weight of the past.
    start
        steps before the averaging begins.
    every
        steps between two updates.
    power
        the decay is 1 − (1 + steps since ``start``)^−power until that reaches ``decay``; None
        for the fixed decay. EEGDM's paper states none, its code takes the library's 2/3.
    """

    n_steps: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        decay: float = 0.999,
        start: int = 100,
        every: int = 10,
        power: float | None = 2 / 3,
    ):
        super().__init__()
        self.decay, self.start, self.every, self.power = decay, start, every, power
        self.model = deepcopy(model).requires_grad_(False)
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))

    def weight(self, step: int) -> float:
        """Return the weight that the past has at a step."""
        if step <= self.start:
            return 0.0
        if self.power is None:
            return self.decay
        return min(self.decay, 1 - (1 + step - self.start) ** -self.power)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take a step's weights in; on most steps there is nothing to do."""
        step = int(self.n_steps)
        self.n_steps += 1
        if step % self.every:
            return
        past = self.weight(step)
        for mean, new in zip(self.model.parameters(), model.parameters(), strict=True):
            # What is no real number is an index that no training changes.
            if mean.is_floating_point():
                mean.lerp_(new, 1 - past)
        # Buffers, such as a codebook, are averages already, or counts.
        for mean, new in zip(self.model.buffers(), model.buffers(), strict=True):
            mean.copy_(new)
