"""How far a mean of paired differences, or its effect size, would move with other subjects and other seeds.

The subject is the unit: windows of a person are no independent witnesses. Each draw takes subjects with
replacement; what a seed does to one subject is in that already, and what it does to all alike makes the
interval wider (`brainfm.evaluation.seeds`). Means are studentised; effect sizes get Efron's bias-corrected
and accelerated interval (BCa, 1987), its levels widened for few subjects (Hesterberg 2015).
Measures pooled over subjects have their own, `brainfm.evaluation.jackknife`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64
from scipy.stats import norm, t

from brainfm.evaluation.seeds import error_of, shared_error

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """Where a number lies with 95 % confidence; NaN at both ends where nothing can be said."""

    low: float
    high: float


NOTHING = Interval(float("nan"), float("nan"))


def interval_of_mean(
    values: Float64[np.ndarray, "seed subject"], *, draws: int, seed: int
) -> Interval:
    """Return the studentised interval of a mean over subjects and seeds.

    For a mean, whose error every draw can tell by itself, studentised draws cover better than BCa's.

    Parameters
    ----------
    values
        a number a seed and subject.
    draws, seed
        of subjects.
    """
    n = values.shape[1]
    if n < 2:
        return NOTHING
    own, both = values.mean(axis=0)[None], error_of(values)
    subjects = draw_subjects(n, draws=draws, seed=seed).astype(np.float64)
    mean, error = _mean_and_error(own, np.ones((1, n)))
    drawn, errors = _mean_and_error(own, subjects)
    known = errors > 1e-12 * np.abs(mean)
    if not known.any():
        far = both.reach(CONFIDENCE)
        return Interval(float(mean[0] - far), float(mean[0] + far))
    outside = (1 - CONFIDENCE) / 2
    far = np.quantile(((drawn - mean)[known] / errors[known]), [1 - outside, outside]) * error
    alone = replace(both, shared=0.0)
    low, high = mean - far * both.reach(CONFIDENCE) / alone.reach(CONFIDENCE)
    return Interval(float(low), float(high))


def interval_of(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    values: Float64[np.ndarray, "seed subject"],
    *,
    draws: int,
    seed: int,
) -> Interval:
    """Return the BCa interval of a statistic of every subject's mean over seeds.

    Parameters
    ----------
    statistic
        of (sample, subject) values and the subjects' weights in each sample.
    values
        a number a seed and subject.
    draws, seed
        of subjects and of what seeds shift.
    """
    n = values.shape[1]
    if n < 2:
        return NOTHING
    own = values.mean(axis=0)[None]
    shared = shared_error(values.mean(axis=1), values)
    noise = shared * np.random.default_rng([seed, 4]).standard_normal(draws)
    subjects = draw_subjects(n, draws=draws, seed=seed).astype(np.float64)
    drawn = statistic(own + noise[:, None], subjects)
    whole = statistic(own, leave_out(n))
    return bca(float(whole[0]), drawn, whole[1:])


def leave_out(n_subjects: int) -> Float64[np.ndarray, "sample subject"]:
    """Return weights of the subjects: everybody once, then each left out in turn."""
    everybody = np.ones((1, n_subjects))
    return np.concatenate([everybody, everybody - np.eye(n_subjects)])


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
