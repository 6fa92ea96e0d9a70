"""Two estimators on the same subjects: differences, effect sizes, and tests of three kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln
from scipy.stats import t, wilcoxon

from brainfm.evaluation.intervals import NOTHING, Interval, draw

Gap = Float64[np.ndarray, " subject"]
# With fewer subjects the interval of an effect size covers too seldom to be shown.
ENOUGH_FOR_EFFECT = 8


@dataclass(frozen=True)
class Difference:
    """Mean over subjects of one estimator's score minus another's.

    Attributes
    ----------
    value
        the mean difference.
    interval
        95 %, by drawing subjects and seeds.
    p
        two-sided, by flipping the sign of whole subjects.
    n_subjects
        subjects for whom both scores are defined.
    p_wilcoxon
        two-sided, by the subjects' signed ranks.
    effect
        Hedges' g of the paired differences: the mean in units of their spread over subjects.
    effect_interval
        95 %, by drawing subjects and seeds; nothing below eight subjects.
    """

    value: float
    interval: Interval
    p: float
    n_subjects: int
    p_wilcoxon: float = float("nan")
    effect: float = float("nan")
    effect_interval: Interval = NOTHING


def difference(
    scores: Float64[np.ndarray, "seed subject"],
    reference: Float64[np.ndarray, "seed subject"],
    *,
    draws: int,
    seed: int,
) -> Difference:
    """Compare two estimators on the same subjects, subject by subject.

    Parameters
    ----------
    scores, reference
        a score a seed and subject, in the same order; NaN where undefined.
    draws
        bootstrap draws, and sign flips where there are too many subjects to try them all.
    seed
        of both.
    """
    gaps = scores - reference
    gaps = gaps[:, np.isfinite(gaps).all(axis=0)]
    n = gaps.shape[1]
    gap = gaps.mean(axis=0)
    if n < 2:
        value = float(gap.mean()) if n else float("nan")
        return Difference(value, NOTHING, float("nan"), n)
    drawn = draw(n, len(gaps), draws=draws, seed=seed)
    return Difference(
        value=float(gap.mean()),
        interval=drawn.interval_of_mean(gaps),
        p=sign_flip_p(gap, draws=draws, seed=seed),
        n_subjects=n,
        p_wilcoxon=wilcoxon_p(gap),
        effect=float(hedges_g(gap[None], np.ones((1, n)))[0]),
        effect_interval=drawn.interval_of(hedges_g, gaps) if n >= ENOUGH_FOR_EFFECT else NOTHING,
    )


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


def sign_flip_p(gap: Gap, *, draws: int, seed: int) -> float:
    """Return the two-sided p of a mean gap of zero, under independent signs a subject.

    All signs are tried up to 12 subjects, so that p is exact; above, ``draws`` random ones with the
    observed one among them.
    """
    n = len(gap)
    if n <= 12:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        rng = np.random.default_rng([seed, 2])
        signs = rng.choice([-1.0, 1.0], size=(draws, n))
        signs[0] = 1.0
    means = np.abs(signs @ gap)
    # Equal sums may differ in the last digit by the order of their terms.
    return float(np.mean(means >= np.abs(gap.sum()) * (1 - 1e-12)))


def wilcoxon_p(gap: Gap) -> float:
    """Return the two-sided p of Wilcoxon's signed ranks; 1 where no subject differs."""
    return float(wilcoxon(gap).pvalue) if (gap != 0).any() else 1.0


def nadeau_bengio_p(gap: Float64[np.ndarray, " fold"], test_share: float) -> float:
    """Return the two-sided p of a mean gap over folds whose training windows are shared.

    Folds of a cross-validation are not independent, and Student's test finds differences where there
    are none. Nadeau & Bengio (Machine Learning 52 (2003) 239) widen its variance by the share of
    the data that is tested.

    Parameters
    ----------
    gap
        a difference a fold and seed.
    test_share
        test windows for each training window.
    """
    if len(gap) < 2:
        return float("nan")
    variance = gap.var(ddof=1) * (1 / len(gap) + test_share)
    if variance == 0:
        return 1.0 if gap.mean() == 0 else 0.0
    return float(2 * t.sf(abs(gap.mean()) / np.sqrt(variance), len(gap) - 1))


def holm(
    p: Sequence[float] | Float64[np.ndarray, " comparison"],
) -> Float64[np.ndarray, " comparison"]:
    """Return p values corrected by Holm for as many comparisons; NaN, no comparison, stays NaN.

    Holm, Scand. J. Stat. 6 (1979) 65. Five lines instead of statsmodels', which collects garbage on
    every call and takes a hundred times as long.
    """
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given)[: np.isfinite(given).sum()]  # NaN comes last
    steps = np.arange(len(order), 0, -1)
    corrected = np.full(len(given), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * steps), 1)
    return corrected
