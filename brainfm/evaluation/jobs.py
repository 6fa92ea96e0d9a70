"""What is to be computed, fold by fold, and whether what is kept of it still holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from brainfm.evaluation.fingerprints import LIBRARIES, digest
from brainfm.evaluation.records import FoldRecord, read_record
from brainfm.evaluation.shots import Shots
from brainfm.evaluation.tuning import UNLIMITED, Budget
from brainfm.windows.splits import Fold


@dataclass(frozen=True, eq=False)
class Job:
    """One estimator to be fitted and tested on one fold, and where its result is kept.

    Attributes
    ----------
    task
        name of the task.
    data
        fingerprint of its trials.
    name, estimator
        as configured, before any fit.
    described
        hash of the estimator's description.
    fold, seed
        the division of the subjects, and the seed of the estimator.
    tested
        all names under which the store has the test subjects.
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
    described: str
    fold: Fold
    seed: int
    tested: tuple[str, ...]
    metrics: tuple[str, ...]
    classes: tuple[str, ...]
    budget: Budget = UNLIMITED
    shots: Shots | None = None

    @cached_property
    def made_of(self) -> dict[str, str]:
        """Whatever may change the result, in words, by its version or a hash."""
        parts = {
            "data": self.data,
            "an estimator's settings, code or checkpoint": self.described,
            "the division into folds": [asdict(self.fold), self.tested],
            "metrics, classes or budget": [self.metrics, self.classes, asdict(self.budget)],
            "what is kept of a fold": [f.name for f in fields(FoldRecord)],
        }
        versions = {name: version(name) for name in ("brainfm", *LIBRARIES)}
        return versions | {words: _hash(part) for words, part in parts.items()}

    @property
    def place(self) -> str:
        """The beginning of the file's name: which fold it is, whatever it was made of."""
        few = asdict(self.shots) if self.shots else None
        return _hash([self.task, self.name, self.fold.index, self.seed, few])[:12]

    @property
    def file(self) -> str:
        """Name of the file that keeps the result, another one where anything may have changed it."""
        return f"{self.place}-{_hash(self.made_of)}.json"


def changes(jobs: Sequence[Job], folder: Path) -> str:
    """Return a sentence about the folds that are kept but were made otherwise; nothing where none is.

    Parameters
    ----------
    jobs
        the folds that are wanted.
    folder
        where they are kept.
    """
    found = [changed for job in jobs if (changed := _changed(job, folder))]
    if not found:
        return ""
    listed = ", ".join(dict.fromkeys(words for changed in found for words in changed))
    return f"{len(found)} folds kept in {folder} are computed anew, as these changed: {listed}."


def _changed(job: Job, folder: Path) -> list[str]:
    """Return what is otherwise than in the kept fold that is most alike; nothing where this one is kept."""
    if (folder / job.file).exists():
        return []
    kept = [read_record(path) for path in sorted(folder.glob(f"{job.place}-*.json"))]
    found = [_difference(record.made_of, job.made_of) for record in kept if record is not None]
    return min(found, key=len, default=[])


def _difference(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs, in words; of versions both."""
    differ = [part for part in now if now[part] != before.get(part)]
    versions = ("brainfm", *LIBRARIES)
    return [f"{p} ({before.get(p)}, now {now[p]})" if p in versions else p for p in differ]


def _hash(value: Any) -> str:
    return digest(json.dumps(value, sort_keys=True).encode())
