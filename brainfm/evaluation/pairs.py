"""Two estimators on the same subjects: differences, effect sizes, and tests of three kinds.

Subjects and seeds are both drawn from many: where seeds shift all subjects alike, p is larger and intervals
are wider by that (`brainfm.evaluation.seeds`); one seed, or seeds that agree, leave the exact tests over
subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.stats import t, wilcoxon

from brainfm.evaluation.effects import hedges_g, interval_of_effect
from brainfm.evaluation.intervals import NOTHING, Interval, interval_of_mean
from brainfm.evaluation.seeds import error_of

Gaps = Float64[np.ndarray, "seed subject"]


@dataclass(frozen=True)
class Difference:
    """One estimator's score minus another's: the mean over subjects, or that of pooled scores.

    Attributes
    ----------
    value
        the difference.
    interval
        95 %, over subjects and seeds.
    p
        two-sided, over subjects, and by what seeds shift.
    n_subjects
        subjects that it is of.
    p_wilcoxon
        two-sided, by the subjects' signed ranks, and by what seeds shift of those.
    effect
        Hedges' g of the paired differences: the mean in units of their spread over subjects.
    effect_interval
        95 %, by drawing subjects and seeds; nothing below eight subjects.
    by
        whether subjects are scored one by one, or pooled.
    """

    value: float
    interval: Interval
    p: float
    n_subjects: int
    p_wilcoxon: float = float("nan")
    effect: float = float("nan")
    effect_interval: Interval = NOTHING
    by: Literal["subjects", "pooled"] = "subjects"


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
        a score a seed and subject, in the same order.
    draws
        bootstrap draws, and sign flips where there are too many subjects to try them all.
    seed
        of both.
    """
    gaps = scores - reference
    value, n = float(gaps.mean()), gaps.shape[1]
    if n < 2:
        return Difference(value, NOTHING, float("nan"), n)
    options = {"draws": draws, "seed": seed}
    return Difference(
        value=value,
        interval=interval_of_mean(gaps, **options),
        p=sign_flip_p(gaps, **options),
        n_subjects=n,
        p_wilcoxon=wilcoxon_p(gaps),
        effect=float(hedges_g(gaps.mean(axis=0)[None], np.ones((1, n)))[0]),
        effect_interval=interval_of_effect(gaps, **options),
    )


def sign_flip_p(gaps: Gaps, *, draws: int, seed: int) -> float:
    """Return the two-sided p of a mean gap of zero, over subjects and seeds.

    Under the null hypothesis a subject's sign is as good as the other: p is how often flipped signs reach as
    far as the mean, all tried up to 12 subjects, above ``draws`` random ones with the observed one among
    them. Where seeds shift all subjects, they need to reach only as far as would be as improbable of subjects
    alone. The observed signs always do, so p is never below two of all the ways.

    Parameters
    ----------
    gaps
        a difference a seed and subject, the same subjects under every seed.
    draws, seed
        of the signs.
    """
    gap, n = gaps.mean(axis=0), gaps.shape[1]
    error, reached = error_of(gaps), abs(float(gap.mean()))
    if error.shared:
        far = error.of_subjects(reached)
        # The mean whose t is that, when the differences' squares add up to the same.
        near = float(np.sqrt((gap**2).mean() / (1 + (n - 1) / far**2))) if far else 0.0
        reached = min(reached, near)
    flipped = _signs(n, draws=draws, seed=seed) @ gap / n
    # Equal sums may differ in the last digit by the order of their terms.
    return float(np.mean(np.abs(flipped) >= reached * (1 - 1e-12)))


def wilcoxon_p(gaps: Gaps) -> float:
    """Return the two-sided p of Wilcoxon's signed ranks, of subjects' means over seeds.

    scipy's, and larger where seeds shift all subjects. 1 where no subject differs.

    Parameters
    ----------
    gaps
        a difference a seed and subject, the same subjects under every seed.
    """
    gap = gaps.mean(axis=0)
    return error_of(gaps).widened(float(wilcoxon(gap).pvalue)) if gap.any() else 1.0


def _signs(n: int, *, draws: int, seed: int) -> Float64[np.ndarray, "draw subject"]:
    """Return all signs of up to 12 subjects; of more, random ones after those observed."""
    if n <= 12:
        return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    signs = np.random.default_rng([seed, 2]).choice([-1.0, 1.0], size=(draws, n))
    signs[0] = 1.0
    return signs


def nadeau_bengio_p(gap: Float64[np.ndarray, " fold"], test_share: float) -> float:
    """Return the two-sided p of a mean gap over folds whose training windows are shared.

    Folds of a cross-validation are not independent, and Student's test finds differences where there
    are none. Nadeau & Bengio (Machine Learning 52 (2003) 239) widen its variance by the share of
    the data that is tested.

    Parameters
    ----------
    gap
        a difference for each fold that tests other windows.
    test_share
        test windows for each training window.

    Returns
    -------
    p
        NaN of fewer than two folds, or of equal differences other than 0.
    """
    if len(gap) < 2:
        return float("nan")
    variance = gap.var(ddof=1) * (1 / len(gap) + test_share)
    # Equal up to rounding, they say nothing of how folds differ.
    if variance <= 1e-24:
        return float("nan") if abs(gap.mean()) > 1e-12 else 1.0
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
