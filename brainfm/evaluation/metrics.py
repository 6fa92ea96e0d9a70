"""Measures of a classifier's predictions, through scikit-learn; those of numbers are in `regression`.

A measure that is not defined, because all labels are of one class, is NaN: never 0, never a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    f1_score,
    recall_score,
    roc_auc_score,
)

from brainfm.errors import UsageError
from brainfm.evaluation.regression import NUMBER_METRICS, number_scores

Proba = Float[np.ndarray, "trial class"]


def score(
    metrics: Sequence[str], y_true: np.ndarray, proba: Proba, classes: Sequence[str]
) -> dict[str, float]:
    """Compute measures of predicted probabilities, or of predicted numbers.

    Parameters
    ----------
    metrics
        names out of `METRICS`, or of `brainfm.evaluation.regression.NUMBER_METRICS`.
    y_true
        (trial,) names of the true classes, or the true numbers.
    proba
        probability of every class, columns as in ``classes``; the class predicted is the most
        probable one. Of numbers, one column that holds them.
    classes
        all classes of the task. Of two, the second is the positive one. None of a task of numbers.

    Returns
    -------
    scores
        one number a measure, NaN where it is not defined.

    Raises
    ------
    UsageError
        When a measure is not known.
    """
    check_metrics(metrics, classes)
    if not classes:
        once = np.ones((1, len(proba)))
        truth = np.asarray(y_true, np.float64)[None]
        found = number_scores(metrics, truth, once, proba[:, 0])
        return {name: float(values[0]) for name, values in found.items()}
    if len(np.unique(y_true)) < 2:
        return dict.fromkeys(metrics, float("nan"))
    return {name: float(METRICS[name](y_true, proba, tuple(classes))) for name in metrics}


def metrics_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all measures of a task of classes, or of one of numbers, which has none."""
    return tuple(METRICS if classes else NUMBER_METRICS)


def check_metrics(metrics: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse names that are no measures of a task of such classes."""
    known = metrics_of(classes)
    if unknown := sorted(set(metrics) - set(known)):
        raise UsageError(f"Unknown metrics {unknown}: choose from {list(known)}.")


def balanced_accuracy(y_true: np.ndarray, proba: Proba, classes: tuple[str, ...]) -> float:
    """Return the mean recall over the classes that occur."""
    present = np.unique(y_true)
    return recall_score(y_true, _predicted(proba, classes), labels=present, average="macro")


def auroc(y_true: np.ndarray, proba: Proba, classes: tuple[str, ...]) -> float:
    """Return the area under the ROC curve; of more than two classes the mean one against rest."""
    return _one_against_rest(roc_auc_score, y_true, proba, classes)


def auc_pr(y_true: np.ndarray, proba: Proba, classes: tuple[str, ...]) -> float:
    """Return the average precision; of more than two classes the mean one against rest."""
    return _one_against_rest(average_precision_score, y_true, proba, classes)


def kappa(y_true: np.ndarray, proba: Proba, classes: tuple[str, ...]) -> float:
    """Return Cohen's κ: agreement beyond what the class frequencies give by chance."""
    return cohen_kappa_score(y_true, _predicted(proba, classes), labels=list(classes))


def weighted_f1(y_true: np.ndarray, proba: Proba, classes: tuple[str, ...]) -> float:
    """Return the F1 score of each class, weighted by how often the class occurs."""
    predicted = _predicted(proba, classes)
    return f1_score(y_true, predicted, labels=list(classes), average="weighted", zero_division=0)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, tuple[str, ...]], float]] = {
    "balanced_accuracy": balanced_accuracy,
    "auroc": auroc,
    "auc_pr": auc_pr,
    "kappa": kappa,
    "weighted_f1": weighted_f1,
}


def _predicted(proba: Proba, classes: tuple[str, ...]) -> np.ndarray:
    return np.asarray(classes)[proba.argmax(axis=1)]


def _one_against_rest(
    measure: Callable[..., float], y_true: np.ndarray, proba: Proba, classes: tuple[str, ...]
) -> float:
    """Return the measure of the second of two classes, or the mean over those that occur."""
    if len(classes) == 2:
        return measure(y_true == classes[1], proba[:, 1])
    present = [i for i, name in enumerate(classes) if (y_true == name).any()]
    return float(np.mean([measure(y_true == classes[i], proba[:, i]) for i in present]))
