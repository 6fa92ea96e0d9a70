"""Two hypnograms beside each other: stages, and the moments at which they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from brainfm.errors import UsageError
from brainfm.evaluation.jackknife import AGREEMENT, SHARE
from brainfm.evaluation.measures import (
    Evidence,
    Measure,
    Measured,
    Value,
    by_subject,
    over_subjects,
)
from brainfm.evaluation.records import FoldRecord

Stages = np.ndarray


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far a hypnogram follows another.

    Attributes
    ----------
    accuracy, kappa
        share of the epochs in the same stage, and Cohen's κ.
    f1
        by stage, in the order of ``stages``; NaN for a stage in neither.
    true_transitions, found_transitions
        changes of stage, and those of them that the other shows too, within the tolerance.
    false_transitions
        changes that the other hypnogram shows alone.
    """

    stages: tuple[str, ...]
    accuracy: float
    kappa: float
    f1: tuple[float, ...]
    true_transitions: int
    found_transitions: int
    false_transitions: int


@dataclass(frozen=True)
class Hypnograms(Measure):
    """Agreement of predicted hypnograms with the scored ones, night by night, with their transitions.

    Attributes
    ----------
    tolerance
        epochs by which a transition may be early or late.
    """

    tolerance: int = 1

    def measure(self, evidence: Evidence, records: Sequence[FoldRecord]) -> Measured:
        """Return the agreement of one estimator; the tables have a row a night, and a pair of stages."""
        nights, counted = [], []
        for record in records:
            for night, pairs in self._nights(evidence, record):
                nights.append(night)
                counted.append(pairs)
        table = pd.DataFrame(nights)
        f1 = [f"f1_{stage}" for stage in evidence.classes]
        true, found, false = (
            by_subject(table, f"{kind}_transitions") for kind in ("true", "found", "false")
        )
        values = (
            *(_over_nights(table, name) for name in ("accuracy", "kappa", *f1)),
            over_subjects("transitions found", found, true),
            over_subjects("transitions that are true", found, found + false),
        )
        pairs = pd.concat(counted).groupby(["seed", "before", "after"], as_index=False, sort=False)
        return Measured(values, {"hypnograms": table, "transitions": pairs.sum()})

    def _nights(
        self, evidence: Evidence, record: FoldRecord
    ) -> list[tuple[dict[str, Any], pd.DataFrame]]:
        """Return each recording's agreement, and its transitions counted."""
        names = np.asarray(evidence.classes)
        meta = evidence.trials.meta.iloc[record.trials].reset_index(drop=True)
        truth = evidence.trials.y[np.asarray(record.trials)]
        predicted = names[np.asarray(record.proba).argmax(axis=1)]
        found = []
        for recording, rows in meta.groupby("recording", sort=False):
            order = rows.sort_values("onset", kind="stable").index.to_numpy()
            parts = unbroken(meta["onset"].to_numpy(dtype=np.float64)[order], evidence.seconds)
            night = _Night(truth[order], predicted[order], parts, evidence.classes)
            about = {"seed": record.seed, "subject": str(rows["subject"].iloc[0])}
            agreement = about | {"recording": recording} | night.agreement(self.tolerance)
            found.append((agreement, night.pairs().assign(seed=record.seed)))
        return found


@dataclass(frozen=True, eq=False)
class _Night:
    """One recording's epochs, with the stretches between which epochs are missing."""

    truth: Stages
    predicted: Stages
    parts: list[slice]
    stages: tuple[str, ...]

    def agreement(self, tolerance: int) -> dict[str, Any]:
        """Return the columns of the table; a change is never counted across a gap."""
        whole = compare_hypnograms(self.truth, self.predicted, self.stages)
        parts = [
            compare_hypnograms(self.truth[p], self.predicted[p], self.stages, tolerance=tolerance)
            for p in self.parts
        ]
        row = {"n_epochs": len(self.truth), "accuracy": whole.accuracy, "kappa": whole.kappa}
        row |= {f"f1_{name}": value for name, value in zip(self.stages, whole.f1, strict=True)}
        for kind in ("true_transitions", "found_transitions", "false_transitions"):
            row[kind] = sum(getattr(part, kind) for part in parts)
        return row

    def pairs(self) -> pd.DataFrame:
        """Return a row a pair of stages that follow each other, with how often they do."""
        true, predicted = (
            sum(transition_counts(night[p], self.stages) for p in self.parts)
            for night in (self.truth, self.predicted)
        )
        names = np.array(self.stages)
        before, after = np.repeat(names, len(names)), np.tile(names, len(names))
        return pd.DataFrame(
            {
                "before": before,
                "after": after,
                "true": np.ravel(true),
                "predicted": np.ravel(predicted),
            }
        )


