"""What may be said of a comparison, by rule: only what the intervals allow.

An estimator is *above chance* where shuffled labels score as high in fewer than 2.5 of 100 cases, after
Holm's correction over the estimators, and its whole interval lies above the middle of the chance band:
neither these labels nor these subjects are luck. Two estimators are *distinguishable* where the interval of
their paired difference over subjects leaves out 0. An estimator with a missing fold is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from brainfm.evaluation.report.numbers import is_number, listed

ALPHA = 0.025
"""Of a one-sided test, as wide as one side of an interval of 95 %."""


class Family(Enum):
    """What sort of estimator it is: its words, and the name of its colour."""

    foundation = "foundation model"
    random = "random initialisation"
    riemann = "Riemannian"
    bandpower = "band power"
    other = "other"


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


Gaps = Mapping[tuple[str, str], tuple[float, float]]
"""By two names, the interval of the first one's score minus the second one's, subject by subject."""


def compare(a: Standing, b: Standing, gaps: Gaps) -> int:
    """Return 1 where ``a`` is distinguishably higher than ``b``, −1 where it is lower, else 0.

    Without a paired difference of the two, only intervals that lie apart say anything.
    """
    low, high = gaps.get((a.estimator, b.estimator), (a.low - b.high, a.high - b.low))
    for one, other, sign in ((a, b, 1), (b, a, -1)):
        if one.reference == other.estimator and is_number(one.difference_low):
            low, high = sorted((sign * one.difference_low, sign * one.difference_high))
    return int(low > 0) - int(high < 0)


def best(standings: list[Standing], family: Family) -> Standing | None:
    """Return the highest judged estimator of a family, or None."""
    some = [s for s in standings if s.family is family and s.judged]
    return max(some, key=lambda s: (s.value, s.estimator)) if some else None


def rivals(standings: list[Standing]) -> list[tuple[Standing, Standing]]:
    """Return the pairs that the verdict compares: the best foundation model and what it stands against."""
    model = best(standings, Family.foundation)
    baseline = best(standings, Family.riemann) or best(standings, Family.bandpower)
    untrained = best(standings, Family.random)
    return [(model, other) for other in (baseline, untrained) if model and other]


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
    model = best(standings, Family.foundation)
    if model is None:
        any_model = any(s.family is Family.foundation for s in standings)
        return (
            "the foundation model has missing folds and is not judged"
            if any_model
            else "no foundation model was evaluated"
        )
    for family, words in (
        (Family.riemann, "the best Riemannian baseline"),
        (Family.bandpower, "the band-power baseline"),
    ):
        rival = best(standings, family)
        if rival is not None:
            return f"the foundation model {_relation(model, rival, gaps)} {words}"
    return "no baseline has finished to compare the foundation model with"


def _relation(a: Standing, b: Standing, gaps: Gaps) -> str:
    words = {1: "is better than", -1: "is worse than", 0: "is not distinguishable from"}
    return words[compare(a, b, gaps)]


def pretraining_gain(standings: list[Standing], gaps: Gaps) -> str:
    """Return what pretraining did, beside the same network with random weights; or nothing."""
    model, untrained = best(standings, Family.foundation), best(standings, Family.random)
    if model is None or untrained is None:
        return ""
    return (
        f"With its pretrained weights the network {_relation(model, untrained, gaps)} "
        "itself with random weights."
    )
