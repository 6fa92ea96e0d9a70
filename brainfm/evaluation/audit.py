"""What estimators have seen, before they are fitted, of what every fold will test them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator

from brainfm.evaluation.attempt import fill_in
from brainfm.evaluation.overlap import (
    WORST,
    Examined,
    Seen,
    Status,
    all_names,
    histories_of,
    worst_overlap,
)
from brainfm.windows.splits import Fold
from brainfm.windows.trials import Trials

FEW = 5  # names in a sentence
HOW: dict[Status, str] = {
    "seen-labelled": "training, with labels",
    "seen-unlabelled": "pretraining",
    "unknown": "training, perhaps with labels",
}


@dataclass(frozen=True)
class Past:
    """What one estimator has seen of what one fold tests.

    Attributes
    ----------
    estimator, seed, fold
        their names and numbers.
    status
        see `brainfm.evaluation.overlap`.
    seen
        whether anything was seen, also where the status does not say it.
    people
        names of those who were seen, sorted.
    """

    estimator: str
    seed: int
    fold: int
    status: Status
    seen: bool
    people: tuple[str, ...]


def tested_in(
    trials: Trials, divided: Mapping[int, Sequence[Fold]]
) -> dict[tuple[int, int], pd.DataFrame]:
    """Return all recordings of the people whom each seed's folds test, under all their names.

    Parameters
    ----------
    trials
        of the task.
    divided
        the folds by seed.

    Returns
    -------
    tested
        by seed and number of the fold, see `Trials.known`.
    """
    return {
        (seed, fold.index): trials.known(fold.rows("test", trials.meta))
        for seed, folds in divided.items()
        for fold in folds
    }


def look_back(
    trials: Trials,
    estimators: Mapping[str, BaseEstimator],
    tested: Mapping[tuple[int, int], pd.DataFrame],
) -> list[Past]:
    """Compare every estimator's history with what each fold of each seed tests.

    Parameters
    ----------
    trials
        of the task.
    estimators
        by name, not fitted.
    tested
        see `tested_in`.
    """
    told = {name: bool(histories_of(e)) for name, e in estimators.items()}
    arranged, pasts = _Arranged(), []
    for (seed, fold), rows in tested.items():
        names, whom = all_names(rows), Examined(rows)
        for name, estimator in estimators.items():
            # Which of several checkpoints a fold takes depends on whom it tests.
            filled = (
                fill_in(estimator, trials, seed, test_subjects=names) if told[name] else estimator
            )
            histories = [arranged(history) for history in histories_of(filled)]
            pasts.append(_past(name, seed, fold, histories, whom))
    return pasts


class _Arranged:
    """Arranges a history once, however many folds and rows read it anew from one card."""

    def __init__(self) -> None:
        self._known: list[Seen] = []

    def __call__(self, history: Mapping[str, Any]) -> Seen:
        for seen in self._known:
            if seen.pretraining == history:
                return seen
        self._known.append(Seen(history))
        return self._known[-1]


def _past(name: str, seed: int, fold: int, histories: Sequence[Seen], tested: Examined) -> Past:
    seen = [history for history in histories if history.has(tested)]
    people = sorted({code for history in seen for code in history.people(tested)})
    return Past(name, seed, fold, worst_overlap(histories, tested), bool(seen), tuple(people))


def seen_before(pasts: Sequence[Past]) -> list[str]:
    """Return a sentence for every estimator that has seen what it is tested on."""
    sentences = []
    for name in dict.fromkeys(past.estimator for past in pasts):
        mine = [past for past in pasts if past.estimator == name]
        if seen := [past for past in mine if past.seen]:
            people = sorted({code for past in seen for code in past.people})
            listed = f" ({', '.join(people[:FEW])}{' …' if len(people) > FEW else ''})"
            worst = next(status for status in WORST if status in {past.status for past in seen})
            sentences.append(
                f"The checkpoint of {name!r} has seen test recordings or subjects{listed if people else ''} "
                f"of {len(seen)} of {len(mine)} folds in {HOW[worst]}"
            )
    return sentences
