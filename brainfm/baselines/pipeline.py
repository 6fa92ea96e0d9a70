"""Scikit-learn pipelines for many small matrices."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from brainfm.baselines.covariance import AnyWindows, Scale
from brainfm.baselines.tangent import TangentSpace
from brainfm.errors import UsageError


class SmallMatrixPipeline(Pipeline):
    """`Pipeline` whose linear algebra runs on one thread.

    On matrices of some dozen channels BLAS spends more time handing work to its threads than
    working; one thread is several times faster, and the sums are the same on any number of cores.
    """

    def fit(
        self,
        X: AnyWindows,
        y: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        **params: Any,
    ) -> SmallMatrixPipeline:
        """Fit as `Pipeline` does; ``groups``, the windows' subjects, go to a last step that asks for them."""
        name, last = self.steps[-1]
        if groups is not None and "groups" in inspect.signature(last.fit).parameters:
            params[f"{name}__groups"] = groups
        with threadpool_limits(1, user_api="blas"):
            super().fit(X, y, **params)
        return self

    def predict(self, X: AnyWindows, **params: Any) -> np.ndarray:
        """Predict as `Pipeline` does."""
        with threadpool_limits(1, user_api="blas"):
            return super().predict(X, **params)

    def predict_proba(self, X: AnyWindows, **params: Any) -> np.ndarray:
        """Predict probabilities as `Pipeline` does."""
        with threadpool_limits(1, user_api="blas"):
            return super().predict_proba(X, **params)


class DiscriminantPipeline(SmallMatrixPipeline):
    """Pipeline with a discriminant, which learns how far windows of one class differ."""

    def fit(
        self,
        X: AnyWindows,
        y: np.ndarray,
        groups: np.ndarray | None = None,
        **params: Any,
    ) -> DiscriminantPipeline:
        """Fit; ``UsageError`` where no class has two windows."""
        if len(y) <= len(np.unique(y)):
            raise UsageError(
                "A discriminant learns how far windows of one class differ, and every class has one: give "
                "more windows."
            )
        super().fit(X, y, groups, **params)
        return self

    def least_windows(self, validated: bool) -> int:
        """Return how many windows of each class a fit needs."""
        return 2


def on_tangent_space(
    matrices: BaseEstimator, classifier: tuple[str, BaseEstimator]
) -> SmallMatrixPipeline:
    """Return a pipeline from windows over their matrices and tangent space to a classifier."""
    return SmallMatrixPipeline(
        [("scale", Scale()), ("covariance", matrices), ("tangent", TangentSpace()), classifier]
    )
