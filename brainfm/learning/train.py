"""How long, how fast and on what to train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from brainfm.errors import UsageError


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
    weight_decay
        AdamW's, on matrices only: biases, norms and other vectors are spared.
    betas
        AdamW's.
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
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.99)
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

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, relative to the peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        low = self.final_lr / self.lr
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return AdamW over what takes a gradient; only matrices and kernels are decayed."""
        learned = [p for p in module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=self.lr, betas=self.betas)
