"""The interval of what is pooled over subjects, such as AUC-PR: a jackknife on a scale without ends.

Shares bend at 0 and 1, and an average precision of few positives is skewed: percentiles of a bootstrap, also
bias-corrected ones, miss the truth in up to 10 of 100 experiments where 5 were promised. The standard error
by leaving out each subject in turn, taken to log odds (amounts: to logarithms), with Student's quantile,
keeps the promise. Its degrees of freedom are Welch's (Biometrika 34 (1947) 28): subjects that show the same
classes are one sample, those that show others another, and many subjects without a seizure tell little of
how well one is found. The unit is the subject; what seeds shift is added by `brainfm.evaluation.seeds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy.special import expit, logit

from brainfm.evaluation.intervals import CONFIDENCE, NOTHING, Interval
from brainfm.evaluation.seeds import Error, shared_error, subjects_error


@dataclass(frozen=True)
class Scale:
    """Where a measure may lie; it is straightened to log odds, or to logarithms where it has one end only.

    Attributes
    ----------
    lowest, highest
        its ends.
    """

    lowest: float = 0.0
    highest: float = 1.0

    def interval(self, value: float, reach: float) -> Interval:
        """Return what lies within ``reach`` of a value inside the scale, in straightened units.

        Parameters
        ----------
        value
            of the measure.
        reach
            in units of the measure, near the value.
        """
        if np.isinf(self.lowest):
            mirrored = Scale(-self.highest, np.inf).interval(-value, reach)
            return Interval(-mirrored.high, -mirrored.low)
        steps = np.array([-1.0, 1.0]) * reach
        above = value - self.lowest
        if np.isinf(self.highest):
            low, high = self.lowest + above * np.exp(steps / above)
        else:
            width = self.highest - self.lowest
            share = above / width
            low, high = self.lowest + width * expit(
                logit(share) + steps / (width * share * (1 - share))
            )
        return Interval(float(low), float(high))

    def at_the_end(self, value: float, n_subjects: int) -> Interval:
        """Return the interval of a value that no subject moves from an end of the scale.

        Were the mean of subjects off the end by a share p, all n would show the end with a probability of no
        more than (1 - p)^n. An amount has no such bound.
        """
        if np.isinf(self.highest - self.lowest):
            return NOTHING
        far = (self.highest - self.lowest) * (1 - ((1 - CONFIDENCE) / 2) ** (1 / n_subjects))
        if value <= self.lowest:
            return Interval(self.lowest, self.lowest + far)
        return Interval(self.highest - far, self.highest)


Shown = Bool[np.ndarray, "subject class"]
SHARE, AGREEMENT, AMOUNT = Scale(), Scale(lowest=-1.0), Scale(highest=float("inf"))


def shown_by(label: Shaped[np.ndarray, " trial"], subject: Shaped[np.ndarray, " trial"]) -> Shown:
    """Return which classes each subject shows, both in sorted order."""
    people, place = np.unique(subject, return_inverse=True)
    labels, number = np.unique(label, return_inverse=True)
    shown = np.zeros((len(people), len(labels)), bool)
    shown[place, number] = True
    return shown


def jackknife(
    values: Float64[np.ndarray, "seed sample"],
    scale: Scale,
    *,
    shown: Shown | None = None,
) -> Interval:
    """Return the interval of a measure's mean over seeds.

    Parameters
    ----------
    values
        the measure under `brainfm.evaluation.intervals.leave_out`'s weights, seed by seed.
    scale
        where it may lie.
    shown
        which classes each subject shows, for a measure of classes; None where all speak of one thing.

    Returns
    -------
    interval
        nothing where fewer than two subjects show a class, or one alone makes it known.
    """
    error = error_without(values, shown)
    if error is None:
        return NOTHING
    value = float(values[:, 0].mean())
    if not scale.lowest < value < scale.highest:
        return scale.at_the_end(value, fewest(shown, values.shape[1] - 1))
    return scale.interval(value, error.reach(CONFIDENCE))


def error_without(
    values: Float64[np.ndarray, "seed sample"], shown: Shown | None = None
) -> Error | None:
    """Return the error of a measure's mean over seeds, by what it is without each subject.

    Parameters
    ----------
    values, shown
        as in `jackknife`.

    Returns
    -------
    error
        None where fewer than two subjects show a class, or one alone makes the measure known.
    """
    whole, left_out = values[:, 0], values[:, 1:]
    n = left_out.shape[1]
    if fewest(shown, n) < 2 or not np.isfinite(values).all():
        return None
    mean = left_out.mean(axis=0)
    spread = (n - 1) / n * (mean - mean.mean()) ** 2
    parts = -(n - 1) * left_out
    alone, shared = subjects_error(float(spread.sum()), parts), shared_error(whole, parts)
    alike = np.ones((n, 1), bool) if shown is None else shown
    return Error(alone, shared, free(spread, alike), len(whole) - 1)


def fewest(shown: Shown | None, n_subjects: int) -> int:
    """Return how many subjects show the class that fewest show: all where all speak of one thing."""
    return n_subjects if shown is None else int(shown.sum(axis=0).min())


def free(spread: Float64[np.ndarray, " subject"], shown: Shown) -> float:
    """Return Welch's degrees of freedom of a variance that each subject adds a part to."""
    sample = np.unique(shown, axis=0, return_inverse=True)[1].ravel()
    part, n = np.bincount(sample, spread), np.bincount(sample)
    if not part.any():
        return float(n.sum() - 1)
    part = part / part.max()
    return float(part.sum() ** 2 / (part**2 / np.maximum(n - 1, 1)).sum())
