"""What predictions tell of single subjects and of single classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from brainfm.evaluation.metrics import metrics_of, score
from brainfm.evaluation.pairs import difference
from brainfm.evaluation.report.cells import row_shares

DRAWS = 2000
"""Bootstrap draws of a paired difference that the statistics do not have."""


def of_estimator(table: pd.DataFrame, estimator: str) -> pd.DataFrame:
    """Return the rows of one estimator."""
    return table[table["estimator"] == estimator] if "estimator" in table else pd.DataFrame()


def subject_scores(predictions: pd.DataFrame, estimator: str, metric: str) -> pd.DataFrame:
    """Return a row a seed and a column a test subject; subjects that have no score alone are left out.

    That is who has one class only, or in a correlation one number only.
    """
    rows = of_estimator(predictions, estimator)
    if rows.empty or not {"subject", "y_true"} <= set(rows.columns):
        return pd.DataFrame()
    classes = class_names(rows)
    answers = [f"p_{c}" for c in classes] or ["y_pred"]
    known = metric in metrics_of(classes) and set(answers) <= set(rows.columns)
    if len(classes) == 1 or not known:
        return pd.DataFrame()
    scores: dict[str, dict[Any, float]] = {}
    for _, part in rows.groupby(["subject", "seed"]):
        given = part[answers].to_numpy(dtype=float)
        y = part["y_true"].to_numpy(dtype=str if classes else float)
        one = score([metric], y, given, classes)[metric] if np.isfinite(given).all() else np.nan
        if np.isfinite(one):
            scores.setdefault(str(part["subject"].iloc[0]), {})[part["seed"].iloc[0]] = one
    return pd.DataFrame({who: scores[who] for who in sorted(scores)}, dtype=float)


def paired_interval(scores: pd.DataFrame, reference: pd.DataFrame) -> tuple[float, float]:
    """Return the 95 % interval of the mean difference over the subjects that both were tested on.

    As the protocol's own paired differences: by drawing subjects, and what seeds shift.
    """
    gap = (scores - reference).dropna(how="all", axis="index").dropna(axis="columns")
    there = np.atleast_2d(gap.to_numpy(dtype=np.float64)) if gap.size else np.zeros((1, 0))
    found = difference(there, np.zeros_like(there), draws=DRAWS, seed=0)
    return found.interval.low, found.interval.high


def class_names(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return a task's classes in its own order, which is that of the columns of probabilities."""
    # Other tasks in the same table have other classes, which are empty here.
    there = predictions.dropna(axis="columns", how="all").columns
    return tuple(c.removeprefix("p_") for c in there if c.startswith("p_"))


def confusion(predictions: pd.DataFrame, estimator: str, labels: tuple[str, ...]) -> np.ndarray:
    """Return (true, predicted) shares of each true class, over all seeds."""
    rows = of_estimator(predictions, estimator)
    columns = [f"p_{c}" for c in labels if f"p_{c}" in rows.columns]
    table = np.zeros((len(labels), len(labels)))
    if len(columns) == len(labels) and len(rows):
        guess = rows[columns].to_numpy(dtype=float).argmax(axis=1)
        number = {name: i for i, name in enumerate(labels)}
        truth = rows["y_true"].map(number).to_numpy(dtype=int)
        np.add.at(table, (truth, guess), 1)
    return row_shares(table)
