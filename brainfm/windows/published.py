"""The splits of the literature: fixed lists of subjects, a corpus' own folders, subjects left out in turn.

They are of the table's column ``case``, the subject as the data set names it, where one person may be
several cases; whether a split keeps people apart is for the protocol to find out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import pandas as pd

from brainfm.errors import UsageError
from brainfm.windows.splits import Fold, Split


@dataclass(frozen=True)
class SubjectLists(Split):
    """One fold with named subjects on each side.

    Attributes
    ----------
    validation, test
        names, or ranges of numbers such as ``"29-32"``; zeros in front of a number do not matter.
    train
        the same; None for all others.
    exclude
        recordings to leave out altogether, by their columns, such as ``{subject: "4", run: "0"}``.
    """

    validation: tuple[str, ...]
    test: tuple[str, ...]
    train: tuple[str, ...] | None = None
    exclude: tuple[dict[str, str], ...] = ()

    def split(self, table: pd.DataFrame, seed: int) -> list[Fold]:
        """Divide the recordings of ``table``; the seed changes nothing."""
        table = _without(table, self.exclude)
        case = _cases(table)
        wanted = {side: _expanded(getattr(self, side) or ()) for side in ("validation", "test")}
        chosen = {side: case.isin(names) for side, names in wanted.items()}
        named = None if self.train is None else _expanded(self.train)
        train = ~(chosen["validation"] | chosen["test"]) if named is None else case.isin(named)
        return [_fold(table, train, chosen["validation"], chosen["test"])]


@dataclass(frozen=True)
class CorpusFolders(Split):
    """One fold by the corpus' own folders, with some of the training subjects for validation.

    BIOT (Yang et al. 2023), LaBraM and EEGPT shuffle an unordered set of subjects, so nobody can have the
    split they had; with ``order: seed`` brainfm shuffles the sorted names. CBraMod's fixed split
    of June 2025 takes the last names instead.

    Attributes
    ----------
    train, test
        part of the recordings' path (column ``source``) that says so, such as ``/train/``.
    validation
        share of the training subjects that validate, rounded up.
    order
        ``name`` takes the last in alphabetical order, ``seed`` a shuffle of them.
    within
        ``class`` divides the subjects of each class apart, as the folders of TUAB suggest: somebody with
        recordings of two classes may then train and validate. ``corpus`` divides all together.
    """

    train: str = "/train/"
    test: str = "/eval/"
    validation: float = 0.2
    order: Literal["name", "seed"] = "name"
    within: Literal["class", "corpus"] = "corpus"

    def split(self, table: pd.DataFrame, seed: int) -> list[Fold]:
        """Divide the recordings of ``table``, which has the columns source, label and recording."""
        sides = {name: table["source"].map(_has(name)) for name in (self.train, self.test)}
        if (neither := ~(sides[self.train] ^ sides[self.test])).any():
            raise UsageError(
                f"The path {table['source'][neither].iloc[0]!r} has not one of {self.train!r} and "
                f"{self.test!r}, which tell the corpus' own sides: ingest the corpus from its root."
            )
        case, rng = _cases(table), np.random.default_rng([seed, 4])
        groups = table["label"] if self.within == "class" else pd.Series("all", index=table.index)
        validates = pd.Series(data=False, index=table.index)
        for group in sorted(set(groups[sides[self.train]])):
            mine = sides[self.train] & (groups == group)
            names = sorted(set(case[mine]))
            if self.order == "seed":
                names = [names[i] for i in rng.permutation(len(names))]
            kept = int(len(names) * (1 - self.validation) + 1e-9)
            validates |= mine & case.isin(names[kept:])
        return [_fold(table, sides[self.train] & ~validates, validates, sides[self.test])]


@dataclass(frozen=True)
class LeftOutInTurn(Split):
    """Subjects tested in turn, in their order, with nobody for validation.

    As EEGPT does on BCI IV 2a and 2b (one subject a fold) and on Sleep-EDF (six): what it chooses, it
    chooses on nobody here.

    Attributes
    ----------
    folds
        number of folds of equal size; None for as many as there are subjects. What remains is never
        tested.
    subjects
        the only ones that are used, in the order in which they are tested; all, sorted, where None.
    """

    folds: int | None = None
    subjects: tuple[str, ...] | None = None

    def split(self, table: pd.DataFrame, seed: int) -> list[Fold]:
        """Divide the recordings of ``table``; the seed changes nothing."""
        case = _cases(table)
        there = sorted(set(case)) if self.subjects is None else _listed(self.subjects, case)
        folds = self.folds or len(there)
        size = len(there) // folds
        if len(there) < 2 or not size:
            raise UsageError(
                f"{len(there)} subjects cannot be left out in {folds} turns: give more subjects."
            )
        parts = [there[i * size : (i + 1) * size] for i in range(folds)]
        used, nobody = case.isin(there), pd.Series(data=False, index=table.index)
        return [
            _fold(table, used & ~case.isin(part), nobody, case.isin(part), index=i)
            for i, part in enumerate(parts)
        ]


def _fold(
    table: pd.DataFrame,
    train: pd.Series,
    validation: pd.Series,
    test: pd.Series,
    *,
    index: int = 0,
) -> Fold:
    """Return a fold of recordings, since published splits may divide a subject's."""
    names = table["recording"].astype(str)
    sides = [tuple(sorted(set(names[rows]))) for rows in (train, validation, test)]
    if not (sides[0] and sides[2]):
        raise UsageError(
            "Nobody is left to train on or to test with in this split: it is for the whole data set, and "
            "the store has but a part; use brainfm's own folds."
        )
    return Fold(index, *sides, by="recording")


def _cases(table: pd.DataFrame) -> pd.Series:
    """Return the subjects as the data set names them, without zeros in front of numbers."""
    return (table["case"] if "case" in table else table["subject"]).map(plain)


def _listed(names: Sequence[str], case: pd.Series) -> list[str]:
    there = set(case)
    return [name for name in _expanded(names) if name in there]


def _expanded(names: Sequence[str]) -> list[str]:
    """Return names without zeros in front, each number of a range by itself."""
    return list(chain.from_iterable(_range(str(name)) for name in names))


def _range(name: str) -> list[str]:
    found = re.fullmatch(r"(\d+)-(\d+)", name)
    return [str(i) for i in range(int(found[1]), int(found[2]) + 1)] if found else [plain(name)]


def _without(table: pd.DataFrame, exclude: Sequence[dict[str, str]]) -> pd.DataFrame:
    """Return the rows that match none of the descriptions."""
    kept = pd.Series(data=True, index=table.index)
    for one in exclude:
        alike = [
            (_cases(table) if column == "subject" else table[column].map(plain)) == plain(value)
            for column, value in one.items()
        ]
        kept &= ~np.logical_and.reduce(alike)
    return table[kept]


def plain(value: object) -> str:
    """Return a name without leading zeros, as BIDS counts 1 and 01 the same."""
    text = str(value)
    return text.lstrip("0") or "0" if text.isdigit() else text


def _has(part: str):
    return lambda source: part in f"/{source}"
