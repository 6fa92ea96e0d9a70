"""How sure one estimator's numbers are: intervals over subjects and seeds.

For each seed the out-of-fold predictions of all test subjects are pooled and measured once; the value
is the mean over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from brainfm.evaluation.intervals import Interval, leave_out
from brainfm.evaluation.jackknife import AGREEMENT, SHARE, Scale, Shown, jackknife, shown_by
from brainfm.evaluation.weighted import weighted_scores

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

    The trials of a recording are in order of time.

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

    def scores_without(
        self, metrics: Sequence[str]
    ) -> dict[str, Float64[np.ndarray, "seed sample"]]:
        """Measure everybody, and then all but each subject in turn, seed by seed."""
        weights = leave_out(self.n_subjects).astype(np.float32)
        return self.seed_scores(metrics, weight=weights[:, self.subject_index])

    @property
    def shown(self) -> Shown | None:
        """Which classes each subject shows; None of numbers, of which all subjects speak."""
        return None if self.proba.shape[2] == 1 else shown_by(self.truth, self.subject)


def score_intervals(pooled: Pooled, metrics: Sequence[str]) -> dict[str, Interval]:
    """Return the 95 % interval of every measure, over subjects and seeds.

    Nothing where one subject alone shows a class. Of numbers all subjects speak.

    Parameters
    ----------
    pooled
        the predictions.
    metrics
        names of the measures.
    """
    return {
        name: jackknife(values, SCALES.get(name, SHARE), shown=pooled.shown)
        for name, values in pooled.scores_without(metrics).items()
    }
