"""Whether a probability of 0.8 is right in 80 of 100 cases, and how to make it so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.optimize import minimize_scalar

Proba = Float[np.ndarray, "trial class"]
Truth = Int[np.ndarray, " trial"]
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions by how sure they were: the points of a reliability diagram.

    Attributes
    ----------
    confidence
        mean probability of the class predicted.
    accuracy
        share of the predictions that were right.
    count
        predictions in each bin; no bin is empty.
    """

    confidence: Float64[np.ndarray, " bin"]
    accuracy: Float64[np.ndarray, " bin"]
    count: Int[np.ndarray, " bin"]

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean distance of accuracy from confidence."""
        gap = np.abs(self.accuracy - self.confidence)
        return float((self.count * gap).sum() / self.count.sum())


def reliability(truth: Truth, proba: Proba, *, bins: int = 15) -> Reliability:
    """Sort predictions into bins of equal width by the probability of the class predicted.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    Parameters
    ----------
    truth
        index of the true class.
    proba
        probability of every class.
    bins
        between 0 and 1.
    """
    sure = proba.max(axis=1).astype(np.float64)
    right = proba.argmax(axis=1) == truth
    # A bin holds its upper edge, so that 1 is in the last.
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    there = count > 0
    sums = (np.bincount(place, weights=w, minlength=bins)[there] for w in (sure, right))
    confidence, accuracy = (total / count[there] for total in sums)
    return Reliability(confidence, accuracy, count[there])


def brier(truth: Truth, proba: Proba) -> float:
    """Return the mean squared distance of probabilities from the truth, summed over classes.

    Brier, Mon. Weather Rev. 78 (1950) 1: 0 is perfect, 2 the worst; of two classes twice
    scikit-learn's ``brier_score_loss``.
    """
    aim = np.eye(proba.shape[1])[truth]
    return float(((proba - aim) ** 2).sum(axis=1).mean())


def find_temperature(truth: Truth, proba: Proba) -> float:
    """Return the temperature under which probabilities explain validation labels best.

    Above 1 the model was too sure. Fit it on validation subjects and apply it to the test subjects by
    `at_temperature`; which class is predicted never changes.
    """

    def loss(log_temperature: float) -> float:
        softened = at_temperature(proba, float(np.exp(log_temperature)))
        return float(-np.log(softened[np.arange(len(truth)), truth] + TINY).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def at_temperature(proba: Proba, temperature: float) -> Float64[np.ndarray, "trial class"]:
    """Return probabilities whose logarithms are divided by a temperature."""
    logit = np.log(proba.astype(np.float64) + TINY) / temperature
    scaled = np.exp(logit - logit.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)
