"""What is measured beside the scores of windows: each task names its own, as classes.

A measure sees the predictions of every fold for its test windows, and for its validation windows, on which
alone it may choose a threshold or a temperature.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from brainfm.evaluation.intervals import NOTHING, Interval, leave_out
from brainfm.evaluation.jackknife import SHARE, Scale, jackknife
from brainfm.evaluation.records import FoldRecord
from brainfm.windows.splits import Fold
from brainfm.windows.trials import Trials


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the predictions are about.

    Attributes
    ----------
    trials
        all windows of the task.
    classes
        in the order of the columns of probabilities; of two, the second is the positive one.
    store
        of the recordings; None for windows that come from elsewhere.
    """

    trials: Trials
    classes: tuple[str, ...]
    store: Path | None = None

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.trials.X.shape[2] / self.trials.sfreq

    @property
    def truth(self) -> Int[np.ndarray, " trial"]:
        """Index of each window's class."""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number[str(name)] for name in self.trials.y], dtype=np.int64)


@dataclass(frozen=True)
class Value:
    """One number of an estimator.

    Attributes
    ----------
    quantity
        its name.
    value
        mean over seeds.
    interval
        95 %, over subjects and seeds; nothing where none can be given.
    n_subjects
        test subjects it is of.
    """

    quantity: str
    value: float
    interval: Interval = NOTHING
    n_subjects: int = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """What a measure says of one estimator.

    Attributes
    ----------
    values
        the numbers to compare.
    tables
        all that they were made of, by the name of a CSV file.
    """

    values: tuple[Value, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


class Measure(ABC):
    """Something that predictions are judged by."""

    def check(self, evidence: Evidence, folds: Sequence[Fold]) -> None:  # noqa: B027
        """Refuse, with ``UsageError`` and before any fit, a task of which this cannot be measured."""

    @abstractmethod
    def measure(self, evidence: Evidence, records: Sequence[FoldRecord]) -> Measured:
        """Measure one estimator, all folds of which are done."""


def measure_all(
    measures: Sequence[Measure], evidence: Evidence, records: Sequence[FoldRecord]
) -> dict[str, pd.DataFrame]:
    """Return the tables of all measures by the name of their file, and ``measures``, which sums them up.

    An estimator with a missing fold is left out.
    """
    by_name: dict[str, list[FoldRecord]] = {}
    for record in records:
        by_name.setdefault(record.estimator, []).append(record)
    parts: dict[str, list[pd.DataFrame]] = {}
    for name, mine in by_name.items():
        for measure in measures if all(r.done for r in mine) else ():
            found = measure.measure(evidence, mine)
            summed = _summary(measure, found.values)
            for stem, table in {"measures": summed, **found.tables}.items():
                named = table.assign(task=mine[0].task, estimator=name)
                front = ["task", "estimator"]
                ordered = named[[*front, *(c for c in table.columns if c not in front)]]
                parts.setdefault(stem, []).append(ordered)
    return {stem: pd.concat(tables, ignore_index=True) for stem, tables in parts.items()}


def over_subjects(
    quantity: str,
    numerator: Float64[np.ndarray, "seed subject"],
    denominator: Float64[np.ndarray, "seed subject"],
    scale: Scale = SHARE,
) -> Value:
    """Return a ratio of sums over subjects, such as events found of events there, with its interval.

    Parameters
    ----------
    quantity
        its name.
    numerator, denominator
        what every subject adds to each sum; nothing of both for a subject of whom it is not known.
    scale
        where the ratio may lie.
    """
    spoken_of = (denominator > 0).any(axis=0)
    weights = leave_out(int(spoken_of.sum())).T
    below = denominator[:, spoken_of] @ weights
    above = numerator[:, spoken_of] @ weights
    ratio = np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
    counted = int(spoken_of.sum())
    interval = jackknife(ratio, scale)
    return Value(quantity, float(ratio[:, 0].mean()), interval, counted)


def by_subject(table: pd.DataFrame, column: str) -> Float64[np.ndarray, "seed subject"]:
    """Return the sums of a column by the columns ``seed`` and ``subject``, 0 where there is no row."""
    sums = table.pivot_table(
        index="seed", columns="subject", values=column, aggfunc="sum", fill_value=0
    )
    return sums.to_numpy(dtype=np.float64)


def _summary(measure: Measure, values: Sequence[Value]) -> pd.DataFrame:
    rows = [
        {
            "measure": type(measure).__name__, "quantity": v.quantity, "value": v.value,
            "low": v.interval.low, "high": v.interval.high, "n_subjects": v.n_subjects,
        }
        for v in values
    ]  # fmt: skip
    return pd.DataFrame(rows)
