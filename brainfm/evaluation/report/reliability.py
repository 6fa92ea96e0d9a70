"""Reliability diagrams: how often a prediction is right, against how sure it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, Linear, plot
from brainfm.evaluation.report.numbers import count, percent
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import Standing

STYLES = {"as predicted": "c0", "temperature-scaled": "c1"}
HEIGHT = 150


@dataclass(frozen=True, eq=False)
class Diagram:
    """One estimator's diagram."""

    name: str
    drawing: Markup


def describe_reliability(table: pd.DataFrame, standings: list[Standing]) -> tuple[Diagram, ...]:
    """Return a diagram an estimator; a dot's area is the share of the predictions in its bin."""
    if not {"estimator", "proba", "bin", "count", "confidence", "accuracy"} <= set(table.columns):
        return ()
    parts = [(s.estimator, of_estimator(table, s.estimator)) for s in standings]
    low = float(np.floor(10 * table["confidence"].min()) / 10)
    return tuple(Diagram(name, _draw(name, rows, low)) for name, rows in parts if len(rows))


def pooled_bins(rows: pd.DataFrame) -> pd.DataFrame:
    """Return confidence, accuracy and count of each bin over all subjects, folds and seeds."""
    n = rows["count"]
    sums = pd.DataFrame(
        {
            "bin": rows["bin"], "count": n,
            "confidence": n * rows["confidence"], "accuracy": n * rows["accuracy"],
        }
    ).groupby("bin").sum()  # fmt: skip
    return sums.assign(**{c: sums[c] / sums["count"] for c in ("confidence", "accuracy")})


def _draw(name: str, rows: pd.DataFrame, low: float) -> Markup:
    frame = Frame(Linear(low, 1.0), Linear(0.0, 1.0), HEIGHT)
    lines, dots = [frame.line([low, 1.0], [low, 1.0], "diagonal")], []
    for version, style in STYLES.items():
        bins = pooled_bins(rows[rows["proba"] == version])
        lines.append(frame.line(*bins[["confidence", "accuracy"]].to_numpy().T, f"faint {style}"))
        share = bins["count"] / bins["count"].sum()
        for sure, right, n, s in zip(
            bins["confidence"], bins["accuracy"], bins["count"], share, strict=True
        ):
            title = f"{version}: {percent(right)} right where {percent(sure)} sure, {count(n)} predictions"
            radius = 1.5 + 9 * float(np.sqrt(s))
            dots.append(frame.dot(sure, right, f"subject {style}", title, radius=radius))
    return plot(frame, lines, says=f"Reliability of {name}", over=dots)
