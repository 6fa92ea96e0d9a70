"""How large a paired difference is beside its spread over subjects: Hedges' g and its interval.

The larger g, the less sure: over n normal subjects its variance is some (1 + g²/2)/n. On the scale of
√2 arsinh(g/√2) that is 1/n (Laubscher, Ann. Math. Stat. 31 (1960) 1105), and there the interval reaches
as far to either side as Student's quantile times the error. A hierarchical bootstrap tells the error: each
draw takes subjects with replacement and shifts all of them by what seeds may (`brainfm.evaluation.seeds`).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln
from scipy.stats import norm, t

from brainfm.evaluation.intervals import CONFIDENCE, NOTHING, Interval, draw_subjects
from brainfm.evaluation.seeds import error_of

# With fewer subjects the interval covers too seldom to be shown.
ENOUGH = 8


def hedges_g(
    gap: Float64[np.ndarray, "#sample subject"], weights: Float64[np.ndarray, "sample subject"]
) -> Float64[np.ndarray, " sample"]:
    """Return the mean of the differences over their standard deviation, corrected for few subjects.

    Hedges, J. Educ. Stat. 6 (1981) 107. NaN where the differences do not vary.

    Parameters
    ----------
    gap
        a difference a subject; one row where all samples share it.
    weights
        how often each subject counts in each sample.
    """
    n = weights.sum(axis=1)
    mean = (weights * gap).sum(axis=1) / n
    free = np.maximum(n - 1, 1)
    variance = (weights * (gap - mean[:, None]) ** 2).sum(axis=1) / free
    correction = np.exp(gammaln(free / 2) - gammaln(np.maximum(free - 1, 1) / 2)) * np.sqrt(
        2 / free
    )
    # Differences that are equal up to rounding have no spread to be measured by.
    known = (variance > 1e-24) & (free > 1)
    return np.where(known, correction * mean / np.sqrt(np.where(known, variance, 1)), np.nan)


def interval_of_effect(
    gaps: Float64[np.ndarray, "seed subject"], *, draws: int, seed: int
) -> Interval:
    """Return the 95 % interval of Hedges' g; nothing below eight subjects, or where they do not differ.

    Parameters
    ----------
    gaps
        a difference a seed and subject.
    draws, seed
        of subjects and of what seeds shift.
    """
    n, own, error = gaps.shape[1], gaps.mean(axis=0)[None], error_of(gaps)
    value = _straightened(hedges_g(own, np.ones((1, n))))[0]
    if n < ENOUGH or not np.isfinite(value):
        return NOTHING
    shifts = error.shared * np.random.default_rng([seed, 4]).standard_normal((draws, 1))
    subjects = draw_subjects(n, draws=draws, seed=seed).astype(np.float64)
    drawn = _straightened(hedges_g(own + shifts, subjects))
    # Draws of few different subjects have hardly any spread, and a huge g: the middle ones tell the error.
    below, above = np.nanquantile(drawn, norm.cdf([-1, 1]))
    far = t.ppf((1 + CONFIDENCE) / 2, error.free) * (above - below) / 2
    low, high = (np.sqrt(2) * np.sinh((value + side * far) / np.sqrt(2)) for side in (-1, 1))
    return Interval(float(low), float(high))


def _straightened(g: Float64[np.ndarray, " sample"]) -> Float64[np.ndarray, " sample"]:
    return np.sqrt(2) * np.arcsinh(g / np.sqrt(2))
