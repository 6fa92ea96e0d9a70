"""A support vector machine that gives probabilities."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import logit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from brainfm.baselines.folds import inner_folds

# Of the cross-validation whose decision values the sigmoid is fitted on.
FOLDS = 5
# Slope of a sigmoid that says nothing but the order: 0.00025 of probability a margin.
FLAT = 1e-3


class ProbabilisticSVM(ClassifierMixin, BaseEstimator):
    """Support vector machine with Platt's sigmoid, both fitted with the same class weights.

    The sigmoid is fitted on decision values of windows left out: of whole subjects where ``fit`` is told
    them, in five folds or as many as the smallest class has; of the training windows themselves where a
    class has but one. It turns a margin into a probability and leaves the order of two-class scores alone:
    where decisions run against the labels left out, as they may by chance, the likeliest sigmoid that does
    not fall is flat, and it is given as much slope as keeps the order.

    ``predict`` is the machine's own decision, as ``SVC``'s; the largest probability may be another
    class's near the border.

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

    def fit(
        self,
        X: Float[np.ndarray, "trial feature"],
        y: np.ndarray,
        groups: np.ndarray | None = None,
    ) -> ProbabilisticSVM:
        """Fit the machine, then the sigmoid; ``groups`` are the windows' subjects."""
        weight = compute_sample_weight(self.class_weight, y)
        machine = SVC(C=self.C, kernel=self.kernel)
        everything = np.arange(len(y))
        folds = inner_folds(y, groups, FOLDS) or [(everything, everything)]
        self.svm_ = CalibratedClassifierCV(machine, method="sigmoid", cv=folds, ensemble=False)
        # MOABB switches routing on for the whole process, which refuses weights nobody has asked for.
        with config_context(enable_metadata_routing=False):
            self.svm_.fit(X, y, sample_weight=weight)
        self.classes_ = self.svm_.classes_
        self._keep_order(y, weight)
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
        return self._machine.decision_function(X)

    def predict_proba(
        self, X: Float[np.ndarray, "trial feature"]
    ) -> Float[np.ndarray, "trial class"]:
        """Return the probability of every class."""
        return self.svm_.predict_proba(X)

    def predict(self, X: Float[np.ndarray, "trial feature"]) -> np.ndarray:
        """Return the class that the machine decides for."""
        return self._machine.predict(X)

    @property
    def _machine(self) -> SVC:
        return self.svm_.calibrated_classifiers_[0].estimator

    def _keep_order(self, y: np.ndarray, weight: np.ndarray) -> None:
        """Make sigmoids that fall with the margin flat, at their class's share, but for their order."""
        sigmoids = self.svm_.calibrated_classifiers_[0].calibrators
        for sigmoid, name in zip(sigmoids, self.classes_[-len(sigmoids) :], strict=True):
            if sigmoid.a_ > -FLAT:  # it is 1 / (1 + exp(a margin + b))
                sigmoid.a_, sigmoid.b_ = -FLAT, -logit(np.average(y == name, weights=weight))
