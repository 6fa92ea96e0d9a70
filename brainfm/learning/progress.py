"""A training seen from a terminal: where it is, its loss, its speed and the time it still takes."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Rate(ProgressColumn):
    """Windows a second over the last steps.

    Parameters
    ----------
    batch_size
        windows a step.
    """

    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed * self.batch_size:,.0f} windows/s")


class ProgressBar(Callback):
    """A line at the foot of the terminal.

    Parameters
    ----------
    batch_size
        windows a step.
    """

    def __init__(self, batch_size: int):
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(batch_size),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def on_train_start(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Begin at the step that the run goes on from."""
        self.bar.start()
        self.task = self.bar.add_task(
            "training", total=trainer.max_steps, completed=trainer.global_step
        )

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say the loss of the step."""
        loss = float(outputs["loss"])
        self.bar.update(self.task, completed=trainer.global_step, description=f"loss {loss:.4g}")

    def teardown(self, trainer: lightning.Trainer, loop: Any, stage: str) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()
