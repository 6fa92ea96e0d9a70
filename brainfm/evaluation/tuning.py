"""Hyper-parameters chosen on the validation subjects, for any estimator alike and at the same cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import ParameterGrid

from brainfm.errors import UsageError
from brainfm.evaluation.metrics import check_metrics, score
from brainfm.evaluation.parameters import filled_in
from brainfm.evaluation.settings import planned_fits, tried_fits
from brainfm.windows.fitting import fit_validated


@dataclass(frozen=True)
class Budget:
    """What every estimator may spend on tuning in each fold.

    Attributes
    ----------
    fits
        settings that may be tried, see `brainfm.evaluation.settings`; a larger grid of `ValidationSearch` is
        drawn from at random, with the fold's seed. None for all.
    seconds
        after which no further setting is begun; None for no limit. Results then depend on how fast the
        machine is.
    """

    fits: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.fits is not None and self.fits < 1) or (
            self.seconds is not None and self.seconds <= 0
        ):
            raise UsageError(
                f"A budget of {self.fits} fits and {self.seconds} s: give numbers above 0."
            )


UNLIMITED = Budget()
"""Every setting of every grid."""


class ValidationSearch(ClassifierMixin, BaseEstimator):
    """Fit settings on the training subjects and keep the best on the validation subjects.

    Unlike scikit-learn's ``GridSearchCV`` it never divides windows of a subject, and it does not
    fit again with the validation subjects added.

    Parameters
    ----------
    estimator
        what is tuned.
    grid
        values to try by parameter, such as ``embedding__order: [1, 2, 4]``.
    metric
        what is compared, a name out of `brainfm.evaluation.metrics.METRICS`.
    budget
        how much may be tried; the evaluation fills it in, the same for all.
    random_state
        seed of the draw from a grid that is larger than the budget; the evaluation fills it in.

    Attributes
    ----------
    best_estimator_, best_params_
        the choice; the first of equals.
    tried_
        the settings that were fitted, in the order of ``ParameterGrid``.
    validation_scores_
        a score for each of them.
    n_fits_
        how many they are, each with those that the estimator tries by itself.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        grid: dict[str, list[Any]],
        metric: str = "balanced_accuracy",
        *,
        budget: Budget | None = None,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.grid = grid
        self.metric = metric
        self.budget = budget
        self.random_state = random_state

    def fit(
        self,
        X: Float[np.ndarray, "trial channel time"],
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
    ) -> ValidationSearch:
        """Try the settings; ``UsageError`` without validation windows of two classes."""
        check_metrics([self.metric], np.unique(y).tolist())
        if validation is None or len(np.unique(validation[1])) < 2:
            raise UsageError(
                "A search needs validation subjects with windows of two classes: put a larger "
                "share of the subjects aside for validation."
            )
        self.validation_scores_, self.tried_, self.n_fits_ = [], [], 0
        best, begun = -np.inf, time.perf_counter()
        limit = (self.budget or UNLIMITED).seconds or np.inf
        for params in self._settings():
            if self.tried_ and time.perf_counter() - begun > limit:
                break
            setting = clone(self.estimator).set_params(**params)
            fitted = fit_validated(setting, X, y, validation, groups)
            proba = fitted.predict_proba(validation[0])
            classes = [str(c) for c in fitted.classes_]
            value = score([self.metric], validation[1], proba, classes)[self.metric]
            self.tried_.append(params)
            self.n_fits_ += tried_fits(fitted)
            self.validation_scores_.append(value)
            if value > best:
                best, self.best_estimator_, self.best_params_ = value, fitted, params
        self.classes_ = self.best_estimator_.classes_
        return self

    @property
    def planned_fits(self) -> int:
        """Settings that a fit will try, within the budget if one of the grid is."""
        return sum(self._planned(setting) for setting in self._settings())

    def _settings(self) -> list[dict[str, Any]]:
        """Return the grid, or as much of it as the budget has fits for."""
        grid = list(ParameterGrid(self.grid))
        fits = (self.budget or UNLIMITED).fits
        if fits is None:
            return grid
        order = np.random.default_rng([self.random_state, 5]).permutation(len(grid))
        spent = np.cumsum([self._planned(grid[i]) for i in order])
        return [grid[i] for i in np.sort(order[: max(1, np.sum(spent <= fits))])]

    def _planned(self, setting: dict[str, Any]) -> int:
        return planned_fits(clone(self.estimator).set_params(**setting))

    def predict_proba(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float[np.ndarray, "trial class"]:
        """Predict with the best setting."""
        return self.best_estimator_.predict_proba(X)

    def predict(self, X: Float[np.ndarray, "trial channel time"]) -> np.ndarray:
        """Predict with the best setting."""
        return self.best_estimator_.predict(X)


def check_budget(name: str, estimator: BaseEstimator, budget: Budget) -> None:
    """Refuse an estimator that chooses among more settings than the budget allows, before any fit."""
    try:
        planned = planned_fits(filled_in(estimator, {"budget": budget}))
    except ValueError as error:  # scikit-learn's, of a parameter that is not there
        raise UsageError(f"The grid of {name!r} cannot be tried: {error}") from error
    if budget.fits is not None and planned > budget.fits:
        raise UsageError(
            f"{name!r} tries {planned} settings in every fold and the budget is {budget.fits} for every "
            "estimator: give it fewer to choose from, or all a larger budget."
        )


def check_tried(fitted: Any, budget: Budget) -> int:
    """Return how many settings a fit has tried, and refuse more than the budget allows."""
    tried = tried_fits(fitted)
    if budget.fits is not None and tried > budget.fits:
        raise UsageError(
            f"{type(fitted).__name__} tried {tried} settings and the budget is {budget.fits}: let its "
            "attribute planned_fits say so before the fit, or give all a larger budget."
        )
    return tried
