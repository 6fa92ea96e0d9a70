"""How sure a number is: intervals over subjects, chance bands, paired differences.

The subject is the unit: windows of a person are no independent witnesses, so intervals come from
drawing subjects, never windows. For each seed the out-of-fold predictions of all test subjects are
pooled and measured once; inside every draw the seeds are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from brainfm.evaluation.weighted import weighted_scores

LEVELS = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class Pooled:
    """Out-of-fold predictions of one estimator for all test subjects.

    Attributes
    ----------
    truth
        (trial,) index of the true class.
    subject, recording
        (trial,) whose window it is, and of which recording.
    proba
        (seed, trial, class) predicted probabilities; a trial is tested once a seed.
    """

    truth: Int[np.ndarray, " trial"]
    subject: np.ndarray
    recording: np.ndarray
    proba: Float[np.ndarray, "seed trial class"]

    @property
    def subject_index(self) -> Int[np.ndarray, " trial"]:
        """Number of each trial's subject in sorted order."""
        return np.unique(self.subject, return_inverse=True)[1]

    @property
    def n_subjects(self) -> int:
        """How many subjects were tested."""
        return len(np.unique(self.subject))

    def scores(
        self,
        metrics: Sequence[str],
        *,
        truth: Int[np.ndarray, "#draw trial"] | None = None,
        weight: Float32[np.ndarray, "#draw trial"] | None = None,
    ) -> dict[str, Float64[np.ndarray, " draw"]]:
        """Measure every draw of labels or weights, averaged over the seeds."""
        truth = self.truth[None] if truth is None else truth
        weight = np.ones((1, len(self.truth)), np.float32) if weight is None else weight
        seeds = [weighted_scores(metrics, truth, weight, proba) for proba in self.proba]
        return {name: np.mean([s[name] for s in seeds], axis=0) for name in metrics}

    def subject_scores(self, metrics: Sequence[str]) -> dict[str, Float64[np.ndarray, " subject"]]:
        """Measure every subject alone; NaN for a subject with one class only."""
        each = np.arange(self.n_subjects)[:, None] == self.subject_index[None]
        return self.scores(metrics, weight=each.astype(np.float32))


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of a distribution; NaN at both ends where there is none."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Mean over subjects of one estimator's score minus another's.

    Attributes
    ----------
    value
        the mean difference.
    interval
        95 %, by drawing subjects.
    p
        two-sided, by flipping the sign of whole subjects.
    n_subjects
        subjects for whom both scores are defined.
    """

    value: float
    interval: Interval
    p: float
    n_subjects: int


def bootstrap(
    pooled: Pooled, metrics: Sequence[str], *, draws: int, seed: int
) -> dict[str, Interval]:
    """Return percentile intervals over subjects drawn with replacement.

    Estimators tested on the same subjects get the same draws. A draw in which only one class occurs
    has no score and is left out.
    """
    counts = draw_subjects(pooled.n_subjects, draws=draws, seed=seed)
    scores = pooled.scores(metrics, weight=counts[:, pooled.subject_index])
    known = pooled.n_subjects > 1
    return {name: _interval(s) if known else _interval(s[:0]) for name, s in scores.items()}


def chance(pooled: Pooled, metrics: Sequence[str], *, draws: int, seed: int) -> dict[str, Interval]:
    """Return the band in which scores fall when labels have nothing to do with predictions."""
    truth = permute_labels(pooled, draws=draws, seed=seed)
    return {name: _interval(s) for name, s in pooled.scores(metrics, truth=truth).items()}


def difference(
    scores: Float64[np.ndarray, " subject"],
    reference: Float64[np.ndarray, " subject"],
    *,
    draws: int,
    seed: int,
) -> Difference:
    """Compare two estimators on the same subjects, subject by subject.

    Parameters
    ----------
    scores, reference
        a score a subject, in the same order; NaN where undefined.
    draws
        bootstrap draws, and sign flips where there are too many subjects to try them all.
    seed
        of both.
    """
    gap = scores - reference
    gap = gap[np.isfinite(gap)]
    if len(gap) < 2:
        nothing = Interval(float("nan"), float("nan"))
        value = float(gap.mean()) if len(gap) else float("nan")
        return Difference(value, nothing, float("nan"), len(gap))
    means = draw_subjects(len(gap), draws=draws, seed=seed) @ gap / len(gap)
    p = sign_flip_p(gap, draws=draws, seed=seed)
    return Difference(float(gap.mean()), _interval(means), p, len(gap))


def draw_subjects(n_subjects: int, *, draws: int, seed: int) -> Float32[np.ndarray, "draw subject"]:
    """Return how often each subject is drawn in each bootstrap sample."""
    rng = np.random.default_rng([seed, 0])
    even = np.full(n_subjects, 1 / n_subjects)
    return rng.multinomial(n_subjects, even, size=draws).astype(np.float32)


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


def permute_labels(pooled: Pooled, *, draws: int, seed: int) -> Int[np.ndarray, "draw trial"]:
    """Return labels shuffled between exchangeable units, one row a draw."""
    rng = np.random.default_rng([seed, 1])
    unit = exchangeable_unit(pooled)
    if unit == "window":
        units, block = np.arange(len(pooled.truth)), pooled.subject
    else:
        units = np.unique(getattr(pooled, unit), return_inverse=True)[1]
        everyone = np.zeros(len(pooled.truth), dtype=int)
        block = pooled.subject if unit == "recording" else everyone
    first = np.unique(units, return_index=True)[1]
    labels = np.tile(pooled.truth[first], (draws, 1))
    for part in np.unique(block):
        members = np.flatnonzero(block[first] == part)
        labels[:, members] = rng.permuted(labels[:, members], axis=1)
    return labels[:, units]


def sign_flip_p(gap: Float64[np.ndarray, " subject"], *, draws: int, seed: int) -> float:
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


def _one_label_each(truth: np.ndarray, group: np.ndarray) -> bool:
    number = np.unique(group, return_inverse=True)[1]
    pairs = np.unique(np.stack([number, truth]), axis=1)
    return pairs.shape[1] == len(np.unique(number))


def _interval(values: Float64[np.ndarray, " draw"]) -> Interval:
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(values, LEVELS)
    return Interval(float(low), float(high))
