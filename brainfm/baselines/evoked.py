"""Evoked responses: covariances beside the classes' average responses."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from brainfm.baselines.covariance import Shrinkage
from brainfm.baselines.pipeline import on_tangent_space

Windows = Float[np.ndarray, "trial channel time"]


def xdawn_tangent_space_lr(
    filters: int = 4,
    estimator: Shrinkage = "oas",
    *,
    C: float = 1.0,
    class_weight: Literal["balanced"] | None = "balanced",
) -> Pipeline:
    """Covariance with xDAWN-filtered class averages → tangent space → logistic regression.

    Barachant & Congedo, "A plug&play P300 BCI using information geometry", arXiv:1409.0107.

    Parameters
    ----------
    filters
        spatial filters a class.
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the regression's L2 penalty.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    lr = LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)
    return on_tangent_space(EvokedCovariance(filters, estimator), ("lr", lr))


class EvokedCovariance(TransformerMixin, BaseEstimator):
    """Covariance of a window's xDAWN components and of the classes' averages in them.

    The work is pyriemann's ``XdawnCovariances``; in double precision, which its generalised
    eigenvalues need.

    Parameters
    ----------
    filters
        spatial filters a class.
    estimator
        covariance estimator, see `Covariance`.
    """

    def __init__(self, filters: int = 4, estimator: Shrinkage = "oas") -> None:
        self.filters = filters
        self.estimator = estimator

    def fit(self, X: Windows, y: np.ndarray) -> EvokedCovariance:
        """Find the filters and the averages of the classes."""
        from pyriemann.estimation import XdawnCovariances

        self.xdawn_ = XdawnCovariances(
            nfilter=self.filters, estimator=self.estimator, xdawn_estimator=self.estimator
        )
        self.xdawn_.fit(X.astype(np.float64), y)
        return self

    def transform(self, X: Windows) -> Float64[np.ndarray, "trial component component"]:
        """Return one symmetric matrix a window."""
        return self.xdawn_.transform(X.astype(np.float64))
