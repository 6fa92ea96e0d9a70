"""Whether a checkpoint has seen what it is tested on, and whether anybody stands there twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, product
from typing import Any, Literal

import pandas as pd
from sklearn.base import BaseEstimator, clone

from brainfm.card import join_seen

Status = Literal["clean", "unknown", "seen-unlabelled", "seen-labelled"]
WORST: tuple[Status, ...] = ("seen-labelled", "seen-unlabelled", "unknown", "clean")
"""What counts of several: the first that is among them."""

NAMES = ("subject", "case")
"""Columns with names of a person: of the person, and as the data set names each of a person's cases."""


@dataclass(frozen=True)
class Person:
    """Somebody, as a data set names them.

    Attributes
    ----------
    subject
        code of the person.
    dataset
        which data set has the code; empty where that is not known.
    people_of
        name under which the data set shares its codes with others, its own where it does not, empty
        where that is not known; see `Recipe.people_of`.
    """

    subject: str
    dataset: str = ""
    people_of: str = ""

    @property
    def shared(self) -> bool:
        """Whether other data sets have the person under the same code."""
        return self.people_of not in ("", self.dataset)

    def shares_codes(self, other: Person) -> bool | None:
        """Say whether one code would mean one person in both data sets; None where it cannot be said."""
        if not (self.dataset and other.dataset) or self.dataset == other.dataset:
            return True  # known by the code alone: better a false alarm
        if self.people_of and other.people_of:
            return self.people_of == other.people_of
        return None if all(p.shared or not p.people_of for p in (self, other)) else False


class Examined:
    """Who and what is tested, arranged once for all that may have seen it.

    Parameters
    ----------
    rows
        the test windows or recordings, with the columns fingerprint, subject and, where known, case,
        dataset and people_of.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.fingerprints = frozenset(rows["fingerprint"])
        self.people = _people(rows)
        self.forms = _forms(self.people)


class Seen:
    """What a training has seen, arranged once for all that is tested.

    Parameters
    ----------
    pretraining
        the model card's ``data``, see `brainfm.card.join_seen`; an old one says less.
    """

    def __init__(self, pretraining: Mapping[str, Any]) -> None:
        self.pretraining = pretraining
        self.fingerprints = frozenset(pretraining.get("fingerprints") or ())

    @cached_property
    def by_code(self) -> dict[str, list[Person]]:
        """The people, by their codes."""
        seen, found = join_seen(self.pretraining), dict[str, list[Person]]()
        for dataset, code in seen["people"]:
            person = Person(code, dataset, seen["people_of"].get(dataset, ""))
            found.setdefault(code, []).append(person)
        return found

    @cached_property
    def forms(self) -> set[Person]:
        """The people with the form of their codes in place of them."""
        return _forms(chain.from_iterable(self.by_code.values()))

    @cached_property
    def labelled(self) -> Seen | None:
        """What was seen with labels; None where that is not known."""
        labelled = self.pretraining.get("labelled", {})
        if labelled is None:
            return None
        return Seen({**self.pretraining, "subjects": (), **labelled} if labelled else {})

    def has(self, tested: Examined) -> bool:
        """Say whether some of the recordings, or others of their subjects, are known to have been seen."""
        return not self.fingerprints.isdisjoint(tested.fingerprints) or bool(self.people(tested))

    def people(self, tested: Examined) -> list[str]:
        """Return the codes of the tested people who were seen, sorted.

        A code in the same data set is one person; in two data sets where both share their people
        (`Recipe.people_of`); and where either side names no data set, so that two that both call
        somebody ``01`` are taken for overlapping.
        """
        return sorted({person.subject for same, person in self._compared(tested) if same})

    def overlap(self, tested: Examined) -> Status:
        """Compare with what is tested.

        A recording counts as seen by its content's fingerprint, and also by its subject: other recordings of
        the same person leak as well, see `people`.

        Returns
        -------
        status
            ``"clean"``; ``"seen-labelled"`` where training has seen the label of a test recording, or of any
            recording of a test subject; ``"seen-unlabelled"`` where it has seen them without; ``"unknown"``
            where the card does not say, or not whether with labels, or codes of people cannot be compared.
        """
        if self.has(tested):
            if self.labelled is None:
                return "unknown"
            return "seen-labelled" if self.labelled.has(tested) else "seen-unlabelled"
        told = self.fingerprints and self.by_code and not self._compared(tested)
        return "clean" if told and not _other_codes(self.forms, tested.forms) else "unknown"

    def _compared(self, tested: Examined) -> list[tuple[bool | None, Person]]:
        """Return the tested people who are or may be among the seen, and whether they are."""
        pairs = [
            (p.shares_codes(q), p) for p in tested.people for q in self.by_code.get(p.subject, ())
        ]
        return [(same, person) for same, person in pairs if same is not False]


@dataclass(frozen=True)
class Twice:
    """One recording's content in several places.

    Attributes
    ----------
    fingerprint
        of the content.
    people
        (data set, subject) of each place, more than one.
    """

    fingerprint: str
    people: tuple[tuple[str, str], ...]


def find_twice(rows: pd.DataFrame) -> list[Twice]:
    """Return the recordings that stand under several subjects or in several data sets.

    Only equal content is found: a copy that was filtered or cut otherwise has another fingerprint.

    Parameters
    ----------
    rows
        windows or recordings, with the columns fingerprint, subject and, where known, dataset.
    """
    named = rows.assign(dataset=rows.get("dataset", ""))
    distinct = named[["fingerprint", "dataset", "subject"]].astype(str).drop_duplicates()
    return [
        Twice(str(fingerprint), tuple(sorted(zip(part["dataset"], part["subject"], strict=True))))
        for fingerprint, part in distinct.groupby("fingerprint")
        if len(part) > 1
    ]


def histories_of(estimator: BaseEstimator) -> list[Mapping[str, Any]]:
    """Return what an estimator and each of those inside it say that they were pretrained on.

    An estimator says so by an attribute ``pretraining``, before it is fitted.
    """
    said = (getattr(part, "pretraining", None) for part in _parts(estimator))
    return [data for data in said if data is not None]


def worst_overlap(histories: Iterable[Seen], tested: Examined) -> Status:
    """Return the worst `Seen.overlap` of several histories, as of checkpoints that vote; clean of none."""
    found = {history.overlap(tested) for history in histories}
    return next((status for status in WORST if status in found), "clean")


def all_names(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of everybody in some rows, of persons and of their cases, sorted."""
    return tuple(sorted({str(name) for c in NAMES if c in rows for name in rows[c]}))


