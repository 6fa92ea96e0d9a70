"""How far a mean of paired differences would move with other subjects and other seeds.

The subject is the unit: windows of a person are no independent witnesses. Each draw takes subjects with
replacement and is studentised; what a seed does to one subject is in that already, and what it does to all
alike makes the interval wider (`brainfm.evaluation.seeds`). Effect sizes (`brainfm.evaluation.effects`) and
measures pooled over subjects (`brainfm.evaluation.jackknife`) have their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from brainfm.evaluation.seeds import error_of

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


def leave_out(n_subjects: int) -> Float64[np.ndarray, "sample subject"]:
    """Return weights of the subjects: everybody once, then each left out in turn."""
    everybody = np.ones((1, n_subjects))
    return np.concatenate([everybody, everybody - np.eye(n_subjects)])


def draw_subjects(n_subjects: int, *, draws: int, seed: int) -> Float32[np.ndarray, "draw subject"]:
    """Return how often each subject is drawn in each bootstrap sample."""
    rng = np.random.default_rng([seed, 0])
    even = np.full(n_subjects, 1 / n_subjects)
    return rng.multinomial(n_subjects, even, size=draws).astype(np.float32)


def _mean_and_error(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of (sample, subject) values under weights, and its standard error."""
    n = weights.sum(axis=1)
    mean = (weights * values).sum(axis=1) / n
    variance = (weights * (values - mean[:, None]) ** 2).sum(axis=1) / n
    return mean, np.sqrt(variance / (n - 1))
