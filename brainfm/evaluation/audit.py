"""What estimators have seen, before they are fitted, of what every fold will test them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from sklearn.base import BaseEstimator

from brainfm.evaluation.attempt import fill_in
from brainfm.evaluation.overlap import (
    WORST,
    Status,
    all_names,
    has_seen,
    histories_of,
    seen_people,
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
    return [
        _past(name, filled, seed, fold, rows)
        for (seed, fold), rows in tested.items()
        for name, e in estimators.items()
        # Which of several checkpoints a fold takes depends on whom it tests.
        for filled in [fill_in(e, trials, seed, test_subjects=all_names(rows)) if told[name] else e]
    ]


def _past(name: str, estimator: BaseEstimator, seed: int, fold: int, rows: pd.DataFrame) -> Past:
    histories = histories_of(estimator)
    seen = [history for history in histories if has_seen(history, rows)]
    people = sorted({code for history in seen for code in seen_people(history, rows)})
    return Past(name, seed, fold, worst_overlap(histories, rows), bool(seen), tuple(people))


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
