"""Augmented covariance whose order and lag are chosen by nested cross-validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from brainfm.baselines.covariance import Shrinkage
from brainfm.baselines.embedding import DelayEmbedding
from brainfm.baselines.folds import Splits, inner_folds
from brainfm.baselines.geometry import Matrices, approach, karcher, vectorised
from brainfm.baselines.kernels import GRAMS, Kernel, Vectors
from brainfm.baselines.lagged import AugmentedGrid, Delay
from brainfm.baselines.svm import ProbabilisticSVM
from brainfm.errors import UsageError, WorkError

logger = logging.getLogger(__name__)

UP_TO_TEN = tuple(range(1, 11))
# A fold's mean is first looked for among the logarithms of all folds, as exactly as a first step can be.
START = 1e-3
# From there mostly one look is enough. Measured on EEG, what this leaves in the logarithms is 1e-8 or less.
CLOSE = 1e-6


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    order: int
    lag: int
    C: float
    kernel: Kernel


class AugmentedSearch(ClassifierMixin, BaseEstimator):
    """Augmented covariance → tangent space → support vector machine, all settings chosen inside ``fit``.

    Same choice and scores as scikit-learn's ``GridSearchCV`` over MOABB's ``AugmentedDataset``,
    ``Covariances``, ``TangentSpace`` and ``SVC``, at less than a tenth of the cost: a covariance is computed
    once for all folds, a mean once for all machines and from that of all folds on. Where the protocol
    hands over validation subjects, they choose; else cross-validation inside the training windows, which
    leaves out whole subjects where ``fit`` is told them.

    Carrara & Papadopoulo, IEEE Trans. Biomed. Eng. 2024 (arXiv:2302.04508).

    Parameters
    ----------
    orders, lags
        copies of every channel and samples between two copies.
    C
        inverse strengths of the machine's regularisation.
    kernels
        kernels of the machine.
    estimator
        covariance estimator, see `Covariance`.
    scoring
        what is compared: ``"balanced_accuracy"``, ``"accuracy"``, or ``"auroc"`` of two classes.
    folds
        of the inner cross-validation, stratified, and fewer where a class has fewer subjects or windows;
        or a splitter, which divides windows as it will.
    class_weight
        ``"balanced"`` gives every class the same total weight.

    Attributes
    ----------
    best_setting_
        the choice; the first of equals by lag, order, C and kernel.
    validation_scores_
        mean score by setting; NaN where the covariances are singular.
    """

    def __init__(
        self,
        orders: Sequence[int] = UP_TO_TEN,
        lags: Sequence[int] = UP_TO_TEN,
        *,
        C: Sequence[float] = (0.5, 1.0, 1.5),
        kernels: Sequence[Kernel] = ("rbf", "linear"),
        estimator: Shrinkage = "oas",
        scoring: Literal["balanced_accuracy", "accuracy", "auroc"] = "balanced_accuracy",
        folds: int | BaseCrossValidator = 5,
        class_weight: Literal["balanced"] | None = "balanced",
    ) -> None:
        self.orders = orders
        self.lags = lags
        self.C = C
        self.kernels = kernels
        self.estimator = estimator
        self.scoring = scoring
        self.folds = folds
        self.class_weight = class_weight

    def fit(
        self,
        X: Float[np.ndarray, "trial channel time"],
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
    ) -> AugmentedSearch:
        """Try every setting, then fit the best one on all training windows.

        Raises
        ------
        UsageError
            When the grid does not fit into the windows, the measure does not suit the classes, or a class
            has one window and there is no ``validation`` to choose on.
        WorkError
            When the covariances are singular at every order and lag; where they are at some, these are
            left out, with a warning.
        """
        self.classes_ = np.unique(y)
        self._check(X)
        checked_once = config_context(assume_finite=True, skip_parameter_validation=True)
        with threadpool_limits(1, user_api="blas"), checked_once:
            self.validation_scores_ = self._scores(X, y, validation, groups)
            settings = self._settings()
            means = [self.validation_scores_[s] for s in settings]
            if np.isnan(means).all():
                raise WorkError(
                    "The covariances are singular at every order and lag: use a shrinkage estimator "
                    "such as oas, or fewer channels."
                )
            self.best_setting_ = settings[int(np.nanargmax(means))]
            self._refit(X, y, groups)
        return self

    def decision_function(self, X: Float[np.ndarray, "trial channel time"]) -> np.ndarray:
        """Return the machine's signed distances, as ``SVC`` does."""
        return self.svm_.decision_function(self._vectors(X))

    def predict_proba(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float[np.ndarray, "trial class"]:
        """Return the probability of every class."""
        return self.svm_.predict_proba(self._vectors(X))

    def predict(self, X: Float[np.ndarray, "trial channel time"]) -> np.ndarray:
        """Return the class that the machine decides for, as ``SVC`` does."""
        return self.svm_.predict(self._vectors(X))

    def least_windows(self, validated: bool) -> int:
        """Return how many windows of each class a fit needs: two where it leaves some out to choose."""
        return 1 if validated else 2

    @property
    def n_trained_parameters_(self) -> int:
        """Numbers that a prediction reads: the machine's, and the mean's."""
        n = len(self.tangent_.root)
        return self.svm_.n_trained_parameters_ + n * (n + 1) // 2

    @property
    def planned_fits(self) -> int:
        """Settings that a fit will try, for the evaluation's budget."""
        return len(self._settings())

    @property
    def n_fits_(self) -> int:
        """Settings that the fit tried."""
        return len(self.validation_scores_)

    def _check(self, X: np.ndarray) -> None:
        for order, lag in product(self.orders, self.lags):
            DelayEmbedding(order, lag).fit(X)
        if self.scoring == "auroc" and len(self.classes_) != 2:
            raise UsageError(
                f"auroc compares two classes and there are {len(self.classes_)}: choose by "
                "balanced_accuracy or accuracy."
            )

    def _settings(self) -> list[Setting]:
        """Return the grid in the order in which ``GridSearchCV`` walks it."""
        grid = product(self.lags, self.orders, self.C, self.kernels)
        return [Setting(order, lag, float(C), kernel) for lag, order, C, kernel in grid]

    def _splits(self, y: np.ndarray, groups: np.ndarray | None) -> Splits:
        if not isinstance(self.folds, int):
            return list(check_cv(self.folds, y, classifier=True).split(y, y))
        splits = inner_folds(y, groups, self.folds)
        if not splits:
            raise UsageError(
                "Order and lag cannot be chosen with one window of a class: give more windows, or "
                "validation subjects to choose on."
            )
        return splits

    def _scores(
        self,
        X: np.ndarray,
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None,
        groups: np.ndarray | None,
    ) -> dict[Setting, float]:
        if validation is None:
            splits = self._splits(y, groups)
        else:
            splits = [(np.arange(len(X)), np.arange(len(X), len(X) + len(validation[0])))]
            X, y = (np.concatenate([a, b]) for a, b in zip((X, y), validation, strict=True))
        found: dict[Setting, float] = {}
        for delay, matrices in AugmentedGrid(self.orders, self.lags, self.estimator)(X):
            for (C, kernel), values in self._attempted(delay, matrices, y, splits).items():
                mean = float(np.average(values))
                lags = self.lags if delay.order == 1 else [delay.lag]
                found |= {Setting(delay.order, lag, float(C), kernel): mean for lag in lags}
        return found

    def _attempted(
        self,
        delay: Delay,
        matrices: Matrices,
        y: np.ndarray,
        splits: Splits,
    ) -> dict[tuple[float, Kernel], list[float]]:
        """Return the scores by machine; NaN, never chosen, where the covariances are singular."""
        try:
            return self._by_machine(matrices, y, splits)
        except WorkError as error:
            logger.warning("order %d and lag %d are left out: %s", delay.order, delay.lag, error)
            return {machine: [float("nan")] for machine in product(self.C, self.kernels)}

    def _by_machine(
        self, matrices: Matrices, y: np.ndarray, splits: Splits
    ) -> dict[tuple[float, Kernel], list[float]]:
        """Return the scores of all folds by the machine's settings."""
        machines = list(product(self.C, self.kernels))
        scores: dict[tuple[float, Kernel], list[float]] = {m: [] for m in machines}
        rows = np.unique(np.concatenate([train for train, _ in splits]))
        everyone = approach(matrices[rows])
        for train, test in splits:
            mine = everyone.take(np.searchsorted(rows, train))
            tangent = karcher(matrices[train], everyone.at(mine.step(START)), tolerance=CLOSE)
            known = vectorised(tangent.logarithms)
            new = vectorised(tangent.project(matrices[test]))
            for kernel in self.kernels:
                grams = GRAMS[kernel](known, new)
                for C in self.C:
                    scores[C, kernel].append(self._score(C, grams, y[train], y[test]))
        return scores

    def _score(
        self, C: float, grams: tuple[np.ndarray, np.ndarray], train: np.ndarray, test: np.ndarray
    ) -> float:
        machine = SVC(C=C, kernel="precomputed", class_weight=self.class_weight)
        machine.fit(grams[0], train)
        if self.scoring == "auroc":
            return area_under_roc(test == self.classes_[1], machine.decision_function(grams[1]))
        right = machine.predict(grams[1]) == test
        if self.scoring == "accuracy":
            return float(np.mean(right))
        return float(np.mean([right[test == name].mean() for name in np.unique(test)]))

    def _refit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> None:
        best = self.best_setting_
        self.tangent_ = karcher(self._matrices(X))
        self.svm_ = ProbabilisticSVM(best.C, best.kernel, self.class_weight)
        self.svm_.fit(vectorised(self.tangent_.logarithms), y, groups)

    def _matrices(self, X: np.ndarray) -> Matrices:
        best = self.best_setting_
        ((_, matrices),) = AugmentedGrid([best.order], [best.lag], self.estimator)(X)
        return matrices

    def _vectors(self, X: np.ndarray) -> Vectors:
        with threadpool_limits(1, user_api="blas"):
            return vectorised(self.tangent_.project(self._matrices(X)))


def area_under_roc(positive: Bool[np.ndarray, " trial"], score: np.ndarray) -> float:
    """Return scikit-learn's ``roc_auc_score``, to the last digit and without its checks.

    The last digit matters because equal settings must tie, or not, as they do in ``GridSearchCV``:
    hence no area in closed form, but trapezoids between the corners of the curve.
    """
    order = np.argsort(score, kind="stable")[::-1]
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = np.cumsum(positive[order])[last].astype(np.float64)
    false = 1 + last - true
    if len(last) > 2:
        corner = np.r_[True, (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0), True]
        true, false = true[corner], false[corner]
    true, false = np.r_[0, true], np.r_[0, false]
    return float(np.trapezoid(true / true[-1], false / false[-1]))
