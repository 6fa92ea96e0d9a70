"""What is told of a training while it runs: its rows, health, trace and progress, and its checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from torch.utils.data import Dataset

from brainfm.learning.callbacks import MetricsFile
from brainfm.learning.checkpoint import LastCheckpoint
from brainfm.learning.draws import VALIDATION, draw_seed
from brainfm.learning.health import Health
from brainfm.learning.processes import is_first
from brainfm.learning.profile import Trace
from brainfm.learning.progress import ProgressBar
from brainfm.learning.shares import Feed
from brainfm.learning.train import Train


def choose_watchers(
    batches: Dataset,
    feed: Feed,
    *,
    train: Train,
    seed: int,
    every: int,
    out: Path | None,
    callbacks: tuple[Callback, ...],
    profile: bool,
) -> tuple[Callback, ...]:
    """Return the callbacks of a training in the order in which they are called.

    Parameters
    ----------
    batches
        item n is the batch of step n. Where they have a method ``read``, it tells what so many steps read.
    feed
        tells how long they were waited for.
    train
        options.
    seed
        of every random draw.
    every
        steps between two validations, 0 for none.
    out
        folder for what is written; None where nothing is.
    callbacks
        further ones, whose state last.ckpt keeps.
    profile
        whether a trace is written.
    """
    if out is not None:
        read = getattr(batches, "read", lambda steps: {})
        rows = MetricsFile(out / "metrics.csv", train.log_every, feed, read)
        health = Health(rows, lambda index: draw_seed(seed, VALIDATION, index))
        traces = (Trace(out, feed),) if profile else ()
        callbacks = (rows, health, *callbacks, *traces, LastCheckpoint(out, every))
    if sys.stderr.isatty() and is_first():
        callbacks = (*callbacks, ProgressBar(train.batch_size))
    return callbacks