def unbroken(onset: np.ndarray, seconds: float) -> list[slice]:
    """Return the stretches in which every epoch starts where the one before ends."""
    breaks = np.flatnonzero(~np.isclose(np.diff(onset), seconds, rtol=0, atol=0.5 * seconds)) + 1
    return [slice(a, b) for a, b in pairwise([0, *breaks.tolist(), len(onset)])]


def _over_nights(table: pd.DataFrame, column: str) -> Value:
    """Return the mean over nights of a number that some nights lack."""
    known = table.assign(known=table[column].notna().astype(float), value=table[column].fillna(0.0))
    return over_subjects(
        column.replace("_", " "),
        by_subject(known, "value"),
        by_subject(known, "known"),
        AGREEMENT if column == "kappa" else SHARE,
    )


def compare_hypnograms(
    truth: Stages, predicted: Stages, stages: tuple[str, ...], *, tolerance: int = 1
) -> Agreement:
    """Compare two hypnograms of the same night, epoch by epoch.

    A change is found where the other hypnogram changes from the same stage to the same stage no more than
    ``tolerance`` epochs away; each change is matched once, the nearest first.

    Parameters
    ----------
    truth, predicted
        (epoch,) names of the stages.
    stages
        all names, in the order wanted.
    tolerance
        in epochs.

    Raises
    ------
    UsageError
        When the nights differ in length or a stage is not named.
    """
    if len(truth) != len(predicted) or not len(truth):
        raise UsageError(
            f"The hypnograms have {len(truth)} and {len(predicted)} epochs: give the same night twice."
        )
    if unknown := sorted({*truth.tolist(), *predicted.tolist()} - set(stages)):
        raise UsageError(f"The stages {unknown} are not among {list(stages)}: name them too.")
    one = len({*truth.tolist(), *predicted.tolist()}) == 1  # κ has no chance to correct for
    f1 = f1_score(truth, predicted, labels=list(stages), average=None, zero_division=np.nan)
    mine, theirs = transitions(truth), transitions(predicted)
    found = _matched(mine, theirs, tolerance)
    return Agreement(
        stages=stages,
        accuracy=float(accuracy_score(truth, predicted)),
        kappa=float("nan") if one else float(cohen_kappa_score(truth, predicted)),
        f1=tuple(float(value) for value in f1),
        true_transitions=len(mine),
        found_transitions=found,
        false_transitions=len(theirs) - found,
    )


def transitions(stages: Stages) -> list[tuple[int, str, str]]:
    """Return the first epoch of every new stage, with the stage before and the stage after."""
    at = np.flatnonzero(stages[1:] != stages[:-1]) + 1
    return [(int(i), str(stages[i - 1]), str(stages[i])) for i in at]


def transition_counts(truth: Stages, stages: tuple[str, ...]) -> Int[np.ndarray, "stage stage"]:
    """Return how often each stage (row) is followed by each (column), itself included."""
    number = {name: i for i, name in enumerate(stages)}
    place = np.array([number[str(name)] for name in truth])
    counts = np.zeros((len(stages), len(stages)), dtype=np.int64)
    np.add.at(counts, (place[:-1], place[1:]), 1)
    return counts


def _matched(
    mine: list[tuple[int, str, str]], theirs: list[tuple[int, str, str]], tolerance: int
) -> int:
    """Return how many changes can be paired, the nearest first, each once."""
    pairs = sorted(
        (abs(a[0] - b[0]), i, j)
        for i, a in enumerate(mine)
        for j, b in enumerate(theirs)
        if a[1:] == b[1:] and abs(a[0] - b[0]) <= tolerance
    )
    used_mine: set[int] = set()
    used_theirs: set[int] = set()
    for _, i, j in pairs:
        if i not in used_mine and j not in used_theirs:
            used_mine.add(i)
            used_theirs.add(j)
    return len(used_mine)
