"""Ridge regression to a number, whose penalty is chosen by leaving subjects out, as a ridge probe's is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.preprocessing import StandardScaler

from brainfm.layers.ridge import ALPHAS, solve_ridge


class LeftOutRidge(RegressorMixin, BaseEstimator):
    """Ridge on standardised features, see `brainfm.layers.ridge.solve_ridge`.

    Parameters
    ----------
    alphas
        penalties to choose from.

    Attributes
    ----------
    coef_, intercept_
        of the features as they are.
    alpha_
        the penalty chosen.
    """

    def __init__(self, alphas: Sequence[float] = ALPHAS) -> None:
        self.alphas = alphas

    def fit(
        self,
        X: Float[np.ndarray, "trial feature"],
        y: np.ndarray,
        groups: np.ndarray | None = None,
    ) -> LeftOutRidge:
        """Fit; all trials of a group are left out together, each trial by itself where none are given."""
        scaler = StandardScaler().fit(X)
        target = np.asarray(y, np.float64)[:, None]
        scaled = scaler.transform(np.asarray(X, np.float64))
        fit = solve_ridge(scaled, target, alphas=self.alphas, groups=groups)
        self.alpha_ = fit.alpha
        self.coef_ = fit.weight[0] / scaler.scale_
        self.intercept_ = float(fit.bias[0] - self.coef_ @ scaler.mean_)
        return self

    @property
    def planned_fits(self) -> int:
        """Penalties to choose from, for the evaluation's budget."""
        return len(self.alphas)

    def predict(self, X: Float[np.ndarray, "trial feature"]) -> Float64[np.ndarray, " trial"]:
        """Return a number a trial."""
        return np.asarray(X, np.float64) @ self.coef_ + self.intercept_
