"""What a training leaves behind while it runs."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback

from brainfm.disk import write_whole


class MetricsFile(Callback):
    """Writes metrics.csv: a row for every ``every`` steps, validation in columns named ``val/…``.

    Parameters
    ----------
    path
        the file.
    every
        steps a row averages over.
    """

    def __init__(self, path: Path, every: int):
        self.path, self.every = path, every
        self.rows: list[dict[str, float]] = []
        self.sums: dict[str, float] = defaultdict(float)
        self.n, self.since = 0, time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far and what the next one has gathered, for last.ckpt."""
        return {"rows": self.rows, "sums": dict(self.sums), "n": self.n}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the rows of a run that is being resumed."""
        self.rows, self.n = state["rows"], state["n"]
        self.sums = defaultdict(float, state["sums"])

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a step to the current row."""
        self.n += 1
        for name, value in outputs.items():
            self.sums[name] += float(value.detach())
        self.sums["windows"] += len(batch.signal)
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._end_row(trainer)

    def _end_row(self, trainer: lightning.Trainer) -> None:
        seconds = time.perf_counter() - self.since
        row = {name: total / self.n for name, total in self.sums.items() if name != "windows"}
        row["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["windows_per_second"] = self.sums["windows"] / seconds
        self.add(trainer.global_step, row)
        self.sums, self.n, self.since = defaultdict(float), 0, time.perf_counter()

    def on_validation_start(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Begin a weighted mean over the validation windows."""
        self.validation: dict[str, float] = defaultdict(float)
        self.n_validation, self.paused = 0, time.perf_counter()

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, *rest: Any
    ) -> None:
        """Add a batch, weighted by its windows."""
        n, terms = outputs
        self.n_validation += n
        for name, value in terms.items():
            self.validation[f"val/{name}"] += n * float(value.detach())

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Write the means into the row of this step."""
        means = {k: v / self.n_validation for k, v in self.validation.items()}
        self.add(trainer.global_step, means)
        self.since += time.perf_counter() - self.paused

    def add(self, step: int, row: dict[str, float]) -> None:
        """Write measures into the row of a step."""
        if self.rows and self.rows[-1]["step"] == step:
            self.rows[-1] |= row
        else:
            self.rows.append({"step": step} | row)
        write_whole(self.path, pd.DataFrame(self.rows).to_csv(index=False).encode())


class LastCheckpoint(Callback):
    """Writes last.ckpt, from which a run goes on as if nothing had happened.

    It comes last among the callbacks and, at a step that is validated, after the validation, so that
    it holds what the others have gathered by then: Lightning does not validate a step again.

    Parameters
    ----------
    folder
        where to.
    validate_every
        steps between two validations, 0 for none.
    """

    name = "last.ckpt"

    def __init__(self, folder: Path, validate_every: int):
        self.path, self.validate_every = folder / self.name, validate_every

    @classmethod
    def of(cls, folder: Path | None) -> Path | None:
        """Return the checkpoint in a folder, if there is one."""
        path = folder / cls.name if folder else None
        return path if path and path.exists() else None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save now and then, and at the end."""
        if not self.validate_every or trainer.global_step % self.validate_every:
            self._save(trainer, loop.options.checkpoint_every)

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Save likewise after a validation."""
        self._save(trainer, loop.options.checkpoint_every)

    def _save(self, trainer: lightning.Trainer, every: int) -> None:
        if trainer.global_step % every == 0 or trainer.global_step == trainer.max_steps:
            partial = self.path.with_name(self.name + ".partial")
            trainer.save_checkpoint(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(self.path)


class BestState(Callback):
    """Remembers the weights with the lowest validation loss and puts them back at the end."""

    def __init__(self) -> None:
        self.loss, self.step, self.state = float("inf"), 0, None

    def state_dict(self) -> dict[str, Any]:
        """Return what last.ckpt keeps, so that a resumed training knows the best step before it."""
        return {"loss": self.loss, "step": self.step, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` kept."""
        self.loss, self.step = state_dict["loss"], state_dict["step"]
        self.state = state_dict["state"]

    def on_validation_start(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Begin a weighted mean."""
        self.total, self.n = 0.0, 0

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, *rest: Any
    ) -> None:
        """Add a batch, weighted by its windows."""
        n, terms = outputs
        self.total, self.n = self.total + n * float(terms["loss"]), self.n + n

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Keep the weights where they are the best so far."""
        if (loss := self.total / self.n) < self.loss:
            self.loss, self.step = loss, trainer.global_step
            self.state = {k: v.detach().clone() for k, v in loop.objective.state_dict().items()}

    def on_train_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Put the best weights back."""
        if self.state is not None:
            with torch.no_grad():
                loop.objective.load_state_dict(self.state)
