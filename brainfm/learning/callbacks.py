"""The rows of metrics.csv: what a training tells of itself while it runs."""

from __future__ import annotations

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from brainfm.learning.row_file import RowFile
from brainfm.learning.shares import Feed

SPEED = ("windows_per_second", "hours_per_second", "data_wait", "memory_gb")
"""Columns of metrics.csv that depend on the machine, and differ from run to run."""


class MetricsFile(Callback):
    """Writes metrics.csv: a row for every ``every`` steps, validation in columns named ``val/…``.

    Columns besides the objective's: ``grad_norm`` before clipping, ``lr`` of the next step,
    ``windows_per_second`` and ``hours_per_second`` of recording over all processes, ``data_wait``
    the share of the time in which the first process waited for data, ``memory_gb`` its largest use
    of memory so far, the device's where there is one, ``padding`` the share of its channels that no
    recording has, and of a mixture what `brainfm.windows.mixture.MixedBatches.read` tells.
    Where the device's peak is known ``mfu`` is the share of it that the model's own operations reach
    (model FLOPs utilisation; Chowdhery et al., "PaLM", JMLR 2023, appendix B).

    Parameters
    ----------
    path
        the file.
    every
        steps a row averages over.
    feed
        tells how long data were waited for.
    read
        tells of a number of steps what they have read, by the name of the column.
    """

    def __init__(self, path: Path, every: int, feed: Feed, read: Callable[[int], dict[str, float]]):
        self.file, self.every, self.feed, self.read = RowFile(path), every, feed, read
        self.sums: dict[str, float] = defaultdict(float)
        self.n = 0
        self._restart()

    def state_dict(self) -> dict[str, Any]:
        """Return the last row's step and what the next one has gathered, for last.ckpt."""
        return {"step": self.file.kept, "sums": dict(self.sums), "n": self.n}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the rows of a run that is being resumed; earlier versions kept them here."""
        earlier = state.get("rows", [])
        self.file.kept = earlier[-1]["step"] if earlier else state.get("step", 0)
        self.sums, self.n = defaultdict(float, state["sums"]), state["n"]

    def _restart(self) -> None:
        """Begin to measure speed."""
        self.since, self.waited = time.perf_counter(), self.feed.waited
        self.windows, self.seconds, self.flops = 0, 0.0, 0

    def on_train_start(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Leave what came before out of the first row's speed."""
        self._restart()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a step to the current row."""
        self.n += 1
        for name, value in outputs.items():
            self.sums[name] += float(value.detach())
        for part in batch:
            n = len(part.signal) * trainer.world_size
            self.windows += n
            self.seconds += n * part.signal.shape[-1] / part.sfreq
            self.flops += loop.flops.of(part)
            self.sums["padding"] += float((~part.mask).float().mean()) / len(batch)
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._end_row(trainer, loop)

    def _end_row(self, trainer: lightning.Trainer, loop: Any) -> None:
        row = {name: total / self.n for name, total in self.sums.items()}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row |= self.read(trainer.global_step) | self._speed(loop)
        self.add(trainer, row)
        self.sums, self.n = defaultdict(float), 0
        self._restart()

    def _speed(self, loop: Any) -> dict[str, float]:
        taken = time.perf_counter() - self.since
        share = (self.feed.waited - self.waited) / taken
        speeds = self.windows / taken, self.seconds / 3600 / taken, share, memory() / 1e9
        return dict(zip(SPEED, speeds, strict=True)) | loop.flops.share(self.flops, taken)

    def on_validation_start(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Stop the clock."""
        self.paused = time.perf_counter()

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Write the means into the row of this step."""
        self.add(trainer, {f"val/{name}": value for name, value in loop.validation.items()})
        self.since += time.perf_counter() - self.paused

    def add(self, trainer: lightning.Trainer, row: dict[str, float]) -> None:
        """Write measures into the row of the step that the trainer is at."""
        step = trainer.global_step
        if trainer.is_global_zero:
            self.file.add(step, row)
        for logger in trainer.loggers:
            logger.log_metrics(row, step)


def memory() -> int:
    """Return the most bytes that the process has used, on its device where it has one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
