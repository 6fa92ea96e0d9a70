"""Where the rows of metrics.csv go besides: TensorBoard, Weights & Biases, MLflow, through Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from brainfm.errors import UsageError


def make_loggers(names: Sequence[str] | None, out: Path | None) -> list[Logger]:
    """Return the loggers of a run.

    Parameters
    ----------
    names
        of `brainfm.learning.Train.loggers`; where None TensorBoard, if it is installed.
    out
        folder of the run; a run that leaves nothing has no loggers.

    Raises
    ------
    UsageError
        If a logger is named that is not installed.
    """
    if out is None:
        return []
    if names is None:
        names = ("tensorboard",) if find_spec("tensorboard") else ()
    if missing := [name for name in names if not find_spec(name)]:
        raise UsageError(
            f"train.loggers names {missing}, which is not installed; `pip install 'brainfm[watch]'`."
        )
    makers = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
    return [makers[name](out) for name in names]


def _tensorboard(out: Path) -> Logger:
    return TensorBoardLogger(out, name="tensorboard", version="")


def _wandb(out: Path) -> Logger:
    # The id is the folder's, so a run that goes on is one run there too.
    return WandbLogger(name=out.name, save_dir=out, id=out.name, resume="allow", project="brainfm")


def _mlflow(out: Path) -> Logger:
    # A data base: MLflow refuses folders of files by now.
    place = f"sqlite:///{(out / 'mlflow.db').absolute()}"
    return MLFlowLogger("brainfm", run_name=out.name, tracking_uri=place)
