"""The traditional choice of an embedding: lag by mutual information, order by false neighbours."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree

from brainfm.baselines.choice import EmbeddingChoice, Series, Windows, embedded, some_series
from brainfm.baselines.lagged import Delay


class MutualInformationCao(EmbeddingChoice):
    """Lag at the first minimum of mutual information, order where Cao's E1 stops growing.

    Fraser & Swinney, Phys. Rev. A 33 (1986) 1134; Cao, Physica D 110 (1997) 43. Both statistics are
    averaged over channels and windows, as Carrara & Papadopoulo do (arXiv:2302.04508).

    Parameters
    ----------
    max_order, max_lag
        largest values that may be chosen.
    saturation
        E1 from which on a further copy counts as adding nothing.
    bins
        equally filled bins an axis of the histogram.
    series
        channels of windows that are looked at, evenly spread.
    """

    def __init__(
        self,
        max_order: int = 10,
        max_lag: int = 10,
        *,
        saturation: float = 0.95,
        bins: int = 16,
        series: int = 64,
    ) -> None:
        self.max_order = max_order
        self.max_lag = max_lag
        self.saturation = saturation
        self.bins = bins
        self.series = series

    def choose(self, X: Windows) -> Delay:
        """Return the lag, and the order at that lag."""
        series = some_series(X, self.series)
        lag = 1 + _first_minimum(mutual_information(series, self.max_lag, bins=self.bins))
        e1 = cao_e1(series, lag, self.max_order)
        enough = np.flatnonzero(e1 >= self.saturation)
        order = 1 + int(enough[0]) if len(enough) else self.max_order
        return Delay(order, lag if order > 1 else 1)


def mutual_information(series: Series, max_lag: int, *, bins: int) -> Float64[np.ndarray, " lag"]:
    """Return the mutual information of x(t) and x(t + lag) in nats, for lags 1 to ``max_lag``."""
    rank = series.argsort(axis=1).argsort(axis=1)
    code = rank * bins // series.shape[1]
    return np.array([_information(code, lag, bins) for lag in range(1, max_lag + 1)])


def cao_e1(series: Series, lag: int, max_order: int) -> Float64[np.ndarray, " order"]:
    """Return Cao's E1 of the orders 1 to ``max_order``: 1 where a further copy adds nothing."""
    expansion = [
        np.mean([_expansion(one, lag, order) for one in series])
        for order in range(1, max_order + 2)
    ]
    return np.array(expansion[1:]) / np.array(expansion[:-1])


def _information(code: np.ndarray, lag: int, bins: int) -> float:
    cell = code[:, :-lag] * bins + code[:, lag:]
    cell += np.arange(len(code))[:, None] * bins**2
    count = np.bincount(cell.ravel(), minlength=len(code) * bins**2)
    joint = count.reshape(-1, bins, bins) / cell.shape[1]
    alone = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / alone[there])).sum() / len(code))


def _first_minimum(values: np.ndarray) -> int:
    """Return the first place lower than both neighbours, else the lowest."""
    inner = (values[1:-1] < values[:-2]) & (values[1:-1] <= values[2:])
    return 1 + int(inner.argmax()) if inner.any() else int(values.argmin())


def _expansion(series: np.ndarray, lag: int, order: int) -> float:
    """Return by what factor nearest neighbours part when a copy is added (Cao's E)."""
    longer = embedded(series, [i * lag for i in range(order + 1)])
    points = longer[:, :order]
    distance, neighbour = KDTree(points).query(points, k=2, p=np.inf)
    near, other = distance[:, 1], neighbour[:, 1]
    apart = np.abs(longer - longer[other]).max(axis=1)
    known = near > 0
    return float(np.mean(apart[known] / near[known])) if known.any() else 1.0
