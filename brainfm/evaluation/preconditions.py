"""What an evaluation refuses before anything is divided or fitted: calls that cannot work, other classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.base import BaseEstimator, is_regressor

from brainfm.errors import UsageError
from brainfm.evaluation.metrics import check_metrics
from brainfm.evaluation.overlap import histories_of
from brainfm.evaluation.tuning import UNLIMITED, Budget, check_budget
from brainfm.windows.trials import Trials


def check_call(
    estimators: Mapping[str, BaseEstimator],
    *,
    seeds: Sequence[int],
    metrics: Sequence[str],
    classes: Sequence[str],
    reference: str | None,
    budget: Budget = UNLIMITED,
) -> None:
    """Refuse what cannot work whatever the data are; `brainfm.evaluation.protocol.run` does it too.

    Raises
    ------
    UsageError
        Also where an estimator's checkpoint cannot be read.
    """
    check_metrics(metrics, classes)
    if not estimators or not seeds:
        raise UsageError(
            f"{len(estimators)} estimators and {len(seeds)} seeds: give at least one of each."
        )
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"The seeds {list(seeds)} repeat themselves: give different ones.")
    if reference is not None and reference not in estimators:
        raise UsageError(
            f"The reference {reference!r} is no estimator: choose from {list(estimators)}."
        )
    for name, estimator in estimators.items():
        _check_kind(name, estimator, classes)
        check_budget(name, estimator, budget)
        histories_of(estimator)  # refuses a checkpoint that cannot be read


def _check_kind(name: str, estimator: BaseEstimator, classes: Sequence[str]) -> None:
    """Refuse a classifier for a task of numbers, and what predicts no probabilities for one of classes."""
    able = hasattr(estimator, "fit") and hasattr(estimator, "predict_proba")
    if classes and (not able or is_regressor(estimator)):
        raise UsageError(
            f"{name!r} ({type(estimator).__name__}) is no classifier with fit and "
            "predict_proba: give one that predicts probabilities."
        )
    if not classes and not is_regressor(estimator):
        raise UsageError(
            f"{name!r} ({type(estimator).__name__}) is no regressor, and the task is of numbers: give "
            "one, such as brainfm.learning.FinetunedRegressor or brainfm.baselines.tangent_space_ridge."
        )


def check_classes(trials: Trials, classes: tuple[str, ...]) -> None:
    """Refuse windows of other classes than the task's, and answers that are all the same.

    Raises
    ------
    UsageError
        Likewise where the task has one class only.
    """
    if not classes and trials.y.dtype.kind == "f":
        if len(np.unique(trials.y)) < 2:
            raise UsageError(f"All windows have the number {trials.y[0]:g}: give others too.")
        return
    if sorted(classes) != list(trials.classes) or len(classes) < 2:
        raise UsageError(
            f"The trials are of the classes {list(trials.classes)} and the task of "
            f"{list(classes)}: a task needs two or more, and windows of each."
        )
