"""What limits a step: a trace of some steps, and a sentence about them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from brainfm.learning.shares import Feed

TRACE = "trace.json"
FIRST, COUNT = 3, 5  # the first steps allocate, compile and fill caches
WAITING = 0.2


class Trace(Callback):
    """Writes trace.json, for https://ui.perfetto.dev, and says what took the time.

    Parameters
    ----------
    folder
        where to.
    feed
        tells how long data were waited for.
    """

    def __init__(self, folder: Path, feed: Feed):
        self.folder, self.feed, self.n = folder, feed, 0
        self.profiler: torch.profiler.profile | None = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Begin after the first steps, and end after some more."""
        self.n += 1
        if not trainer.is_global_zero:
            return
        if self.n == FIRST:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its own lines are for its developers
            self.since, self.waited = time.perf_counter(), self.feed.waited
            self.profiler = torch.profiler.profile()
            self.profiler.start()
        elif self.n == FIRST + COUNT and self.profiler is not None:
            self.profiler.stop()
            share = (self.feed.waited - self.waited) / (time.perf_counter() - self.since)
            self.profiler.export_chrome_trace(str(self.folder / TRACE))
            print(f"{self.folder / TRACE}: {verdict(share, times(self.profiler))}")
            self.profiler = None

    def teardown(self, trainer: lightning.Trainer, loop: Any, stage: str) -> None:
        """Leave no profiler running where the training ended before."""
        if self.profiler is not None:
            self.profiler.stop()
        if trainer.is_global_zero and self.n < FIRST + COUNT:
            print(
                f"No {TRACE}: it is of steps {FIRST + 1} to {FIRST + COUNT}, and there were {self.n}."
            )


def times(profiler: torch.profiler.profile) -> dict[str, float]:
    """Return each operation's own time in seconds, on the device where there is one."""
    spent = {
        event.key: (event.self_device_time_total or event.self_cpu_time_total) / 1e6
        if torch.cuda.is_available()
        else event.self_cpu_time_total / 1e6
        for event in profiler.key_averages()
    }
    return {name: seconds for name, seconds in spent.items() if seconds > 0}


def verdict(waiting: float, spent: dict[str, float]) -> str:
    """Return in a sentence what limits the step.

    Parameters
    ----------
    waiting
        share of the time in which data were waited for.
    spent
        seconds of each operation.
    """
    if waiting > WAITING:
        return (
            f"the step waits for data {waiting:.0%} of the time; read with train.workers, from a "
            "nearer disk, or from fewer places (data.stretches)."
        )
    total = sum(spent.values())
    most = sorted(spent, key=lambda name: -spent[name])[:3]
    listed = ", ".join(f"{name} {spent[name] / total:.0%}" for name in most)
    return f"the step is limited by computation ({waiting:.0%} waiting for data): {listed}."
