"""What predictions tell of single subjects and of single classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from brainfm.evaluation.contrast import Contestant
from brainfm.evaluation.metrics import metrics_of, score
from brainfm.evaluation.pairs import Difference
from brainfm.evaluation.report.cells import row_shares
from brainfm.evaluation.statistics import Pooled

DRAWS = 2000
"""Bootstrap draws of a paired difference that the statistics do not have."""
KEY = ["subject", "recording", "onset", "y_true"]
"""What a window is known by in every seed."""


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


def contestant(predictions: pd.DataFrame, estimator: str, metric: str) -> Contestant | None:
    """Return what an estimator predicted, to be held against others; None where that is not all there."""
    rows = of_estimator(predictions, estimator)
    classes = class_names(rows)
    answers = [f"p_{c}" for c in classes] or ["y_pred"]
    there = {*KEY, "seed", *answers} <= set(rows.columns) and metric in metrics_of(classes)
    if rows.empty or len(classes) == 1 or not there:
        return None
    seeds = [part.sort_values(KEY) for _, part in rows.groupby("seed")]
    about = seeds[0][KEY].to_numpy(dtype=str)
    given = [part[answers].to_numpy(dtype=np.float64) for part in seeds]
    same = all(np.array_equal(part[KEY].to_numpy(dtype=str), about) for part in seeds)
    if not same or not all(np.isfinite(one).all() for one in given):
        return None
    subject, recording, _, label = about.T
    truth = np.array([classes.index(y) for y in label]) if classes else label.astype(np.float64)
    return Contestant(Pooled(truth, subject, recording, np.stack(given)), [metric])


def gaps_in(predictions: pd.DataFrame, metric: str) -> Callable[[str, str], Difference | None]:
    """Return what gives the paired difference of two estimators: None where they were not tested alike."""
    judged = cache(lambda estimator: contestant(predictions, estimator, metric))

    @cache
    def gap(name: str, other: str) -> Difference | None:
        ours, theirs = judged(name), judged(other)
        if ours is None or theirs is None or ours.pooled.proba.shape != theirs.pooled.proba.shape:
            return None
        if not np.array_equal(ours.pooled.subject, theirs.pooled.subject):
            return None
        return ours.against(theirs, metric, draws=DRAWS, seed=0)

    return gap


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
