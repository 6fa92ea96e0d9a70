"""How far a number would move with other subjects and other seeds: hierarchical bootstrap intervals.

The subject is the unit: windows of a person are no independent witnesses. Each draw takes subjects with
replacement, and seeds too where there are several: of the seeds only what moves all subjects alike, for
what a seed does to one subject is in the drawing of subjects already. The interval is Efron's bias-corrected
and accelerated one (BCa, 1987), its levels widened for few subjects (Hesterberg 2015): plain percentiles
miss the truth in 8 of 100 experiments on 15 subjects where 5 were promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy.stats import norm, t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """Where a number lies with 95 % confidence; NaN at both ends where nothing can be said."""

    low: float
    high: float


NOTHING = Interval(float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Draws:
    """Bootstrap samples of subjects and seeds, the same for all that is measured on them.

    Attributes
    ----------
    subjects
        how often each subject is drawn in each sample.
    seeds
        share of each seed in each sample.
    """

    subjects: Float32[np.ndarray, "draw subject"]
    seeds: Float64[np.ndarray, "draw seed"]

    @property
    def weights(self) -> Float32[np.ndarray, "sample subject"]:
        """Everybody once; each subject left out in turn; then the draws."""
        n = self.subjects.shape[1]
        everybody = np.ones((1, n), np.float32)
        return np.concatenate([everybody, everybody - np.eye(n, dtype=np.float32), self.subjects])

    def interval(self, values: Float64[np.ndarray, "seed sample"]) -> Interval:
        """Return the interval of a statistic that was computed under all `weights`, seed by seed."""
        n = self.subjects.shape[1]
        if n < 2:
            return NOTHING
        left_out = values[:, 1 : 1 + n]
        seeds = self._shrunk_seeds(values[:, 0], (n - 1) * (values[:, :1] - left_out))
        drawn = (seeds * values[:, 1 + n :].T).sum(axis=1)
        return bca(float(values[:, 0].mean()), drawn, left_out.mean(axis=0))

    def interval_of_mean(self, values: Float64[np.ndarray, "seed subject"]) -> Interval:
        """Return the studentised interval of a mean over subjects and seeds.

        For a mean, whose error every draw can tell by itself, studentised draws cover better than BCa's.
        """
        n = values.shape[1]
        if n < 2:
            return NOTHING
        mean, error = _mean_and_error(values.mean(axis=0)[None], np.ones((1, n)))
        seeds = self._shrunk_seeds(values.mean(axis=1), values)
        drawn, errors = _mean_and_error(seeds @ values, self.subjects.astype(np.float64))
        known = errors > 0
        if not known.any():
            return Interval(float(mean[0]), float(mean[0]))
        outside = (1 - CONFIDENCE) / 2
        far = np.quantile((drawn - mean)[known] / errors[known], [1 - outside, outside])
        low, high = mean - far * error
        return Interval(float(low), float(high))

    def interval_of(
        self,
        statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
        values: Float64[np.ndarray, "seed subject"],
    ) -> Interval:
        """Return the interval of a statistic of every subject's mean over seeds.

        Parameters
        ----------
        statistic
            of (sample, subject) values and the subjects' weights in each sample.
        values
            a number a seed and subject.
        """
        n = values.shape[1]
        if n < 2:
            return NOTHING
        seeds = self._shrunk_seeds(values.mean(axis=1), values)
        drawn = statistic(seeds @ values, self.subjects.astype(np.float64))
        whole = statistic(values.mean(axis=0)[None], self.weights[: n + 1].astype(np.float64))
        return bca(float(whole[0]), drawn, whole[1:])

    def _shrunk_seeds(
        self, whole: Float64[np.ndarray, " seed"], parts: Float64[np.ndarray, "seed subject"]
    ) -> Float64[np.ndarray, "draw seed"]:
        """Return the seeds' shares, pulled to equal ones by what subjects explain of their differences.

        ``whole`` is each seed's statistic, ``parts`` what every subject contributes to it: where the
        seeds' differences are no larger than subjects disagree about them, there is no effect of seeds.
        """
        k, n = parts.shape
        observed = whole.var(ddof=1) if k > 1 else 0.0
        if not observed > 0:
            return np.full_like(self.seeds, 1 / k)
        residual = parts - parts.mean(axis=1, keepdims=True)
        by_subjects = residual.var(axis=0, ddof=1).mean() / n
        # Drawing k of k seeds has (k - 1) / k of the variance of drawing new ones.
        kept = max(0.0, 1 - by_subjects / observed) * k / (k - 1)
        return 1 / k + np.sqrt(kept) * (self.seeds - 1 / k)


def draw(n_subjects: int, n_seeds: int, *, draws: int, seed: int) -> Draws:
    """Draw subjects, and seeds, with replacement."""
    rng = np.random.default_rng([seed, 3])
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws) / n_seeds
    return Draws(draw_subjects(n_subjects, draws=draws, seed=seed), seeds)


def draw_subjects(n_subjects: int, *, draws: int, seed: int) -> Float32[np.ndarray, "draw subject"]:
    """Return how often each subject is drawn in each bootstrap sample."""
    rng = np.random.default_rng([seed, 0])
    even = np.full(n_subjects, 1 / n_subjects)
    return rng.multinomial(n_subjects, even, size=draws).astype(np.float32)


def bca(
    value: float,
    drawn: Float64[np.ndarray, " draw"],
    left_out: Float64[np.ndarray, " subject"],
) -> Interval:
    """Return the bias-corrected and accelerated interval of a bootstrap distribution.

    Parameters
    ----------
    value
        the statistic on all subjects.
    drawn
        under every bootstrap sample; samples in which it is not defined do not count.
    left_out
        without each subject in turn.
    """
    drawn = drawn[np.isfinite(drawn)]
    n = len(left_out)
    if not np.isfinite(value) or len(drawn) < 2 or n < 2:
        return NOTHING
    below = np.mean(drawn < value) + np.mean(drawn == value) / 2
    edge = 1 / (2 * len(drawn))
    bias = norm.ppf(np.clip(below, edge, 1 - edge))
    # For a mean this makes the interval Student's: the levels of n/(n - 1) times the variance.
    far = np.sqrt(n / (n - 1)) * t.ppf((1 + CONFIDENCE) / 2, n - 1)
    ends = [_level(bias, z, _acceleration(left_out)) for z in (-far, far)]
    low, high = np.quantile(drawn, ends)
    return Interval(float(low), float(high))


def _mean_and_error(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of (sample, subject) values under weights, and its standard error."""
    n = weights.sum(axis=1)
    mean = (weights * values).sum(axis=1) / n
    variance = (weights * (values - mean[:, None]) ** 2).sum(axis=1) / n
    return mean, np.sqrt(variance / (n - 1))


def _acceleration(left_out: np.ndarray) -> float:
    """Return the skewness of the subjects' influences, over six."""
    influence = left_out.mean() - left_out
    largest = np.abs(influence).max()
    if not np.isfinite(largest) or largest == 0:
        return 0.0
    influence = influence / largest  # the powers of what is tiny would be 0
    return float((influence**3).sum() / (6 * (influence**2).sum() ** 1.5))


def _level(bias: float, z: float, acceleration: float) -> float:
    """Return the share of the draws that lies below one end of the interval."""
    shifted = bias + z
    stretch = 1 - acceleration * shifted
    return float(norm.cdf(bias + shifted / stretch)) if stretch > 0 else float(shifted > 0)