def _people(rows: pd.DataFrame) -> set[Person]:
    """Return everybody under all their names."""
    blank = pd.Series("", index=rows.index)
    origin = [rows.get(column, blank).astype(str) for column in ("dataset", "people_of")]
    names = [rows[column].astype(str) for column in NAMES if column in rows]
    return {Person(*row) for name in names for row in zip(name, *origin, strict=True)}


def _other_codes(known: set[Person], tested: set[Person]) -> bool:
    """Say whether data sets that may share their people name them by codes of different forms.

    A corpus may have given its patients new codes (TUH did, letters for digits): equal codes still prove
    that somebody was seen, but other codes do not prove the contrary.
    """
    return any(
        a.subject != b.subject
        and (a.shares_codes(b) is None or (a.shares_codes(b) and a.shared and b.shared))
        for a, b in product(known, tested)
    )


def _forms(people: Iterable[Person]) -> set[Person]:
    """Return people with the form of their codes in place of them."""
    return {replace(person, subject=_form(person.subject)) for person in people}


def _form(code: str) -> str:
    """Return what kind of character stands where in a code: ``aaaaaaab`` is no ``00000768``."""
    return re.sub(r"[a-zA-Z]", "a", re.sub(r"[0-9]", "0", code))


def _parts(value: Any) -> Iterator[BaseEstimator]:
    """Yield an estimator and all inside it, also what a search makes of other checkpoints."""
    if isinstance(value, BaseEstimator):
        given = value.get_params(deep=False)
        yield value
        yield from _parts(given)
        yield from _parts([*_searched(given)])
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _parts(inner)


def _searched(given: Mapping[str, Any]) -> Iterator[BaseEstimator]:
    """Yield what a search will try, once for each checkpoint that its grid names."""
    if not isinstance(given.get("estimator"), BaseEstimator):
        return
    listed = (value if isinstance(value, list | tuple) else [value] for value in given.values())
    for grid in (one for grids in listed for one in grids if isinstance(one, dict)):
        for name, values in grid.items():
            for folder in values if name.rpartition("__")[2] == "checkpoint" else ():
                yield clone(given["estimator"]).set_params(**{name: folder})
