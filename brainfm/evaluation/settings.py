"""How many settings an estimator chooses among by the labels, whatever it is wrapped in.

A setting is one model of those that a choice is made among: a point of a grid, a penalty of a ridge in closed
form. An estimator of brainfm says how many they are by ``planned_fits`` before a fit and by ``n_fits_`` after
it; scikit-learn's searches are counted by their grids, and what searches by cross-validation and does not say
among how many is refused. A training whose best step is kept is one model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from types import NoneType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

from brainfm.errors import UsageError

# Of scikit-learn's linear models that search by themselves, such as LogisticRegressionCV and ElasticNetCV.
PATHS = ("Cs", "alphas", "l1_ratio", "l1_ratios")
# Cross-validate, and choose no model by the labels: probabilities, a threshold, features, votes.
NO_CHOICE = {
    "CalibratedClassifierCV", "GraphicalLassoCV", "StackingClassifier", "StackingRegressor",
    "TargetEncoder", "TunedThresholdClassifierCV",
}  # fmt: skip


def planned_fits(estimator: Any) -> int:
    """Return the most settings that a fit may try.

    Searches within searches multiply, choices made one after the other add up.

    Parameters
    ----------
    estimator
        before a fit.

    Raises
    ------
    UsageError
        Where a search does not say how many settings it tries.
    """
    own = getattr(estimator, "planned_fits", None)
    if own is not None:
        return int(own)
    if hasattr(estimator, "param_grid"):
        return _each(estimator, ParameterGrid(estimator.param_grid))
    if hasattr(estimator, "param_distributions"):
        return _drawn(estimator) * planned_fits(estimator.estimator)
    if hasattr(estimator, "cv") and type(estimator).__name__ not in NO_CHOICE:
        return _path_length(estimator)
    return _added(planned_fits(part) for part in parts_of(estimator))


def tried_fits(fitted: Any) -> int:
    """Return how many settings a fit has tried; what was planned where it does not say.

    Parameters
    ----------
    fitted
        an estimator after its fit.
    """
    if hasattr(fitted, "n_fits_"):
        return int(fitted.n_fits_)
    if hasattr(fitted, "cv_results_") and hasattr(fitted, "estimator"):
        tried = fitted.cv_results_["params"]
        # A search by halving goes on with some of the settings of its first round.
        return _each(fitted, tried[: getattr(fitted, "n_candidates_", [len(tried)])[0]])
    if hasattr(fitted, "steps"):
        return _added(tried_fits(step) for _, step in fitted.steps)
    if hasattr(fitted, "estimator_"):
        return tried_fits(fitted.estimator_)
    return planned_fits(fitted)


def _added(counts: Iterator[int]) -> int:
    """Return the sum of those that are a choice at all; 1 where none is."""
    return max(1, sum(n for n in counts if n > 1))


def parts_of(estimator: Any) -> Iterator[BaseEstimator]:
    """Yield the estimators that one is built of: wrapped, steps of a pipeline, members of a vote."""
    given = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    for value in given.values():
        for member in value if isinstance(value, list | tuple) else [value]:
            for part in member if isinstance(member, tuple) else [member]:
                if isinstance(part, BaseEstimator):
                    yield part


def _each(search: Any, settings: Iterable[dict[str, Any]]) -> int:
    """Return how many settings are tried under each of a search's own."""
    return sum(planned_fits(clone(search.estimator).set_params(**s)) for s in settings)


def _drawn(search: Any) -> int:
    """Return how many settings a search draws at random."""
    draws = getattr(search, "n_iter", getattr(search, "n_candidates", None))
    if not isinstance(draws, int):
        raise UsageError(
            f"{type(search).__name__} draws as many settings as there are windows for, and the budget counts "
            "them: give `n_candidates`, a number."
        )
    return len(ParameterSampler(search.param_distributions, draws))


def _path_length(model: Any) -> int:
    """Return how many penalties a model of scikit-learn's tries by itself; refuse what does not say."""
    tried = {name: getattr(model, name) for name in PATHS if hasattr(model, name)}
    # Before 1.9 the penalties were counted elsewhere.
    if not tried or isinstance(tried.get("alphas", ()), str | NoneType):
        raise UsageError(
            f"{type(model).__name__} chooses by cross-validation and does not say among how many settings, "
            "which the budget counts: give `alphas`, if it has them, or let its attribute planned_fits say "
            "it, or take ValidationSearch."
        )
    return prod(_length(value) for value in tried.values())


def _length(values: Any) -> int:
    """Return how many values are tried: of a list its length, of a whole number that number."""
    if isinstance(values, int) and not isinstance(values, bool):
        return values
    return max(1, np.size(values))
