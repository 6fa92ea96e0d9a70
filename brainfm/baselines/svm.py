"""A support vector machine that gives probabilities."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight


class ProbabilisticSVM(ClassifierMixin, BaseEstimator):
    """Support vector machine with Platt's sigmoid, both fitted with the same class weights.

    The sigmoid is fitted on decision values of 5-fold cross-validation inside the training
    windows, taken in their order and so mostly by recording; it only turns a margin into a
    probability and leaves the order of two-class scores alone.

    Parameters
    ----------
    C
        inverse strength of the regularisation.
    kernel
        ``"rbf"`` (scikit-learn's own width) or ``"linear"``.
    class_weight
        ``"balanced"`` gives every class the same total weight.

    Attributes
    ----------
    classes_
        the names of the classes, sorted.
    svm_
        the fitted machine with its sigmoids.
    """

    def __init__(
        self,
        C: float = 1.0,
        kernel: Literal["rbf", "linear"] = "rbf",
        class_weight: Literal["balanced"] | None = "balanced",
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.class_weight = class_weight

    def fit(self, X: Float[np.ndarray, "trial feature"], y: np.ndarray) -> ProbabilisticSVM:
        """Fit the machine, then the sigmoid."""
        weight = compute_sample_weight(self.class_weight, y)
        machine = SVC(C=self.C, kernel=self.kernel)
        self.svm_ = CalibratedClassifierCV(machine, method="sigmoid", cv=5, ensemble=False)
        # MOABB switches routing on for the whole process, which refuses weights nobody has asked for.
        with config_context(enable_metadata_routing=False):
            self.svm_.fit(X, y, sample_weight=weight)
        self.classes_ = self.svm_.classes_
        return self

    @property
    def n_trained_parameters_(self) -> int:
        """Numbers that a prediction reads: support vectors, their weights, offsets, sigmoids."""
        fitted = self.svm_.calibrated_classifiers_[0]
        machine = fitted.estimator
        arrays = (machine.support_vectors_, machine.dual_coef_, machine.intercept_)
        return sum(a.size for a in arrays) + 2 * len(fitted.calibrators)

    def decision_function(self, X: Float[np.ndarray, "trial feature"]) -> np.ndarray:
        """Return the signed distances from the border, as ``SVC`` does: what a curve is made of."""
        return self.svm_.calibrated_classifiers_[0].estimator.decision_function(X)

    def predict_proba(
        self, X: Float[np.ndarray, "trial feature"]
    ) -> Float[np.ndarray, "trial class"]:
        """Return the probability of every class."""
        return self.svm_.predict_proba(X)

    def predict(self, X: Float[np.ndarray, "trial feature"]) -> np.ndarray:
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
