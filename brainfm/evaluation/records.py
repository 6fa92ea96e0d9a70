"""What a finished fold leaves on disk, so that an interrupted evaluation can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from brainfm.disk import write_whole


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
        time of fitting and predicting, as if nothing had been computed for others before.
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
        settings that were fitted to choose among, and the time of fitting without predicting.
    flops
        see `brainfm.evaluation.parameters`.
    identity
        see `brainfm.evaluation.identity`; of the first fold of each seed.
    kernels
        paths of the selective scan that ran.
    validation, validation_proba
        as ``trials`` and ``proba``, of the validation windows.
    made_of
        see `brainfm.evaluation.jobs.Job`.
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
    made_of: dict[str, str] = field(default_factory=dict)

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
