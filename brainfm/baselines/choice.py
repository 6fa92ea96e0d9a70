"""Order and lag of a delay embedding read off the signal itself, without labels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator

from brainfm.baselines.embedding import DelayEmbedding
from brainfm.baselines.lagged import Delay
from brainfm.errors import UsageError

Windows = Float[np.ndarray, "trial channel time"]
Series = Float64[np.ndarray, "series time"]


class EmbeddingChoice(BaseEstimator, ABC):
    """A rule that reads order and lag off training windows."""

    @abstractmethod
    def choose(self, X: Windows) -> Delay:
        """Return the order and lag for windows like these."""


class ChosenEmbedding(DelayEmbedding):
    """`DelayEmbedding` whose order and lag a rule reads off the training windows.

    Parameters
    ----------
    choice
        the rule, such as ``MutualInformationCao`` or ``MDOP``.

    Attributes
    ----------
    order, lag
        what the rule chose in ``fit``.
    """

    def __init__(self, choice: EmbeddingChoice) -> None:
        self.choice = choice

    def fit(self, X: Windows, y: np.ndarray | None = None) -> ChosenEmbedding:
        """Choose, and check that the copies fit into the windows."""
        delay = self.choice.choose(X)
        self.order, self.lag = delay.order, delay.lag
        super().fit(X)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the rule has chosen."""
        return hasattr(self, "order")


def some_series(X: Windows, count: int) -> Series:
    """Return at most ``count`` channels of windows, evenly spread and standardised; none is flat."""
    flat = X.reshape(-1, X.shape[-1])
    picked = flat[np.unique(np.linspace(0, len(flat) - 1, min(count, len(flat))).astype(int))]
    picked = picked.astype(np.float64) - picked.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = picked.std(axis=1, keepdims=True)
    if not (deviation > 0).any():
        raise UsageError("All channels are constant: there is no embedding to choose for them.")
    alive = deviation[:, 0] > 0
    return picked[alive] / deviation[alive]


def embedded(series: Float64[np.ndarray, " time"], delays: list[int]) -> np.ndarray:
    """Return the points (time, copy) of one series at the given delays."""
    length = len(series) - max(delays)
    return np.stack([series[d : d + length] for d in delays], axis=1)
