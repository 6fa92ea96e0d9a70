"""How long, how fast and on what to train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from brainfm.errors import UsageError
from brainfm.learning.groups import parameter_groups
from brainfm.learning.lamb import Lamb


@dataclass(frozen=True)
class Train:
    """Options of the training loop.

    Attributes
    ----------
    steps
        optimiser steps.
    batch_size
        windows a step.
    lr
        peak learning rate.
    final_lr
        learning rate at the end of the cosine.
    warmup
        steps of linear warm-up from 0.
    milestones
        steps at which the learning rate falls to a tenth, in place of the cosine.
    weight_decay
        on matrices only: biases, norms, other vectors and what makes a state space's dynamics are
        spared (`brainfm.learning.groups`).
    betas
        decays of the optimiser's averages.
    algorithm
        ``"adamw"``, which without decay is Adam, or ``"lamb"`` for very large batches.
    layer_decay
        factor of the learning rate from a block of the backbone to the one before, counted from
        what stands behind it; 1 for one rate.
    clip
        largest norm of the gradient; not clipped where None.
    precision
        of the arithmetic, in Lightning's words.
    validate_every
        steps between two validations, one at the end at the latest; 0 for none.
    log_every
        steps between two rows of metrics.csv; each is the mean over them.
    checkpoint_every
        steps between two resumable checkpoints.
    accelerator
        ``"cpu"``, ``"gpu"`` or ``"auto"``.
    devices
        number of devices.
    workers
        processes that read data besides the training; 0 reads in the training's own.
    """

    steps: int = 1000
    batch_size: int = 64
    lr: float = 1e-3
    final_lr: float = 1e-5
    warmup: int = 100
    milestones: tuple[int, ...] = ()
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.99)
    algorithm: Literal["adamw", "lamb"] = "adamw"
    layer_decay: float = 1.0
    clip: float | None = 1.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    validate_every: int = 100
    log_every: int = 10
    checkpoint_every: int = 100
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "checkpoint_every", "devices"):
            if getattr(self, name) < 1:
                raise UsageError(f"train.{name} is {getattr(self, name)} and must be at least 1.")
        if not 0 < self.layer_decay <= 1:
            raise UsageError(
                f"train.layer_decay is {self.layer_decay:g} and must be above 0 and at most 1."
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, relative to the peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.milestones:
            return 0.1 ** sum(step >= milestone for milestone in self.milestones)
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        low = self.final_lr / self.lr
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser over what takes a gradient, in the groups of `parameter_groups`."""
        kind = Lamb if self.algorithm == "lamb" else torch.optim.AdamW
        groups = parameter_groups(
            module, lr=self.lr, weight_decay=self.weight_decay, layer_decay=self.layer_decay
        )
        return kind(groups, lr=self.lr, betas=self.betas)
