"""How long, how fast and on what to train."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    epochs
        in place of ``steps``: as many steps as read so many times the hours, or fine-tuning the trials,
        that there are.
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
    average
        decay of a moving average of the weights, with which validations are measured and which the
        training ends at; the weights themselves where None. It rises to its value as of
        `brainfm.layers.average.WeightAverage`. EEGDM's head takes 0.999.
    precision
        of the arithmetic, in Lightning's words: ``"32-true"``, or half of it by autocast, as
        ``"bf16-mixed"`` or, with a scaler and on a GPU, ``"16-mixed"``.
    validate_every
        steps between two validations, one at the end at the latest; 0 for none.
    log_every
        steps between two rows of metrics.csv; each is the mean over them.
    checkpoint_every
        steps between two resumable checkpoints.
    accelerator
        ``"cpu"``, ``"gpu"`` or ``"auto"``.
    devices
        processes on each node, each with a device of its own; torchrun and srun overrule it.
    nodes
        machines; torchrun and srun overrule it.
    strategy
        how several processes hold the model: ``"ddp"``, each of them whole, or ``"fsdp"``, each a share
        of weights, gradients and the optimiser's state, for models that are too large for a device.
    parts
        equal parts that a step's batch is cut into, each with random numbers of its own; as many as
        there are processes where None, so that another number of them has other losses. A process
        computes its parts one after another and adds up their gradients, so more parts take less
        memory, and with the same parts any number of processes computes the same losses up to rounding.
    workers
        processes that read data besides the training; 0 reads in a thread of the training's own.
    ahead
        batches that the thread reads in advance.
    explosion
        the run is stopped where a step's loss is so many times its usual size.
    recompute
        keep only what goes into each block of the backbone and compute the rest again in the backward
        pass: less memory, more time, the same numbers.
    compile
        let PyTorch compile the blocks of the backbone; their numbers differ in the last digits, and their
        dropout is drawn otherwise.
    peak_flops
        FLOP/s that a device can do at most, for the column ``mfu``; looked up for known GPUs where
        None.
    loggers
        where rows of metrics.csv go besides: ``"tensorboard"``, ``"wandb"``, ``"mlflow"``.
    """

    steps: int = 1000
    epochs: float | None = None
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
    average: float | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    validate_every: int = 100
    log_every: int = 10
    checkpoint_every: int = 100
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"
    parts: int | None = None
    workers: int = 0
    ahead: int = 2
    explosion: float = 1e3
    recompute: bool = False
    compile: bool = False
    peak_flops: float | None = None
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)

    def __post_init__(self) -> None:
        counts = (
            "steps",
            "batch_size",
            "log_every",
            "checkpoint_every",
            "devices",
            "nodes",
            "parts",
        )
        for name in counts:
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"train.{name} is {value} and must be at least 1.")
        if self.batch_size % (self.parts or 1):
            raise UsageError(
                f"train.batch_size {self.batch_size} cannot be cut into train.parts {self.parts} of "
                "one size; choose parts that divide the batch."
            )
        if self.validate_every < 0:
            raise UsageError(
                f"train.validate_every is {self.validate_every} and must be at least 1, or 0 for none."
            )
        self._check_strategy()
        if self.epochs is not None and self.epochs <= 0:
            raise UsageError(f"train.epochs is {self.epochs:g} and must be above 0.")
        if self.average is not None and not 0 <= self.average < 1:
            raise UsageError(
                f"train.average is {self.average:g} and must be at least 0 and below 1."
            )
        if not 0 < self.layer_decay <= 1:
            raise UsageError(
                f"train.layer_decay is {self.layer_decay:g} and must be above 0 and at most 1."
            )

    def _check_strategy(self) -> None:
        """Refuse what sharing a model out does not go with."""
        unfit = {
            "algorithm": self.algorithm == "lamb",  # takes norms of whole weights
            "precision": self.precision not in ("32-true", "bf16-mixed"),
            "compile": self.compile,
        }
        for name in unfit if self.strategy == "fsdp" else ():
            if unfit[name]:
                raise UsageError(
                    f"train.{name} {getattr(self, name)} does not go with train.strategy fsdp; leave "
                    "it out or take ddp."
                )

    @property
    def device(self) -> str:
        """The kind of device that ``accelerator`` means on this machine."""
        if self.accelerator not in ("auto", "gpu"):
            return self.accelerator
        if torch.backends.mps.is_available():
            return "mps"
        return "cuda" if self.accelerator == "gpu" or torch.cuda.is_available() else "cpu"

    def check_device(self) -> None:
        """Refuse a precision that this machine's device has no autocast for; `UsageError`."""
        if self.precision == "16-mixed" and self.device == "cpu":
            raise UsageError(
                "train.precision 16-mixed needs a GPU and the training is to run on the processor; take "
                "bf16-mixed."
            )

    def over(self, windows: int | float) -> Train:
        """Return options with as many steps as ``epochs``, where they are given, of so many windows take."""
        if self.epochs is None:
            return self
        return replace(self, steps=max(1, round(self.epochs * windows / self.batch_size)))

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
