"""Few labels: what an estimator makes of k training windows of each class, or of k training subjects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from brainfm.errors import UsageError
from brainfm.evaluation.settings import parts_of

Of = Literal["trials", "subjects"]


@dataclass(frozen=True)
class Shots:
    """How much a fit may be trained on.

    Attributes
    ----------
    k
        how many.
    of
        ``trials``, labelled windows of each class, or ``subjects``.
    """

    k: int
    of: Of


@dataclass(frozen=True)
class FewShot:
    """The points of a few-shot curve, besides the one with all labels.

    The draws are nested: whoever is trained on with k is trained on with more, too. All estimators have the
    same draws, and all validation subjects, so that only the training labels are few.

    Attributes
    ----------
    trials
        labelled windows of each class, drawn from all training subjects.
    subjects
        training subjects, each with all windows.
    """

    trials: tuple[int, ...] = ()
    subjects: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for k in (*self.trials, *self.subjects):
            if k < 1:
                raise UsageError(f"A few-shot curve with {k} labels: give numbers from 1.")

    def __iter__(self) -> Iterator[Shots]:
        for k in sorted(set(self.trials)):
            yield Shots(k, "trials")
        for k in sorted(set(self.subjects)):
            yield Shots(k, "subjects")


ALL_LABELS = FewShot()
"""No curve."""


def draw_rows(
    shots: Shots, table: pd.DataFrame, train: Bool[np.ndarray, " row"], seed: list[int]
) -> Int[np.ndarray, " left"]:
    """Return which of the training rows are left, in their order.

    Parameters
    ----------
    shots
        how many.
    table
        all windows, with the columns label and subject.
    train
        the rows on the fold's training side.
    seed
        of the draw; the same for every ``shots.k``.

    Raises
    ------
    UsageError
        Where there are not so many, or those drawn do not show every class.
    """
    if shots.of == "trials" and table["label"].dtype.kind == "f":
        raise UsageError(
            "A few-shot curve over trials of each class, and the task is of numbers: give `subjects`."
        )
    rng, rows = np.random.default_rng(seed), np.flatnonzero(train)
    column = "label" if shots.of == "trials" else "subject"
    names = table[column].to_numpy(dtype=str)[rows]
    if shots.of == "subjects":
        there = np.unique(names)
        _check(shots, len(there), "subjects")
        kept = rows[np.isin(names, rng.permutation(there)[: shots.k])]
        _check_classes(shots, table["label"], rows, kept)
        return kept
    parts = []
    for label in np.unique(names):
        mine = rng.permutation(rows[names == label])
        _check(shots, len(mine), f"windows of {label}")
        parts.append(mine[: shots.k])
    return np.sort(np.concatenate(parts))


def check_learns(name: str, estimator: Any, shots: Shots, *, validated: bool) -> None:
    """Refuse a point of the curve that an estimator cannot learn from, before any fit.

    An estimator says by a method ``least_windows(validated)`` how many windows of each class it needs.

    Parameters
    ----------
    name, estimator
        before a fit, whatever it is wrapped in.
    shots
        the point.
    validated
        whether there are validation subjects to choose on.
    """
    least = _least_windows(estimator, validated)
    if shots.of == "trials" and shots.k < least:
        raise UsageError(
            f"{name!r} learns from {least} windows of each class or more, and the few-shot curve has a point "
            f"with {shots.k}: take that point out, or the estimator."
        )


def _least_windows(estimator: Any, validated: bool) -> int:
    own = estimator.least_windows(validated) if hasattr(estimator, "least_windows") else 1
    return max(own, *(_least_windows(part, validated) for part in parts_of(estimator)), 1)


def _check(shots: Shots, there: int, what: str) -> None:
    if shots.k > there:
        raise UsageError(
            f"A few-shot curve over {shots.k} {shots.of}, and a fold trains on {there} {what}: "
            "take that point out."
        )


def _check_classes(shots: Shots, label: pd.Series, rows: np.ndarray, kept: np.ndarray) -> None:
    if label.dtype.kind != "f" and (lacking := set(label.iloc[rows]) - set(label.iloc[kept])):
        raise UsageError(
            f"A few-shot curve over {shots.k} subjects, and in a fold those drawn have no window of "
            f"{sorted(lacking)}: take that point out, or give `trials` of each class."
        )
