"""Hyper-parameters chosen on the validation subjects, for any estimator alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import ParameterGrid

from brainfm.errors import UsageError
from brainfm.evaluation.metrics import check_metrics, score


class ValidationSearch(ClassifierMixin, BaseEstimator):
    """Fit every setting on the training subjects and keep the best on the validation subjects.

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

    Attributes
    ----------
    best_estimator_, best_params_
        the choice; the first of equals.
    validation_scores_
        a score for every setting, in the order of ``ParameterGrid``.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        grid: dict[str, list[Any]],
        metric: str = "balanced_accuracy",
    ) -> None:
        self.estimator = estimator
        self.grid = grid
        self.metric = metric

    def fit(
        self,
        X: Float[np.ndarray, "trial channel time"],
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> ValidationSearch:
        """Try every setting; ``UsageError`` without validation windows of two classes."""
        check_metrics([self.metric])
        if validation is None or len(np.unique(validation[1])) < 2:
            raise UsageError(
                "A search needs validation subjects with windows of two classes: put a larger "
                "share of the subjects aside for validation."
            )
        self.validation_scores_ = []
        best = -np.inf
        for params in ParameterGrid(self.grid):
            fitted = clone(self.estimator).set_params(**params).fit(X, y)
            proba = fitted.predict_proba(validation[0])
            classes = [str(c) for c in fitted.classes_]
            value = score([self.metric], validation[1], proba, classes)[self.metric]
            self.validation_scores_.append(value)
            if value > best:
                best, self.best_estimator_, self.best_params_ = value, fitted, params
        self.classes_ = self.best_estimator_.classes_
        return self

    def predict_proba(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float[np.ndarray, "trial class"]:
        """Predict with the best setting."""
        return self.best_estimator_.predict_proba(X)

    def predict(self, X: Float[np.ndarray, "trial channel time"]) -> np.ndarray:
        """Predict with the best setting."""
        return self.best_estimator_.predict(X)
