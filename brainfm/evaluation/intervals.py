"""How far a mean of paired differences would move with other subjects and other seeds.

The subject is the unit: windows of a person are no independent witnesses. Each draw takes subjects with
replacement and is studentised; what a seed does to one subject is in that already, and what it does to all
alike makes the interval wider (`brainfm.evaluation.seeds`). Effect sizes (`brainfm.evaluation.effects`) and
measures pooled over subjects (`brainfm.evaluation.jackknife`) have their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy.stats import t

from brainfm.evaluation.seeds import error_of

CONFIDENCE = 0.95
# Fewer subjects have too few different samples to show how a mean errs.
ENOUGH = 4


@dataclass(frozen=True)
class Interval:
    """Where a number lies with 95 % confidence; NaN at both ends where nothing can be said."""

    low: float
    high: float


NOTHING = Interval(float("nan"), float("nan"))


def interval_of_mean(
    values: Float64[np.ndarray, "seed subject"], *, draws: int, seed: int
) -> Interval:
    """Return the studentised interval of a mean over subjects and seeds; Student's own below four subjects.

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
    each, reach = values.mean(axis=0), error_of(values).reach(CONFIDENCE)
    far = np.array([1.0, -1.0])
    if n >= ENOUGH:
        far = _beside_students(each, draw_subjects(n, draws=draws, seed=seed))
    low, high = each.mean() - far * reach
    return Interval(float(low), float(high))


def _beside_students(
    each: Float64[np.ndarray, " subject"], drawn: Float32[np.ndarray, "draw subject"]
) -> Float64[np.ndarray, " end"]:
    """Return the studentised bootstrap's upper and lower quantile, in units of Student's upper one."""
    mean, error = _mean_and_error(each[None], drawn.astype(np.float64))
    known = error > 1e-12 * np.abs(each.mean())
    if not known.any():
        return np.array([1.0, -1.0])
    inside = (1 + CONFIDENCE) / 2
    far = np.quantile((mean - each.mean())[known] / error[known], [inside, 1 - inside])
    return far / t.ppf(inside, len(each) - 1)


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
