"""A scikit-learn pipeline for many small matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits


class SmallMatrixPipeline(Pipeline):
    """`Pipeline` whose linear algebra runs on one thread.

    On matrices of some dozen channels BLAS spends more time handing work to its threads than
    working; one thread is several times faster, and the sums are the same on any number of cores.
    """

    def fit(self, X: np.ndarray, y: np.ndarray | None = None, **params: Any) -> SmallMatrixPipeline:
        """Fit as `Pipeline` does."""
        with threadpool_limits(1, user_api="blas"):
            super().fit(X, y, **params)
        return self

    def predict(self, X: np.ndarray, **params: Any) -> np.ndarray:
        """Predict as `Pipeline` does."""
        with threadpool_limits(1, user_api="blas"):
            return super().predict(X, **params)

    def predict_proba(self, X: np.ndarray, **params: Any) -> np.ndarray:
        """Predict probabilities as `Pipeline` does."""
        with threadpool_limits(1, user_api="blas"):
            return super().predict_proba(X, **params)
