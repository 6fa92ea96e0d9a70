"""Delay embedding: each channel beside earlier copies of itself."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, TransformerMixin

from brainfm.errors import UsageError


class DelayEmbedding(TransformerMixin, BaseEstimator):
    """Stack lagged copies of the channels, so that a covariance sees how the signal unfolds.

    Copy ``p`` (0 to ``order - 1``) of a window of ``n_times`` samples is its samples from
    ``p * lag`` on, all copies ``n_times - order * lag`` samples long: one lag shorter than need be,
    as MOABB's ``AugmentedDataset`` has it, so that both give the same numbers. Order 1 is the
    window itself.

    Carrara & Papadopoulo, "Classification of BCI-EEG based on the augmented covariance matrix",
    IEEE Trans. Biomed. Eng. 2024 (arXiv:2302.04508).

    Parameters
    ----------
    order
        number of copies.
    lag
        samples between one copy and the next.
    """

    def __init__(self, order: int = 4, lag: int = 4) -> None:
        self.order = order
        self.lag = lag

    def fit(
        self, X: Float[np.ndarray, "trial channel time"], y: np.ndarray | None = None
    ) -> DelayEmbedding:
        """Check that the copies fit into the windows; nothing is learned."""
        if self.order < 1 or self.lag < 1:
            raise UsageError(f"Order {self.order} and lag {self.lag}: give both as 1 or more.")
        if self.order > 1 and self.order * self.lag >= X.shape[-1]:
            raise UsageError(
                f"{self.order} copies {self.lag} samples apart do not fit into windows of "
                f"{X.shape[-1]} samples: give a smaller order or lag, or longer windows."
            )
        return self

    def transform(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float[np.ndarray, "trial copy_channel shorter"]:
        """Return (trial, order × channel, time), the copies one after the other."""
        if self.order == 1:
            return X
        length = X.shape[-1] - self.order * self.lag
        views = np.lib.stride_tricks.sliding_window_view(X, length, axis=-1)
        copies = views[:, :, : self.order * self.lag : self.lag]
        return copies.swapaxes(1, 2).reshape(len(X), -1, length)

    def __sklearn_is_fitted__(self) -> bool:
        """Nothing is learned, so it always is."""
        return True
