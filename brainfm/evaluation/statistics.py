"""How sure one estimator's numbers are: intervals over subjects and seeds, and chance bands.

For each seed the out-of-fold predictions of all test subjects are pooled and measured once; the value
is the mean over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int
from scipy.special import gammaln

from brainfm.evaluation.intervals import NOTHING, Interval, leave_out
from brainfm.evaluation.jackknife import AGREEMENT, SHARE, Scale, jackknife
from brainfm.evaluation.weighted import weighted_scores

LEVELS = (2.5, 97.5)
Truths = Int[np.ndarray, "#draw trial"] | Float64[np.ndarray, "#draw trial"]
SCALES = {
    "kappa": AGREEMENT,
    "pearson_r": AGREEMENT,
    "r2": Scale(lowest=-np.inf),
    "neg_mean_absolute_error": Scale(lowest=-np.inf, highest=0.0),
}
"""Where a measure may lie that is not a share."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Out-of-fold predictions of one estimator for all test subjects.

    Attributes
    ----------
    truth
        (trial,) index of the true class, or the true number.
    subject, recording
        (trial,) whose window it is, and of which recording.
    proba
        (seed, trial, class) predicted probabilities, or one column of numbers; a trial is tested once a
        seed.
    """

    truth: Int[np.ndarray, " trial"] | Float64[np.ndarray, " trial"]
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
        truth: Truths | None = None,
        weight: Float32[np.ndarray, "#draw trial"] | None = None,
    ) -> dict[str, Float64[np.ndarray, " draw"]]:
        """Measure every draw of labels or weights, averaged over the seeds."""
        seeds = self.seed_scores(metrics, truth=truth, weight=weight)
        return {name: values.mean(axis=0) for name, values in seeds.items()}

    def seed_scores(
        self,
        metrics: Sequence[str],
        *,
        truth: Truths | None = None,
        weight: Float32[np.ndarray, "#draw trial"] | None = None,
    ) -> dict[str, Float64[np.ndarray, "seed draw"]]:
        """Measure every draw of labels or weights, seed by seed."""
        truth = self.truth[None] if truth is None else truth
        weight = np.ones((1, len(self.truth)), np.float32) if weight is None else weight
        seeds = [weighted_scores(metrics, truth, weight, proba) for proba in self.proba]
        return {name: np.stack([s[name] for s in seeds]) for name in metrics}

    def subject_scores(
        self, metrics: Sequence[str]
    ) -> dict[str, Float64[np.ndarray, "seed subject"]]:
        """Measure every subject alone, seed by seed; NaN for a subject with one class only."""
        each = np.arange(self.n_subjects)[:, None] == self.subject_index[None]
        return self.seed_scores(metrics, weight=each.astype(np.float32))


def score_intervals(pooled: Pooled, metrics: Sequence[str]) -> dict[str, Interval]:
    """Return the 95 % interval of every measure, over subjects and seeds.

    Its degrees of freedom are those of the subjects that show the rarest class: many subjects without a
    seizure tell nothing of how well one is found. Nothing where one subject alone shows a class. Of numbers
    all subjects speak.

    Parameters
    ----------
    pooled
        the predictions.
    metrics
        names of the measures.
    """
    weights = leave_out(pooled.n_subjects).astype(np.float32)
    scores = pooled.seed_scores(metrics, weight=weights[:, pooled.subject_index])
    independent = min(_showing(pooled))
    return {
        name: jackknife(values, SCALES.get(name, SHARE), independent=independent)
        for name, values in scores.items()
    }


def _showing(pooled: Pooled) -> list[int]:
    """Return how many subjects show each class, or how many there are, of numbers."""
    if pooled.proba.shape[2] == 1:
        return [pooled.n_subjects]
    labels = np.unique(pooled.truth)
    return [len(np.unique(pooled.subject[pooled.truth == one])) for one in labels]


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
    """Return what each measure would be under labels that are shuffled ``draws`` times."""
    truth = permute_labels(pooled, draws=draws, seed=seed)
    shuffled, found = pooled.scores(metrics, truth=truth), pooled.scores(metrics)
    least = max(share_unshuffled(pooled), 1 / (1 + draws))
    return {name: _chance(shuffled[name], float(found[name][0]), least) for name in metrics}


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


def permute_labels(pooled: Pooled, *, draws: int, seed: int) -> Truths:
    """Return labels shuffled between exchangeable units, one row a draw."""
    rng = np.random.default_rng([seed, 1])
    truth, block, units = _exchangeable(pooled)
    labels = np.tile(truth, (draws, 1))
    for part in np.unique(block):
        members = np.flatnonzero(block == part)
        labels[:, members] = rng.permuted(labels[:, members], axis=1)
    return labels[:, units]


def share_unshuffled(pooled: Pooled) -> float:
    """Return the share of all shuffles that leave every label as it is: few subjects allow few others."""
    truth, block, _ = _exchangeable(pooled)
    ways = 0.0
    for part in np.unique(block):
        alike = np.unique(truth[block == part], return_counts=True)[1]
        ways += gammaln(alike.sum() + 1) - gammaln(alike + 1).sum()
    return float(np.exp(-ways))


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


def _chance(values: Float64[np.ndarray, " draw"], found: float, least: float) -> Chance:
    values = values[np.isfinite(values)]
    if not len(values) or not np.isfinite(found):
        return Chance()
    low, high = np.percentile(values, LEVELS)
    # Equal scores may differ in their last digits.
    as_high = int((values >= found - 1e-9).sum())
    return Chance(Interval(float(low), float(high)), (1 + as_high) / (1 + len(values)), least)
