"""The only training loop: it trains tokenizers, foundation models and fine-tuned heads alike.

All randomness of step n comes from the seed and n. A run that is stopped at any step and resumed from
its last checkpoint therefore reads the same windows, draws the same masks and drops the same units
as one that never stopped.
"""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from brainfm.contracts import Batch, Objective
from brainfm.errors import WorkError
from brainfm.learning.callbacks import LastCheckpoint, MetricsFile
from brainfm.learning.health import Health
from brainfm.learning.train import Train

TRAINING, VALIDATION = 0, 1  # streams of random numbers


def draw_seed(seed: int, stream: int, step: int) -> int:
    """Return a seed for one step that no other step or stream shares."""
    return int(np.random.SeedSequence([seed, stream, step]).generate_state(1, np.uint64)[0] >> 1)


class Loop(lightning.LightningModule):
    """One objective, trained step by step.

    Parameters
    ----------
    objective
        says what to minimise.
    train
        says how.
    seed
        of every random draw.
    """

    def __init__(self, objective: Objective, train: Train, seed: int):
        super().__init__()
        self.objective, self.options, self.seed = objective, train, seed

    def configure_optimizers(self) -> dict[str, object]:
        """Set up AdamW under warm-up and cosine."""
        optimizer = self.options.optimizer(self.objective)
        # A plain function, because of anything else a checkpoint would pickle the attributes.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: self.options.rate(n))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, index: int) -> Batch:
        """Move a batch."""
        return batch.to(device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout, which draws from torch's own generator."""
        torch.manual_seed(draw_seed(self.seed, TRAINING, self.global_step))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the losses of one step."""
        generator = torch.Generator()
        generator.manual_seed(draw_seed(self.seed, TRAINING, self.global_step))
        terms = self.objective(batch, generator)
        if not torch.isfinite(terms["loss"]):
            raise WorkError(
                f"The loss became {float(terms['loss'].detach())} at step {self.global_step}, on windows of "
                f"{sorted(set(batch.recording))}; look at these recordings or lower train.lr."
            )
        return terms

    def validation_step(self, batch: Batch, batch_idx: int) -> tuple[int, dict[str, Tensor]]:
        """Compute the losses of one validation batch, with the same masks at every validation."""
        generator = torch.Generator()
        generator.manual_seed(draw_seed(self.seed, VALIDATION, batch_idx))
        return len(batch.signal), self.objective(batch, generator)


class _StepsAhead(Sampler[int]):
    """The steps that are still to be done."""

    def __init__(self, loop: Loop):
        self.loop = loop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.loop.global_step, self.loop.options.steps))

    def __len__(self) -> int:
        # Lightning counts batches from the start of the run also when it resumes.
        return self.loop.options.steps


def fit(
    objective: Objective,
    batches: Dataset,
    *,
    train: Train,
    seed: int,
    validation: Dataset | None = None,
    out: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> None:
    """Train ``objective`` in place.

    Parameters
    ----------
    objective
        what to train.
    batches
        item n is the batch of step n.
    train
        options.
    seed
        of every random draw.
    validation
        batches to measure on every ``train.validate_every`` steps.
    out
        folder for metrics.csv and last.ckpt. Where it holds a last.ckpt, training goes on from it.
    callbacks
        further Lightning callbacks.

    Raises
    ------
    WorkError
        If the loss is no number any more.
    """
    loop = Loop(objective, train, seed)
    checkpoint = LastCheckpoint.of(out)
    if checkpoint is None:
        objective.begin(batches[0])
    every = min(train.validate_every, train.steps) if validation is not None else 0
    if out is not None:
        rows = MetricsFile(out / "metrics.csv", train.log_every)
        health = Health(rows, lambda index: draw_seed(seed, VALIDATION, index))
        callbacks = (rows, health, *callbacks, LastCheckpoint(out, every))
    reader = partial(
        DataLoader,
        batch_size=None,
        num_workers=train.workers,
        # Forked readers of zarr stores deadlock.
        multiprocessing_context="spawn" if train.workers else None,
    )
    with _quiet(), _interruptible(), torch.random.fork_rng():
        _trainer(train, every, callbacks).fit(
            loop,
            reader(batches, sampler=_StepsAhead(loop)),
            reader(validation) if every else None,
            ckpt_path=checkpoint,
            weights_only=True,
        )
    objective.end()


def _trainer(train: Train, every: int, callbacks: tuple[Callback, ...]) -> lightning.Trainer:
    """Return a trainer that validates ``every`` so many steps, and leaves nothing behind itself."""
    return lightning.Trainer(
        max_steps=train.steps,
        max_epochs=-1,
        accelerator=train.accelerator,
        devices=train.devices,
        precision=train.precision,
        gradient_clip_val=train.clip,
        val_check_interval=every or None,
        check_val_every_n_epoch=None if every else 1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        callbacks=list(callbacks),
    )


@contextmanager
def _interruptible() -> Generator[None]:
    """Let Ctrl-C reach the caller: Lightning makes an exit of it, and switches it off."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt from error


@contextmanager
def _quiet() -> Generator[None]:
    """Keep Lightning's advertisements and advice off the user's screen."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for text in (
            "does not have many workers",
            "is smaller than the logging interval",
            "You defined a `validation_step` but have no `val_dataloader`",
            "not been set for this class",
            "GPU available but not used",
            "Found keys that are not in the model state dict",
            "Checkpoint directory",
            "isinstance\\(treespec, LeafSpec\\)",
            # A frozen tokenizer is in evaluation mode on purpose.
            "module\\(s\\) in eval mode at the start of training",
            "You're resuming from a checkpoint that ended before the epoch ended",
        ):
            warnings.filterwarnings("ignore", message=f".*{text}.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
