"""Two estimators beside each other on the same subjects: one by one, or pooled where one by one says nothing.

A patient who shows one class only has no AUROC of his own. Where that is so of anybody, the pooled scores are
subtracted, and the difference's error is found by leaving out each subject in turn, as that of a single
score is (`brainfm.evaluation.jackknife`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from brainfm.evaluation.intervals import CONFIDENCE, NOTHING, Interval
from brainfm.evaluation.jackknife import Shown, error_without, fewest
from brainfm.evaluation.pairs import Difference, difference
from brainfm.evaluation.statistics import Pooled

# Scores that differ by less are equal but for rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Contestant:
    """An estimator's predictions, to be held against those of others for the same windows.

    Attributes
    ----------
    pooled
        the predictions.
    metrics
        names of the measures.
    """

    pooled: Pooled
    metrics: Sequence[str]

    @cached_property
    def alone(self) -> dict[str, Float64[np.ndarray, "seed subject"]]:
        """The scores of each subject alone."""
        return self.pooled.subject_scores(self.metrics)

    @cached_property
    def without(self) -> dict[str, Float64[np.ndarray, "seed sample"]]:
        """The pooled scores of everybody, and without each subject."""
        return self.pooled.scores_without(self.metrics)

    def against(self, other: Contestant, metric: str, *, draws: int, seed: int) -> Difference:
        """Return this one's score minus the other's.

        Parameters
        ----------
        other
            tested on the same subjects under the same seeds.
        metric
            one of both's measures.
        draws, seed
            of bootstrap and signs.
        """
        pair = self.alone[metric], other.alone[metric]
        if all(np.isfinite(scores).all() for scores in pair):
            return difference(*pair, draws=draws, seed=seed)
        gap = self.without[metric] - other.without[metric]
        return pooled_difference(gap, self.pooled.shown)


def pooled_difference(
    gap: Float64[np.ndarray, "seed sample"], shown: Shown | None = None
) -> Difference:
    """Return the difference of two pooled scores, with Student's interval and p.

    p is never below what flipped signs of as many subjects could give.

    Parameters
    ----------
    gap
        of everybody, and without each subject, seed by seed.
    shown
        which classes each subject shows; None where all speak of one thing.
    """
    value, n = float(gap[:, 0].mean()), gap.shape[1] - 1
    error = error_without(gap, shown)
    if error is None:
        return Difference(value, NOTHING, float("nan"), n, by="pooled")
    far = error.reach(CONFIDENCE)
    interval = Interval(value - far, value + far)
    if error.total > ROUNDING:
        # Few subjects may lie close together by luck: no surer than signs of as many could be.
        p = max(error.p_of(value), 2.0 ** (1 - n))
        return Difference(value, interval, p, n, by="pooled")
    # A difference that nobody moves is as sure as one sign of everybody in the smallest class.
    p = 2.0 ** (1 - fewest(shown, n)) if abs(value) > ROUNDING else 1.0
    return Difference(value, interval, p, n, by="pooled")
