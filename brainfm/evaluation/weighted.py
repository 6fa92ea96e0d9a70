"""The measures of `metrics`, under a thousand weightings or labellings of the same predictions.

Bootstrap weights and permuted labels change a prediction's weight or truth but never its score, so
predictions are sorted once and all draws are computed together. Equal to scikit-learn's values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from brainfm.evaluation.regression import number_scores

Proba = Float[np.ndarray, "trial class"]
# Draws are worked on in parts of this many numbers, to bound the memory.
CHUNK = 4_000_000


def weighted_scores(
    metrics: Sequence[str],
    truth: Int[np.ndarray, "#draw trial"] | Float64[np.ndarray, "#draw trial"],
    weight: Float32[np.ndarray, "#draw trial"],
    proba: Proba,
) -> dict[str, Float64[np.ndarray, " draw"]]:
    """Compute measures for every draw.

    Parameters
    ----------
    metrics
        names out of `brainfm.evaluation.metrics.METRICS`.
    truth
        index of the true class, or the true number, in each draw; one row where all draws share it.
    weight
        how often each prediction counts in each draw, whole numbers; one row where shared.
    proba
        probability of every class; of numbers, one column that holds them.

    Returns
    -------
    scores
        (draw,) values a measure, NaN where a draw has only one class.
    """
    draws = max(len(truth), len(weight))
    rows = max(1, CHUNK // max(1, truth.shape[1]))
    parts = [
        _scores(metrics, _rows(truth, s, rows), _rows(weight, s, rows), proba)
        for s in range(0, draws, rows)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in metrics}


def _rows(array: np.ndarray, start: int, count: int) -> np.ndarray:
    return array if len(array) == 1 else array[start : start + count]


def _scores(
    metrics: Sequence[str], truth: np.ndarray, weight: np.ndarray, proba: np.ndarray
) -> dict[str, np.ndarray]:
    n_classes = proba.shape[1]
    if n_classes == 1:
        return number_scores(metrics, truth, weight, proba[:, 0])
    member = [(truth == c) * weight for c in range(n_classes)]
    total = np.stack([m.sum(axis=1, dtype=np.float64) for m in member], axis=1)
    defined = (total > 0).sum(axis=1) > 1
    values: dict[str, np.ndarray] = {}
    if set(metrics) & set(FROM_CONFUSION):
        hits = np.eye(n_classes, dtype=np.float32)[proba.argmax(axis=1)]
        confusion = np.stack([m @ hits for m in member], axis=1).astype(np.float64)
        values |= {name: f(confusion) for name, f in FROM_CONFUSION.items() if name in metrics}
    if set(metrics) & set(FROM_CURVE):
        tested = [1] if n_classes == 2 else range(n_classes)
        curves = [_curve(member[c], weight, proba[:, c]) for c in tested]
        present = total[:, list(tested)] > 0
        for name, f in FROM_CURVE.items():
            if name in metrics:
                one = np.stack([f(*curve) for curve in curves], axis=1)
                values[name] = _mean_where(one, present)
    return {name: np.where(defined, values[name], np.nan) for name in metrics}


def _mean_where(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of the values that are there, NaN where none is."""
    count = there.sum(axis=-1)
    total = np.where(there, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    total = confusion.sum(axis=2)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    return _mean_where(hits / np.maximum(total, 1), total > 0)


def _kappa(confusion: np.ndarray) -> np.ndarray:
    n = np.maximum(confusion.sum(axis=(1, 2)), 1)
    agreed = np.trace(confusion, axis1=1, axis2=2) / n
    chance = (confusion.sum(axis=1) * confusion.sum(axis=2)).sum(axis=1) / n**2
    certain = chance >= 1
    return np.where(certain, np.nan, (agreed - chance) / np.where(certain, 1, 1 - chance))


def _weighted_f1(confusion: np.ndarray) -> np.ndarray:
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    f1 = 2 * hits / np.maximum(true + predicted, 1)
    return (f1 * true).sum(axis=1) / np.maximum(true.sum(axis=1), 1)


def _curve(
    positive: np.ndarray, weight: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (draw, threshold) true and false positives, from the strictest threshold on."""
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    # Whole numbers below 2^24, so single precision adds them without error.
    found = np.cumsum(positive[:, order], axis=1)[:, last_of_equals].astype(np.float64)
    marked = np.cumsum(weight[:, order], axis=1)[:, last_of_equals].astype(np.float64)
    return found, marked - found


def _auroc(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    before = np.pad(true, ((0, 0), (1, 0)))[:, :-1]
    area = (np.diff(false, axis=1, prepend=0) * (true + before) / 2).sum(axis=1)
    return area / np.maximum(true[:, -1] * false[:, -1], 1)


def _average_precision(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    precision = true / np.maximum(true + false, 1)
    gained = np.diff(true, axis=1, prepend=0)
    return (gained * precision).sum(axis=1) / np.maximum(true[:, -1], 1)


FROM_CONFUSION = {
    "balanced_accuracy": _balanced_accuracy,
    "kappa": _kappa,
    "weighted_f1": _weighted_f1,
}
FROM_CURVE = {"auroc": _auroc, "auc_pr": _average_precision}
