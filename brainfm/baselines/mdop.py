"""Maximising derivatives on projection: order and lag of an embedding in one procedure."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from brainfm.baselines.choice import EmbeddingChoice, Windows, embedded, some_series
from brainfm.baselines.lagged import Delay


class MDOP(EmbeddingChoice):
    """Adds the copy that parts nearest neighbours most, until hardly any of them were false.

    Nichkawde, Phys. Rev. E 87 (2013) 022905: of the candidates the delay with the largest β, the mean
    logarithm of the directional derivative between nearest neighbours, is added; the procedure ends
    with a cycle whose share of false neighbours is small. A candidate lies 1 to ``max_lag`` samples
    after the copy before it; the lag chosen is the mean of these steps, as in Carrara & Papadopoulo
    (arXiv:2302.04508). β and the share are averaged over channels and windows.

    Parameters
    ----------
    max_order, max_lag
        largest values that may be chosen.
    false_share
        share of false neighbours below which the procedure ends.
    ratio
        how many times farther apart a false neighbour is in the new copy than it was.
    theiler
        samples around a point in which no neighbour of it is looked for.
    series
        channels of windows that are looked at, evenly spread.
    """

    def __init__(
        self,
        max_order: int = 10,
        max_lag: int = 10,
        *,
        false_share: float = 0.05,
        ratio: float = 2.0,
        theiler: int = 5,
        series: int = 32,
    ) -> None:
        self.max_order = max_order
        self.max_lag = max_lag
        self.false_share = false_share
        self.ratio = ratio
        self.theiler = theiler
        self.series = series

    def choose(self, X: Windows) -> Delay:
        """Return the number of copies and the mean step between them."""
        series = some_series(X, self.series)
        delays = [0]
        while len(delays) < self.max_order:
            candidates = [delays[-1] + step for step in range(1, self.max_lag + 1)]
            if candidates[-1] + self.theiler >= series.shape[1] // 2:
                break  # what is left of the windows is too short to look for neighbours in
            growth = np.stack([self._growth(one, delays, candidates) for one in series])
            growth = growth[np.isfinite(growth).all(axis=(1, 2))]
            if not len(growth):
                break  # the series repeat themselves exactly: every neighbour is at distance 0
            best = int(np.mean(growth[:, 0], axis=0).argmax())
            if np.mean(growth[:, 1, best]) < self.false_share:
                break
            delays.append(candidates[best])
        if len(delays) == 1:
            return Delay(1, 1)
        return Delay(len(delays), max(1, round(float(np.diff(delays).mean()))))

    def _growth(self, series: np.ndarray, delays: list[int], candidates: list[int]) -> np.ndarray:
        """Return β and the share of false neighbours (2, candidate); NaN without neighbours."""
        points = embedded(series, [*delays, candidates[-1]])[:, :-1]
        distance, neighbour = _neighbours(points, self.theiler)
        known = np.isfinite(distance) & (distance > 0)
        if not known.any():
            return np.full((2, len(candidates)), np.nan)
        at, other = np.flatnonzero(known), neighbour[known]
        parted = np.stack([np.abs(series[at + c] - series[other + c]) for c in candidates], axis=1)
        derivative = parted / distance[known, None]
        # Equal samples have no logarithm; the floor is far below what any recorder resolves.
        beta = np.log10(np.maximum(derivative, 1e-12)).mean(axis=0)
        return np.stack([beta, (derivative > self.ratio).mean(axis=0)])


def _neighbours(points: np.ndarray, theiler: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and index of the nearest point farther away in time than ``theiler``."""
    distance, neighbour = KDTree(points).query(points, k=min(2 * theiler + 2, len(points)))
    near_in_time = np.abs(neighbour - np.arange(len(points))[:, None]) <= theiler
    first = np.where(near_in_time, np.inf, distance).argmin(axis=1)
    rows = np.arange(len(points))
    found = np.where(near_in_time, np.inf, distance)[rows, first]
    return found, neighbour[rows, first]
