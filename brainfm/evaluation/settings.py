"""How many settings an estimator chooses among by the labels, whatever it is wrapped in.

A setting is one model of those that a choice is made among: a point of a grid, a penalty of a ridge in closed
form. An estimator of brainfm says how many they are by ``planned_fits`` before a fit and by ``n_fits_`` after
it; scikit-learn's searches are counted by their grids. A training whose best step is kept is one model.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

# Of scikit-learn's linear models that search by themselves, such as LogisticRegressionCV and ElasticNetCV.
PATHS = ("Cs", "alphas", "l1_ratio", "l1_ratios")


def planned_fits(estimator: Any) -> int:
    """Return the most settings that a fit may try.

    Searches within searches multiply, choices made one after the other add up.

    Parameters
    ----------
    estimator
        before a fit.
    """
    own = getattr(estimator, "planned_fits", None)
    if own is not None:
        return int(own)
    if hasattr(estimator, "param_grid"):
        grid = ParameterGrid(estimator.param_grid)
        return sum(planned_fits(clone(estimator.estimator).set_params(**s)) for s in grid)
    if hasattr(estimator, "param_distributions"):
        drawn = ParameterSampler(estimator.param_distributions, estimator.n_iter)
        return len(drawn) * planned_fits(estimator.estimator)
    if _is_path(estimator):
        return prod(_length(getattr(estimator, name, None)) for name in PATHS)
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
    if hasattr(fitted, "cv_results_"):
        best = getattr(fitted, "best_estimator_", fitted.estimator)
        return len(fitted.cv_results_["params"]) * tried_fits(best)
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


def _is_path(estimator: Any) -> bool:
    """Tell whether it is a linear model of scikit-learn's that searches by itself."""
    kind = type(estimator)
    return kind.__module__.startswith("sklearn.linear_model") and kind.__name__.endswith("CV")


def _length(values: Any) -> int:
    """Return how many values are tried: of a list its length, of a whole number that number."""
    if isinstance(values, int) and not isinstance(values, bool):
        return values
    return max(1, np.size(values))
