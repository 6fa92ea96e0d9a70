"""What scores would be if labels had nothing to do with predictions: by shuffling the labels.

Where labels can be shuffled in no more ways than are drawn, each way is taken once and the p is exact; else
it is counted as Phipson & Smyth ("Permutation P-values Should Never Be Zero", 2010) advise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import gammaln

from brainfm.evaluation.intervals import NOTHING, Interval
from brainfm.evaluation.statistics import Pooled, Truths

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


def exchangeable_unit(pooled: Pooled) -> str:
    """Say what keeps its label when labels are shuffled: what may be exchanged, and within what.

    ``"subject"`` where every subject has one label (patients against controls): labels are
    exchanged between subjects. Otherwise ``"recording"`` where every recording has one label (rest
    against arithmetic): between recordings of a subject. Otherwise ``"window"`` (cued trials):
    between windows of a subject. Exchanging smaller units than these would call windows independent
    that are not, and the band would come out too narrow.
    """
    if _one_label_each(pooled.truth, pooled.subject):
        return "subject"
    return "recording" if _one_label_each(pooled.truth, pooled.recording) else "window"


def permute_labels(pooled: Pooled, draws: int, *, seed: int) -> Truths:
    """Return labels shuffled between exchangeable units at random, one row a draw."""
    rng = np.random.default_rng([seed, 1])
    truth, block, units = _exchangeable(pooled)
    labels = np.tile(truth, (draws, 1))
    for part in np.unique(block):
        members = np.flatnonzero(block == part)
        labels[:, members] = rng.permuted(labels[:, members], axis=1)
    return labels[:, units]


def all_shuffles(pooled: Pooled) -> Truths:
    """Return labels shuffled between exchangeable units in every way that there is, one row a way."""
    truth, block, units = _exchangeable(pooled)
    members = [np.flatnonzero(block == part) for part in np.unique(block)]
    ways = product(*(list(_orders(truth[m].tolist())) for m in members))
    rows = np.array([np.concatenate(way) for way in ways], truth.dtype)
    labels = np.empty_like(rows)
    labels[:, np.concatenate(members)] = rows
    return labels[:, units]


def count_shuffles(pooled: Pooled) -> float:
    """Return in how many ways labels can be shuffled: few subjects allow few."""
    truth, block, _ = _exchangeable(pooled)
    ways = 0.0
    for part in np.unique(block):
        alike = np.unique(truth[block == part], return_counts=True)[1]
        ways += gammaln(alike.sum() + 1) - gammaln(alike + 1).sum()
    return float(np.rint(np.exp(ways))) if ways < 30 else float("inf")


def _orders(labels: list[Any]) -> Iterator[list[Any]]:
    """Yield every order of labels once, where some are alike."""
    if not labels:
        yield []
    for first in sorted(set(labels)):
        rest = labels.copy()
        rest.remove(first)
        for others in _orders(rest):
            yield [first, *others]


def _exchangeable(pooled: Pooled) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each unit's label and the block that it is shuffled within, and each trial's unit."""
    unit = exchangeable_unit(pooled)
    if unit == "window":
        units, block = np.arange(len(pooled.truth)), pooled.subject
    else:
        units = np.unique(getattr(pooled, unit), return_inverse=True)[1]
        everyone = np.zeros(len(pooled.truth), dtype=int)
        block = pooled.subject if unit == "recording" else everyone
    first = np.unique(units, return_index=True)[1]
    return pooled.truth[first], block[first], units


def _one_label_each(truth: np.ndarray, group: np.ndarray) -> bool:
    number = np.unique(group, return_inverse=True)[1]
    pairs = np.unique(np.stack([number, truth]), axis=1)
    return pairs.shape[1] == len(np.unique(number))
