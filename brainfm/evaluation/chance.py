"""What scores would be if labels had nothing to do with predictions: by labels that change places.

Which may, and with which, is for `brainfm.evaluation.shuffles` to say.

Where labels can be shuffled in no more ways than are drawn, each way is taken once and the p is exact; else
it is counted as Phipson & Smyth ("Permutation P-values Should Never Be Zero", 2010) advise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from brainfm.evaluation.intervals import NOTHING, Interval
from brainfm.evaluation.shuffles import all_shuffles, count_shuffles, permute_labels
from brainfm.evaluation.statistics import Pooled

LEVELS = (2.5, 97.5)


@dataclass(frozen=True)
class Chance:
    """What scores would be if labels had nothing to do with predictions.

    Attributes
    ----------
    band
        where 95 % of them fall.
    p
        share of them, and of the score itself, that is no lower than the score.
    least
        what that is of a perfect score.
    """

    band: Interval = NOTHING
    p: float = float("nan")
    least: float = float("nan")


def chance(pooled: Pooled, metrics: Sequence[str], *, draws: int, seed: int) -> dict[str, Chance]:
    """Return what each measure would be under shuffled labels.

    Parameters
    ----------
    pooled
        the predictions.
    metrics
        names of the measures.
    draws
        shuffles that are drawn at random; where there are no more than these, all are taken.
    seed
        of the drawing.
    """
    found = pooled.scores(metrics)
    if count_shuffles(pooled) <= draws:
        # The labels as they are are one of all ways.
        values, own = pooled.scores(metrics, truth=all_shuffles(pooled)), 0
    else:
        values, own = pooled.scores(metrics, truth=permute_labels(pooled, draws, seed=seed)), 1
    return {name: _chance(values[name], float(found[name][0]), own) for name in metrics}


def _chance(values: Float64[np.ndarray, " draw"], found: float, own: int) -> Chance:
    """Sum up scores under shuffled labels, to which the score itself is added ``own`` times."""
    values = values[np.isfinite(values)]
    if not len(values) or not np.isfinite(found):
        return Chance()
    low, high = np.percentile(values, LEVELS)
    # Equal scores may differ in their last digits.
    as_high = int((values >= found - 1e-9).sum())
    n = len(values) + own
    return Chance(Interval(float(low), float(high)), (as_high + own) / n, 1 / n)
