"""Augmented covariances for a whole grid of orders and lags, none computed twice.

With windows cut to ``n_times - order * lag`` samples (see `DelayEmbedding`), the augmented covariance
of order 2 and lag 4 consists of blocks of that of order 4 and lag 2: settings of equal ``order * lag``
see the same samples, and the finer lag holds the coarser one's copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from brainfm.baselines.covariance import Covariance, Shrinkage, oas_of
from brainfm.baselines.embedding import DelayEmbedding

Matrices = Float64[np.ndarray, "trial channel channel"]


@dataclass(frozen=True)
class Delay:
    """Number of copies and samples between one and the next; order 1 has lag 1."""

    order: int
    lag: int


@dataclass(frozen=True, eq=False)
class AugmentedGrid:
    """Yields the augmented covariances of windows for every order and lag.

    Attributes
    ----------
    orders, lags
        every order goes with every lag; order 1 is the plain covariance and comes once.
    estimator
        covariance estimator, see `Covariance`.
    """

    orders: Sequence[int]
    lags: Sequence[int]
    estimator: Shrinkage = "scm"

    def __call__(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Iterator[tuple[Delay, Matrices]]:
        """Yield one delay after the other with its matrices; in no particular order."""
        for group in self.groups():
            yield from self._of_equal_span(X, group)

    def groups(self) -> list[list[Delay]]:
        """Return the delays by ``order * lag``, the finest lag of each group first."""
        delays = {Delay(m, lag if m > 1 else 1) for m in self.orders for lag in self.lags}
        spans: dict[int, list[Delay]] = {}
        for delay in sorted(delays, key=lambda d: (d.lag, d.order)):
            spans.setdefault(0 if delay.order == 1 else delay.order * delay.lag, []).append(delay)
        return list(spans.values())

    def _of_equal_span(self, X: np.ndarray, group: list[Delay]) -> Iterator[tuple[Delay, Matrices]]:
        known: dict[Delay, Matrices] = {}
        n_times = X.shape[-1] - (0 if group[0].order == 1 else group[0].order * group[0].lag)
        for delay in group:
            finer = next((d for d in known if delay.lag % d.lag == 0), None)
            if self.estimator == "lwf":  # needs fourth moments, which the blocks do not hold
                yield delay, _augmented(X, delay, "lwf")
                continue
            if finer is None:
                known[delay] = sample = _augmented(X, delay, "scm")
            else:
                sample = _blocks(known[finer], finer, delay)
            yield delay, oas_of(sample, n_times) if self.estimator == "oas" else sample


def _augmented(X: np.ndarray, delay: Delay, estimator: Shrinkage) -> Matrices:
    """Return the covariances of embedded windows, a few windows at a time to bound the memory."""
    embedding = DelayEmbedding(delay.order, delay.lag).fit(X)
    covariance = Covariance(estimator).fit(X)
    starts = range(0, len(X), Covariance.batch)
    return np.concatenate(
        [covariance.transform(embedding.transform(X[s : s + Covariance.batch])) for s in starts]
    )


def _blocks(
    matrices: Matrices, finer: Delay, delay: Delay
) -> Float64[np.ndarray, "trial coarse coarse"]:
    """Return the blocks of every second, third … copy."""
    n_channels = matrices.shape[-1] // finer.order
    copies = np.arange(delay.order) * (delay.lag // finer.lag)
    rows = (copies[:, None] * n_channels + np.arange(n_channels)).ravel()
    return matrices[:, rows[:, None], rows]
