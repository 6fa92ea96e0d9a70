"""What may be said of a comparison, by rule: only what the intervals allow.

An estimator is *above chance* where shuffled labels score as high in fewer than 2.5 of 100 cases, after
Holm's correction over the estimators, and its whole interval lies above the middle of the chance band:
neither these labels nor these subjects are luck. The best of one family is *distinguishable* from the best of
another where the p of their paired difference is at most 5 %, after Holm's correction over every pair of
the two families: whoever is the best of several is so by luck too. An estimator with a missing fold is not
judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from brainfm.evaluation.pairs import Difference, holm
from brainfm.evaluation.report.numbers import is_number, listed

ALPHA = 0.025
"""Of a one-sided test, as wide as one side of an interval of 95 %."""
LEVEL = 0.05
"""Of a two-sided one."""


class Family(Enum):
    """What sort of estimator it is: its words, and the name of its colour."""

    foundation = "foundation model"
    random = "random initialisation"
    riemann = "Riemannian"
    bandpower = "band power"
    other = "other"


BASELINES = {Family.riemann: "Riemannian baseline", Family.bandpower: "band-power baseline"}

# The first that matches holds: a random-initialised foundation model is not a foundation model.
_WORDS = (
    (Family.random, r"random(?!.?forest)|untrained|scratch"),
    (Family.riemann, r"riemann|mdm|tangent|covariance|augmented|acm|xdawn|cospectra|filter.?bank"),
    (Family.bandpower, r"band.?power|band|power|spectral"),
    (
        Family.foundation,
        r"foundation|finetune|pretrain|probe|brainfm|tfm|motif|femba|mamba|eegdm|lora|frozen|full",
    ),
)


def family_of(estimator: str, class_path: str = "") -> Family:
    """Return the family of an estimator, by the name of its class, or else by its own."""
    for text in (class_path.rpartition(".")[2].lower(), estimator.lower()):
        for family, words in _WORDS:
            if re.search(words, text):
                return family
    return Family.other


@dataclass(frozen=True)
class Standing:
    """How one estimator did in one measure; numbers are NaN where there are none.

    Attributes
    ----------
    estimator, family
        which.
    value, low, high
        the measure and its interval over subjects.
    chance_low, chance_high
        where the measure lies when labels mean nothing.
    p_chance_holm
        share of shuffled labels that score as high, corrected for the number of estimators.
    complete
        whether every fold and seed finished.
    reference
        the estimator that the difference is to, or nothing.
    difference, difference_low, difference_high, p
        the paired difference to the reference.
    p_holm
        ``p`` corrected for the number of estimators compared with the reference.
    effect
        the difference in units of its spread over subjects (Hedges' g).
    p_chance_least
        what the share of shuffled labels would be of a perfect score, uncorrected.
    """

    estimator: str
    family: Family
    value: float
    low: float
    high: float
    chance_low: float
    chance_high: float
    p_chance_holm: float
    complete: bool
    reference: str = ""
    difference: float = float("nan")
    difference_low: float = float("nan")
    difference_high: float = float("nan")
    p: float = float("nan")
    p_holm: float = float("nan")
    effect: float = float("nan")
    p_chance_least: float = float("nan")

    @property
    def judged(self) -> bool:
        """Whether it is complete and has an interval and a chance band."""
        numbers: tuple[Any, ...] = (self.value, self.low, self.high, self.p_chance_holm)
        return self.complete and all(is_number(n) for n in numbers)

    @property
    def above_chance(self) -> bool:
        """Whether neither shuffled labels nor other subjects are likely to give such a score."""
        middle = (self.chance_low + self.chance_high) / 2
        return self.judged and self.p_chance_holm <= ALPHA and self.low > middle


Gaps = Callable[[str, str], Difference | None]
"""Gives the paired difference of two estimators by name, first minus second; None where there is none."""


@dataclass(frozen=True)
class Match:
    """The best estimator of one family against the best of another.

    Attributes
    ----------
    ours, theirs
        the two.
    n_ours, n_theirs
        of how many each is the best.
    difference
        the first one's score minus the second one's; NaN where they cannot be compared.
    p
        two-sided, corrected for every pair of the families that might have been the best.
    """

    ours: Standing
    theirs: Standing
    n_ours: int
    n_theirs: int
    difference: float
    p: float

    @property
    def relation(self) -> str:
        """What may be said of the first one, before the second is named."""
        if not is_number(self.p):
            return "cannot be compared with"
        if self.p > LEVEL:
            return "is not distinguishable from"
        return "is better than" if self.difference > 0 else "is worse than"


def match(standings: list[Standing], ours: Family, theirs: Family, gaps: Gaps) -> Match | None:
    """Return how the best of two families compare; None where nobody of one is judged."""
    sides = [
        sorted((s for s in standings if s.family is family and s.judged), key=_by_value)
        for family in (ours, theirs)
    ]
    if not all(sides):
        return None
    found = [gaps(a.estimator, b.estimator) for a in sides[0] for b in sides[1]]
    value, p = np.array([(gap.value, gap.p) if gap else (np.nan, np.nan) for gap in found]).T
    (first, n_ours), (second, n_theirs) = ((side[0], len(side)) for side in sides)
    return Match(first, second, n_ours, n_theirs, float(value[0]), float(holm(p)[0]))


def _by_value(s: Standing) -> tuple[float, str]:
    return -s.value, s.estimator


def against_baseline(standings: list[Standing], gaps: Gaps) -> Match | None:
    """Return the foundation models against the Riemannian baselines, or else those of band power."""
    families = (Family.riemann, Family.bandpower)
    played = (match(standings, Family.foundation, other, gaps) for other in families)
    return next((one for one in played if one), None)


def verdict(standings: list[Standing], gaps: Gaps) -> str:
    """Return the one sentence that the intervals allow."""
    judged = [s for s in standings if s.judged]
    if not judged:
        return "No estimator has finished every fold, so nothing can be said yet."
    above = sorted((s for s in judged if s.above_chance), key=lambda s: -s.value)
    if not above:
        finished = "" if len(judged) == len(standings) else " with all its folds"
        return f"No estimator{finished} is distinguishable from chance."
    # Past three names a sentence is no longer read.
    names = [s.estimator for s in above]
    if len(names) == len(standings):
        subject = "Every estimator is" if len(names) > 1 else f"{names[0]} is"
    elif len(names) > 3:
        subject = f"{len(names)} of {len(standings)} estimators are"
    else:
        subject = f"{listed(names)} {'is' if len(names) == 1 else 'are'}"
    return f"{subject} above chance; {_against_baseline(standings, gaps)}."


def _against_baseline(standings: list[Standing], gaps: Gaps) -> str:
    models = [s for s in standings if s.family is Family.foundation]
    if not models:
        return "no foundation model was evaluated"
    if not any(s.judged for s in models):
        return "the foundation model has missing folds and is not judged"
    played = against_baseline(standings, gaps)
    if played is None:
        return "no baseline has finished to compare the foundation model with"
    # One model may be there in several rows, as a probe and fine-tuned.
    ours = _one_or_best("foundation model", "foundation-model rows", played.n_ours)
    baseline = BASELINES[played.theirs.family]
    return f"{ours} {played.relation} {_one_or_best(baseline, f'{baseline}s', played.n_theirs)}"


def _one_or_best(one: str, several: str, n: int) -> str:
    return f"the {one}" if n == 1 else f"the best of {n} {several}"


def pretraining_gain(standings: list[Standing], gaps: Gaps) -> str:
    """Return what pretraining did, beside the same network with random weights; or nothing."""
    played = match(standings, Family.foundation, Family.random, gaps)
    if played is None:
        return ""
    ours, theirs = (_one_or_best("network", "rows", n) for n in (played.n_ours, played.n_theirs))
    if played.n_ours == played.n_theirs == 1:
        theirs = "itself"
    return f"With pretrained weights {ours} {played.relation} {theirs} with random weights."
