"""Splits by subject, as pure functions of a table with a ``subject`` column.

A window of a subject tells much about every other window of the same subject, so a split that puts
both on different sides measures memory. Splits are made of subjects, never of windows (Del Pup et
al. 2025, arXiv:2505.13021), and depend on nothing but the set of subjects and the seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool

from brainfm.errors import UsageError

Unit = Literal["subject", "recording", "window"]


@dataclass(frozen=True)
class Fold:
    """One division of the subjects, or of smaller units where a split is not one of subjects.

    Attributes
    ----------
    index
        number of the fold, from 0.
    train
        names of those to fit on.
    validation
        names of those to choose between models on; may be none.
    test
        names of those to score on, once.
    by
        what is named: see `names_of`.

    Raises
    ------
    UsageError
        When a name stands on two sides.
    """

    index: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    by: Unit = "subject"

    def __post_init__(self) -> None:
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        check_disjoint(self.by.capitalize(), **sides)

    def rows(self, side: str, table: pd.DataFrame) -> Bool[np.ndarray, " row"]:
        """Say of each row of ``table`` whether it is on ``side``: train, validation or test."""
        return names_of(table, self.by).isin(getattr(self, side)).to_numpy(dtype=bool)


class Split(ABC):
    """A way to divide a table of windows into folds."""

    @abstractmethod
    def split(self, table: pd.DataFrame, seed: int) -> list[Fold]:
        """Return the folds of a table; see each class for the columns that it needs."""


def names_of(table: pd.DataFrame, by: Unit) -> pd.Series:
    """Return the name of each row's unit: its subject, its recording, or itself as ``recording@onset``."""
    if by == "window":
        return table["recording"].astype(str) + "@" + table["onset"].map("{:.6f}".format)
    return table[by].astype(str)


@dataclass(frozen=True)
class SubjectFolds(Split):
    """Cross-validation in which every subject is a test subject exactly once.

    Attributes
    ----------
    folds
        number of folds.
    validation
        share of the subjects left for training that is put aside for validation, at least one
        subject unless it is 0.
    test_subjects
        the only subjects that may be tested, or None for all; the others are trained on in every
        fold. For checkpoints that have seen some of the subjects in pretraining.
    """

    folds: int = 5
    validation: float = 0.2
    test_subjects: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UsageError(f"{self.folds} folds were asked for: give at least 2.")
        _check_share(self.validation)

    def split(self, table: pd.DataFrame, seed: int) -> list[Fold]:
        """Divide the subjects of ``table``.

        Parameters
        ----------
        table
            any table with a ``subject`` column; the order and number of its rows change nothing.
        seed
            shuffles the subjects.

        Returns
        -------
        folds
            every subject that may be tested is in exactly one fold's ``test``.

        Raises
        ------
        UsageError
            When there are too few subjects, or a test subject is not in the table.
        """
        subjects = subjects_of(table)
        tested = self._tested(subjects)
        if len(tested) < self.folds:
            raise UsageError(
                f"{len(tested)} subjects cannot make {self.folds} folds of test subjects: "
                "give more subjects or fewer folds."
            )
        parts = np.array_split(_shuffle(tested, np.random.default_rng([seed, 0])), self.folds)
        return [
            self._fold(i, subjects, tuple(sorted(map(str, part))), seed)
            for i, part in enumerate(parts)
        ]

    def _tested(self, subjects: tuple[str, ...]) -> tuple[str, ...]:
        """Return the sorted subjects that may be tested."""
        if self.test_subjects is None:
            return subjects
        if unknown := sorted(set(self.test_subjects) - set(subjects)):
            raise UsageError(
                f"Test subjects {unknown} are not among the {len(subjects)} subjects of the data: "
                f"choose from {list(subjects)}."
            )
        return tuple(sorted(set(self.test_subjects)))

    def _fold(
        self, index: int, subjects: tuple[str, ...], test: tuple[str, ...], seed: int
    ) -> Fold:
        """Divide what is not tested into train and validation."""
        rest = tuple(s for s in subjects if s not in test)
        rng = np.random.default_rng([seed, 1, index])
        train, validation = _part(rest, self.validation, rng)
        return Fold(index, train, validation, test)


def hold_out(table: pd.DataFrame, fraction: float, seed: int) -> Fold:
    """Divide the subjects of ``table`` once, into train and validation.

    Parameters
    ----------
    table
        any table with a ``subject`` column.
    fraction
        share of the subjects put aside for validation, at least one unless it is 0.
    seed
        shuffles the subjects.

    Returns
    -------
    fold
        with nobody in ``test``.

    Raises
    ------
    UsageError
        When no subject would be left to train on.
    """
    _check_share(fraction)
    rng = np.random.default_rng([seed, 2])
    train, validation = _part(subjects_of(table), fraction, rng)
    return Fold(0, train, validation, ())


def subjects_of(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the subjects of a table, sorted.

    Raises
    ------
    UsageError
        When the table has no ``subject`` column, or a row has no subject.
    """
    if "subject" not in table.columns:
        raise UsageError(
            f"A table without a subject column (it has {list(table.columns)}) cannot be split by "
            "subject: add the column."
        )
    if missing := int(table["subject"].isna().sum()):
        raise UsageError(f"{missing} rows have no subject: name the subject of every recording.")
    return tuple(sorted({str(s) for s in table["subject"]}))


def check_disjoint(what: str = "Subject", **sides: tuple[str, ...]) -> None:
    """Refuse a name that stands on two sides of a split.

    Parameters
    ----------
    what
        the names are of.
    sides
        the names of each side, by the side's name.

    Raises
    ------
    UsageError
        Giving the name and both sides.
    """
    for (a, left), (b, right) in combinations(sides.items(), 2):
        if both := sorted(set(left) & set(right)):
            raise UsageError(
                f"{what} {both[0]!r} is in {a} and in {b}: put each {what.lower()} on one side only."
            )


def _part(
    subjects: tuple[str, ...], share: float, rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (train, validation), sorted."""
    count = max(1, round(share * len(subjects))) if share > 0 else 0
    if count >= len(subjects):
        raise UsageError(
            f"{len(subjects)} subjects besides those tested cannot be divided into training and "
            f"{count} for validation: give more subjects or a smaller share for validation."
        )
    shuffled = _shuffle(subjects, rng)
    return tuple(sorted(shuffled[count:])), tuple(sorted(shuffled[:count]))


def _shuffle(subjects: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    """Shuffle sorted subjects, so that the outcome depends on the set and the seed alone."""
    return [subjects[i] for i in rng.permutation(len(subjects))]


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise UsageError(f"A share of {share} of the subjects: give a number from 0 to below 1.")


NESTED = SubjectFolds()
"""How windows are divided where nothing else is asked for."""
