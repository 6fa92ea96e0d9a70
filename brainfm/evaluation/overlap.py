"""Whether a checkpoint has seen what it is tested on, and whether anybody stands there twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from sklearn.base import BaseEstimator

Status = Literal["clean", "seen-unlabelled", "unknown"]
NAMES = {"subject", "case"}
"""Columns with names of a person: of the person, and as the data set names each of a person's cases."""


def overlap(pretraining: Mapping[str, Any] | None, rows: pd.DataFrame) -> Status:
    """Compare what a checkpoint was pretrained on with what it is tested on.

    A recording counts as seen by its content's fingerprint, and also by its subject: other
    recordings of the same person leak as well. Where both sides name the data set, a person is known by
    data set and name; else by the name alone, so two data sets that both call somebody ``01`` are taken
    for overlapping: better a false alarm.

    Parameters
    ----------
    pretraining
        the model card's ``data``, with the lists ``fingerprints``, ``subjects`` and, where it has it,
        ``people``, pairs of data set and subject; None for an estimator without pretraining.
    rows
        the test windows or recordings, with the columns fingerprint, subject and, where known, dataset.

    Returns
    -------
    status
        ``"clean"``; ``"seen-unlabelled"`` where pretraining has seen a test recording or subject,
        without its label; ``"unknown"`` where the card does not say.
    """
    if pretraining is None:
        return "clean"
    fingerprints = pretraining.get("fingerprints") or []
    subjects = pretraining.get("subjects") or []
    people = {(str(d), str(s)) for d, s in pretraining.get("people") or []}
    names = set(subjects) - {s for _, s in people} if "dataset" in rows else set(subjects)
    seen = rows["fingerprint"].isin(fingerprints)
    for column in NAMES & set(rows.columns):
        seen |= rows[column].isin(names)
    if seen.any() or people & _people(rows):
        return "seen-unlabelled"
    return "clean" if fingerprints and subjects else "unknown"


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


def pretraining_of(estimator: BaseEstimator) -> Mapping[str, Any] | None:
    """Return what an estimator says it was pretrained on, wherever in a pipeline it stands.

    An estimator says so by an attribute ``pretraining`` or ``checkpoint_data_``.
    """
    for part in _parts(estimator):
        for name in ("pretraining", "checkpoint_data_"):
            if (data := getattr(part, name, None)) is not None:
                return data
    return None


def _people(rows: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the pairs of data set and subject; nothing where the data sets are not known."""
    if "dataset" not in rows:
        return set()
    return {
        pair
        for column in NAMES & set(rows.columns)
        for pair in zip(rows["dataset"].astype(str), rows[column].astype(str), strict=True)
    }


def _parts(value: Any) -> Iterator[BaseEstimator]:
    """Yield an estimator and all estimators inside it."""
    if isinstance(value, BaseEstimator):
        yield value
        for inner in value.get_params(deep=False).values():
            yield from _parts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _parts(inner)
