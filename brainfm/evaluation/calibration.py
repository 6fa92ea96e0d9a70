"""Whether a probability of 0.8 is right in 80 of 100 cases, and how to make it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float64, Int
from scipy.optimize import minimize_scalar

from brainfm.evaluation.jackknife import Scale
from brainfm.evaluation.measures import (
    Evidence,
    Measure,
    Measured,
    Value,
    by_subject,
    over_subjects,
)
from brainfm.evaluation.records import FoldRecord

Proba = Float[np.ndarray, "trial class"]
Truth = Int[np.ndarray, " trial"]
TINY = 1e-12


@dataclass(frozen=True)
class Calibration(Measure):
    """Reliability, expected calibration error and Brier score, as predicted and at a temperature.

    Each fold has its own temperature, found on its validation windows; without those there is none.

    Attributes
    ----------
    bins
        of the reliability diagram, between 0 and 1.
    """

    bins: int = 15

    def measure(self, evidence: Evidence, records: Sequence[FoldRecord]) -> Measured:
        """Return the calibration of one estimator; the table has a row a subject and bin."""
        rows = [row for record in records for row in self._fold(evidence, record)]
        table = pd.DataFrame(rows)
        values = [
            value
            for name in dict.fromkeys(table["proba"])
            for value in _values(table[table["proba"] == name], name)
        ]
        found = table.groupby(["seed", "fold"])["temperature"].max().dropna()  # one a fold
        if len(found):
            values.append(Value("temperature", float(np.exp(np.log(found).mean()))))
        return Measured(tuple(values), {"calibration": table})

    def _fold(self, evidence: Evidence, record: FoldRecord) -> list[dict[str, Any]]:
        """Return one row a subject and bin, of the probabilities as predicted and scaled."""
        proba, rows = np.asarray(record.proba), np.asarray(record.trials)
        versions = {AS_PREDICTED: (float("nan"), proba)}
        if record.validation:
            held_out = np.asarray(record.validation_proba)
            found = find_temperature(evidence.truth[np.asarray(record.validation)], held_out)
            versions[SCALED] = (found, at_temperature(proba, found))
        subject = evidence.trials.meta["subject"].to_numpy(dtype=str)[rows]
        about = {"seed": record.seed, "fold": record.fold}
        return [
            about | {"subject": str(who), "proba": name, "temperature": temperature} | one
            for name, (temperature, p) in versions.items()
            for who in np.unique(subject)
            for one in binned(evidence.truth[rows[subject == who]], p[subject == who], self.bins)
        ]


AS_PREDICTED, SCALED = "as predicted", "temperature-scaled"


def binned(truth: Truth, proba: Proba, bins: int) -> list[dict[str, Any]]:
    """Return a row a bin of equal width, by the probability of the class predicted; none is empty.

    Guo et al., "On calibration of modern neural networks", ICML 2017. ``squared_error`` is Brier's (Mon.
    Weather Rev. 78 (1950) 1), summed over classes: 0 is perfect, 2 the worst. Sums over subjects of all of
    them, weighted by ``count``, are those of all predictions.

    Parameters
    ----------
    truth
        index of the true class.
    proba
        probability of every class.
    bins
        between 0 and 1.
    """
    place, sure, right = _placed(truth, proba, bins)
    squared = ((proba - np.eye(proba.shape[1])[truth]) ** 2).sum(axis=1)
    return [
        {
            "bin": int(b), "count": int((place == b).sum()), "confidence": sure[place == b].mean(),
            "accuracy": right[place == b].mean(), "squared_error": squared[place == b].mean(),
        }
        for b in np.unique(place)
    ]  # fmt: skip


def _values(table: pd.DataFrame, name: str) -> tuple[Value, ...]:
    """Return the two numbers of one version of the probabilities, pooled over subjects."""
    n = table["count"]
    sums = table.assign(
        gap=n * (table["accuracy"] - table["confidence"]), squared=n * table["squared_error"]
    )
    pooled = sums.groupby(["seed", "bin"])[["gap", "count"]].sum()
    seeds = pooled.abs().groupby("seed").sum()
    # No interval: of few subjects the error is biased upwards, and resampling them biases it again.
    error = float((seeds["gap"] / seeds["count"]).mean())
    brier_score = over_subjects(
        f"brier, {name}",
        by_subject(sums, "squared"),
        by_subject(sums, "count"),
        Scale(highest=2.0),
    )
    return Value(f"ece, {name}", error, n_subjects=brier_score.n_subjects), brier_score


def _placed(truth: Truth, proba: Proba, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each prediction's bin, how sure it was, and whether it was right."""
    sure = proba.max(axis=1).astype(np.float64)
    right = proba.argmax(axis=1) == truth
    # A bin holds its upper edge, so that 1 is in the last.
    return np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1), sure, right


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
