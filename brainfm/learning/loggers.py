"""Where the rows of metrics.csv go besides: TensorBoard, Weights & Biases, MLflow, through Lightning."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from brainfm.errors import UsageError

EVENTS = "tensorboard"


class EventFile(Logger):
    """Writes an event file of TensorBoard, row by row, each there whole before the next step.

    A run that goes on begins a new file, which takes back what the earlier ones hold of the steps that
    are computed again: TensorBoard forgets those where a session starts. Rows are written by the
    training itself, since a thread that writes would not tell it of a full disk.

    Parameters
    ----------
    folder
        where to.
    """

    name, version = EVENTS, ""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder, self.path = folder, None

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Write none: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write a row."""
        from tensorboard.compat.proto.event_pb2 import SessionLog  # ty: ignore
        from tensorboard.compat.proto.summary_pb2 import Summary  # ty: ignore

        if self.path is None:
            self.folder.mkdir(exist_ok=True)
            self.path = self.folder / f"events.out.tfevents.{time.time_ns()}"
            self._write(file_version="brain.Event:2")
            self._write(step=step, session_log=SessionLog(status=SessionLog.START))
        row = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._write(step=step, summary=Summary(value=row))

    def _write(self, **event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # ty: ignore
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(Event(wall_time=time.time(), **event).SerializeToString())
        assert self.path is not None
        with self.path.open("ab") as file:
            file.write(record.getvalue())


def make_loggers(names: Sequence[str], out: Path | None) -> list[Logger]:
    """Return the loggers of a run.

    Parameters
    ----------
    names
        of `brainfm.learning.Train.loggers`.
    out
        folder of the run; a run that leaves nothing has no loggers.

    Raises
    ------
    UsageError
        If a logger is named that is not installed.
    """
    if out is None:
        return []
    if missing := [name for name in names if not find_spec(name)]:
        raise UsageError(
            f"train.loggers names {missing}, which is not installed; `pip install 'brainfm[watch]'`."
        )
    makers = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
    return [makers[name](out) for name in names]


def _tensorboard(out: Path) -> Logger:
    return EventFile(out / EVENTS)


def _wandb(out: Path) -> Logger:
    # The id is the folder's, so a run that goes on is one run there too.
    return WandbLogger(name=out.name, save_dir=out, id=out.name, resume="allow", project="brainfm")


def _mlflow(out: Path) -> Logger:
    # A data base: MLflow refuses folders of files by now.
    place = f"sqlite:///{(out / 'mlflow.db').absolute()}"
    return MLFlowLogger("brainfm", run_name=out.name, tracking_uri=place)
