"""A decision threshold chosen on validation subjects, around any estimator of two classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import roc_curve

from brainfm.errors import UsageError
from brainfm.evaluation.parameters import trained_parameters
from brainfm.windows.fitting import fit_validated


class ValidationThreshold(ClassifierMixin, BaseEstimator):
    """Shift an estimator's probabilities so that 0.5 is the best threshold of the validation subjects.

    Best is the largest sum of sensitivity and specificity (Youden 1950), the first of equals. The shift is
    one number added to the log odds, so the order of the windows, and with it every curve, stays.

    Parameters
    ----------
    estimator
        of two classes.

    Attributes
    ----------
    threshold_
        the probability of the second class that counts as 0.5.
    estimator_
        as fitted.
    """

    def __init__(self, estimator: BaseEstimator) -> None:
        self.estimator = estimator

    def fit(
        self,
        X: Any,
        y: np.ndarray,
        validation: tuple[Any, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
    ) -> ValidationThreshold:
        """Fit the estimator, then choose; ``UsageError`` without validation windows of both classes."""
        if validation is None or len(np.unique(y)) != 2 or len(np.unique(validation[1])) != 2:
            raise UsageError(
                "A threshold is chosen between two classes on validation subjects that have both: "
                "put a larger share of the subjects aside for validation."
            )
        self.estimator_ = fit_validated(clone(self.estimator), X, y, validation, groups)
        self.classes_ = self.estimator_.classes_
        positive = self._odds(self.estimator_.predict_proba(validation[0]))
        false, true, thresholds = roc_curve(validation[1] == self.classes_[1], positive)
        best = int(np.argmax(true - false))
        # Between the window that decides and the next one, as no other window lies there.
        below = positive[positive < thresholds[best]].max(initial=-np.inf)
        middle = (min(thresholds[best], positive.max()) + max(below, positive.min())) / 2
        self.threshold_ = float(expit(middle))
        return self

    @property
    def n_trained_parameters_(self) -> int:
        """Those of the estimator, and the threshold."""
        return trained_parameters(self.estimator_) + 1

    def predict_proba(self, X: Any) -> Float[np.ndarray, "trial class"]:
        """Return the shifted probabilities."""
        odds = self._odds(self.estimator_.predict_proba(X)) - logit(self.threshold_)
        positive = expit(odds)
        return np.stack([1 - positive, positive], axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class on either side of the threshold."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @staticmethod
    def _odds(proba: np.ndarray) -> Float[np.ndarray, " trial"]:
        return logit(np.clip(proba[:, 1], 1e-9, 1 - 1e-9))
