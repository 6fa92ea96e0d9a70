"""What a finished fold leaves on disk, so that an interrupted evaluation can go on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from brainfm.disk import write_whole
from brainfm.evaluation.shots import Shots
from brainfm.evaluation.tuning import UNLIMITED, Budget
from brainfm.windows.description import describe_view
from brainfm.windows.splits import Fold
from brainfm.windows.stored import StoredWindows
from brainfm.windows.trials import Trials


@dataclass(frozen=True)
class FoldRecord:
    """One estimator fitted and tested on one fold, or the reason why it was not.

    Attributes
    ----------
    task, estimator
        their names.
    fold, seed
        which division of the subjects.
    test_subjects
        who was tested.
    n_test
        number of test windows.
    seconds
        time of fitting and predicting.
    overlap
        see `brainfm.evaluation.overlap`; a run compares anew, whatever the file says.
    trained_parameters
        see `brainfm.evaluation.parameters`.
    trials
        row of each test window in the task's trials.
    proba
        probabilities of the classes, a row a test window; or the one number predicted.
    scores
        measures on this fold; JSON's null stands for NaN.
    error
        what went wrong, or None for a fold that is done.
    n_train
        number of training windows.
    shots, shots_of
        how few trials of each class or subjects it was trained on; None for all.
    fits, fit_seconds
        settings that were fitted to choose among, and the time of fitting alone.
    flops
        see `brainfm.evaluation.parameters`.
    identity
        see `brainfm.evaluation.identity`; of the first fold of each seed.
    kernels
        paths of the selective scan that ran.
    validation, validation_proba
        as ``trials`` and ``proba``, of the validation windows.
    """

    task: str
    estimator: str
    fold: int
    seed: int
    test_subjects: list[str]
    n_test: int
    seconds: float
    overlap: str = "unknown"
    trained_parameters: int | None = None
    trials: list[int] = field(default_factory=list)
    proba: list[list[float]] = field(default_factory=list)
    scores: dict[str, float | None] = field(default_factory=dict)
    error: str | None = None
    n_train: int = 0
    shots: int | None = None
    shots_of: str | None = None
    fits: int = 0
    fit_seconds: float = 0.0
    flops: int | None = None
    identity: dict[str, float | None] | None = None
    kernels: list[str] = field(default_factory=list)
    validation: list[int] = field(default_factory=list)
    validation_proba: list[list[float]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether the fold has a result."""
        return self.error is None


def write_record(record: FoldRecord, path: Path) -> None:
    """Write a record whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(record), allow_nan=False).encode())


def read_record(path: Path) -> FoldRecord | None:
    """Return the record of a fold that is done, or None where it has yet to be computed.

    A fold that failed is tried again, and so is one whose file cannot be read.
    """
    try:
        record = FoldRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return record if record.done else None


@dataclass(frozen=True, eq=False)
class Job:
    """One estimator to be fitted and tested on one fold.

    Attributes
    ----------
    task
        name of the task.
    data
        fingerprint of its trials.
    name, estimator
        as configured, before any fit.
    fold, seed
        the division of the subjects, and the seed of the estimator.
    metrics
        what is measured.
    classes
        all classes, in the order of the columns of probabilities; none of a task of numbers.
    budget
        of tuning.
    shots
        how few labels there are to train on; None for all.
    """

    task: str
    data: str
    name: str
    estimator: BaseEstimator
    fold: Fold
    seed: int
    metrics: tuple[str, ...]
    classes: tuple[str, ...]
    budget: Budget = UNLIMITED
    shots: Shots | None = None

    @property
    def key(self) -> str:
        """A name that changes with whatever may change the result; checkpoints by their content."""
        parts = {
            "version": version("brainfm"),
            "task": self.task,
            "data": self.data,
            "estimator": [self.name, describe(self.estimator)],
            "fold": asdict(self.fold),
            "seed": self.seed,
            "metrics": self.metrics,
            "classes": self.classes,
            "budget": asdict(self.budget),
            "shots": asdict(self.shots) if self.shots else None,
            "holds": [f.name for f in fields(FoldRecord)],  # a record of before lacks some
        }
        return _digest(json.dumps(parts, sort_keys=True).encode())


def fingerprint(trials: Trials) -> str:
    """Return a hash of all that an estimator can see of a task's trials."""
    about = {
        "shape": trials.X.shape,
        "sfreq": trials.sfreq,
        "names": trials.sensors.names,
        "kind": trials.sensors.kind,
        "y": trials.y.tolist(),
        "subject": trials.meta["subject"].tolist(),
        "onset": trials.meta["onset"].tolist(),
        "recording": trials.meta["recording"].tolist(),
    }
    positions = np.ascontiguousarray(trials.sensors.position).tobytes()
    return _digest(json.dumps(about).encode(), positions, *_contents(trials))


def _contents(trials: Trials) -> list[bytes]:
    """Return the windows, or what says where each stands and how it is made, where they are not at hand."""
    if not isinstance(trials.X, StoredWindows):
        return [np.ascontiguousarray(trials.X).tobytes()]
    view = json.dumps(describe_view(trials.X.reader.view), sort_keys=True)
    contents = "\n".join(trials.meta["fingerprint"])
    return [view.encode(), contents.encode(), trials.X.start.tobytes()]


def describe(value: Any) -> Any:
    """Return an estimator, or an argument of one, as JSON that tells any two settings apart.

    What has no faithful description is written as its ``repr``. Where that holds a memory address
    the fold is computed anew each time: slow, but never a stale result.
    """
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False).items()
        return {"class": _name(type(value)), "params": {k: _param(k, v) for k, v in params}}
    if is_dataclass(value) and not isinstance(value, type):
        own = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"class": _name(type(value)), "fields": own}
    if isinstance(value, partial):  # as jsonargparse hands over a class that is yet to be called
        return {"call": [describe(value.func), describe(value.args), describe(value.keywords)]}
    if isinstance(value, dict):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v) for v in value]
    return _describe_leaf(value)


def _describe_leaf(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), _digest(value.tobytes())]
    if isinstance(value, type | FunctionType) and "<" not in value.__qualname__:
        return _name(value)
    return repr(value)


def _name(value: type | FunctionType) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _param(name: str, value: Any) -> Any:
    """Describe a constructor's argument; a checkpoint by what is in it."""
    if name == "checkpoint" and value is not None:
        paths = [value] if isinstance(value, str | Path) else value
        return [{"path": str(path), "content": _content(Path(path))} for path in paths]
    return describe(value)


def _content(path: Path) -> str | None:
    """Return a hash of a file, or of the weights and cards under a folder."""
    if path.is_file():
        return _digest(path.read_bytes())
    files = sorted(p for name in ("*.safetensors", "config.json") for p in path.rglob(name))
    return _digest(*(p.read_bytes() for p in files)) if files else None


def _digest(*parts: bytes) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(part)
    return whole.hexdigest()
