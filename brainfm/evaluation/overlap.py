"""Whether a checkpoint has seen the recordings that it is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pandas as pd
from sklearn.base import BaseEstimator

Status = Literal["clean", "seen-unlabelled", "unknown"]


def overlap(pretraining: Mapping[str, Any] | None, rows: pd.DataFrame) -> Status:
    """Compare what a checkpoint was pretrained on with what it is tested on.

    A recording counts as seen by its content's fingerprint, and also by its subject: other
    recordings of the same person leak as well. Subject ids are compared as they are, so two data
    sets that both call somebody ``01`` are taken for overlapping: better a false alarm.

    Parameters
    ----------
    pretraining
        the model card's ``data``, with the lists ``fingerprints`` and ``subjects``; None for an
        estimator without pretraining.
    rows
        the test windows or recordings, with the columns fingerprint and subject.

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
    seen = rows["fingerprint"].isin(fingerprints) | rows["subject"].isin(subjects)
    if seen.any():
        return "seen-unlabelled"
    return "clean" if fingerprints and subjects else "unknown"


def pretraining_of(estimator: BaseEstimator) -> Mapping[str, Any] | None:
    """Return what an estimator says it was pretrained on, wherever in a pipeline it stands.

    An estimator says so by an attribute ``pretraining`` or ``checkpoint_data_``.
    """
    for part in _parts(estimator):
        for name in ("pretraining", "checkpoint_data_"):
            if (data := getattr(part, name, None)) is not None:
                return data
    return None


def _parts(value: Any) -> Iterator[BaseEstimator]:
    """Yield an estimator and all estimators inside it."""
    if isinstance(value, BaseEstimator):
        yield value
        for inner in value.get_params(deep=False).values():
            yield from _parts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _parts(inner)
