"""Block-Toeplitz augmented covariance: what a stationary signal's augmented covariance looks like."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator, TransformerMixin

from brainfm.baselines.embedding import DelayEmbedding


class ToeplitzCovariance(TransformerMixin, BaseEstimator):
    """Augmented covariance with one block a delay, Γ(0), Γ(lag), …, as in the Yule–Walker equations.

    Of a stationary signal the blocks along a diagonal of the augmented covariance are estimates of the
    same matrix. Estimated once each from the whole window, ``order`` products take the place of
    ``order²``. Dividing by the window's length, not by the number of products, keeps the matrix
    positive semidefinite.

    Carrara & Papadopoulo, "Block-Toeplitz augmented covariance", arXiv:2406.16909, which goes on to
    the geometry of Siegel disks; here the matrices stay in the affine-invariant one.

    Parameters
    ----------
    order
        number of copies.
    lag
        samples between one copy and the next.
    shrinkage
        share of the identity of equal trace that is mixed in.
    """

    def __init__(self, order: int = 4, lag: int = 4, shrinkage: float = 0.01) -> None:
        self.order = order
        self.lag = lag
        self.shrinkage = shrinkage

    def fit(
        self, X: Float[np.ndarray, "trial channel time"], y: np.ndarray | None = None
    ) -> ToeplitzCovariance:
        """Check that the copies fit into the windows; nothing is learned."""
        DelayEmbedding(self.order, self.lag).fit(X)
        return self

    def transform(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float64[np.ndarray, "trial copy_channel copy_channel"]:
        """Return one symmetric matrix a window."""
        X = X.astype(np.float64)
        X = X - X.mean(axis=-1, keepdims=True)
        n_channels, n_times = X.shape[-2:]
        blocks = [
            X[..., : n_times - k * self.lag] @ X[..., k * self.lag :].swapaxes(-1, -2) / n_times
            for k in range(self.order)
        ]
        rows = [
            np.concatenate([_block(blocks, j - i) for j in range(self.order)], axis=-1)
            for i in range(self.order)
        ]
        matrices = np.concatenate(rows, axis=-2)
        power = np.trace(blocks[0], axis1=-2, axis2=-1)[:, None, None] / n_channels
        identity = power * np.eye(self.order * n_channels)
        return (1 - self.shrinkage) * matrices + self.shrinkage * identity

    def __sklearn_is_fitted__(self) -> bool:
        """Nothing is learned, so it always is."""
        return True


def _block(blocks: list[np.ndarray], delay: int) -> np.ndarray:
    """Return Γ(delay); a negative delay transposes it."""
    return blocks[delay] if delay >= 0 else blocks[-delay].swapaxes(-1, -2)
