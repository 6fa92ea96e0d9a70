"""How the trainings went: training and validation loss, and the other measures in small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, Linear, Logarithmic, Scale, plot, spanning
from brainfm.evaluation.report.inputs import Absent, RunFolder
from brainfm.evaluation.report.made_up import MadeUp, describe_made_up
from brainfm.evaluation.report.numbers import count, figure

MOST_POINTS = 400
"""A longer curve is drawn as means over stretches of steps."""
MOST_MEASURES = 16


@dataclass(frozen=True, eq=False)
class Curves:
    """One measure over the steps of a training.

    Attributes
    ----------
    name
        of the measure.
    drawing
        the figure.
    says
        what it comes to, in words.
    logarithmic
        whether the axis is.
    validated
        whether there is a validation curve.
    """

    name: str
    drawing: Markup
    says: str
    logarithmic: bool
    validated: bool


@dataclass(frozen=True, eq=False)
class Training:
    """One training: its loss, and its other measures.

    Attributes
    ----------
    name
        what the training is called.
    loss
        its main curve, or None.
    others
        the other measures.
    facts
        steps, best validation step and the like, as (words, value) pairs.
    missing
        what could not be read.
    made_up
        spectra of what a diffusion makes up, or None.
    """

    name: str
    loss: Curves | None
    others: tuple[Curves, ...]
    facts: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    made_up: MadeUp | None = None


def describe_training(run: RunFolder | Absent) -> Training | Absent:
    """Draw the curves of one training."""
    if isinstance(run, Absent):
        return run
    table = run.metrics.apply(pd.to_numeric, errors="coerce")
    missing = tuple(m for m in run.missing if m.endswith("metrics.csv.") or "metrics.csv" in m)
    if "step" not in table or table.empty:
        return Training(run.name, None, (), (), missing or ("metrics.csv holds no step.",))
    measures = [
        c.removeprefix("val/") for c in table.columns if c != "step" and table[c].notna().any()
    ]
    measures = list(dict.fromkeys(measures))
    main = "loss" if "loss" in measures else measures[0] if measures else None
    rest = [m for m in measures if m != main][:MOST_MEASURES]
    return Training(
        name=run.name,
        loss=_curves(table, main, 220) if main else None,
        others=tuple(_curves(table, m, 84) for m in rest),
        facts=_facts(table, main),
        missing=missing,
        made_up=describe_made_up(run),
    )


def _facts(table: pd.DataFrame, main: str | None) -> tuple[tuple[str, str], ...]:
    facts = [("steps", count(table["step"].max()))]
    if main and f"val/{main}" in table:
        column = table.set_index("step")[f"val/{main}"].dropna()
        if len(column):
            facts.append((f"lowest validation {main}", figure(column.min())))
            facts.append(("at step", count(column.idxmin())))
    return tuple(facts)


def _curves(table: pd.DataFrame, name: str, height: int) -> Curves:
    train, validation = _points(table, name), _points(table, f"val/{name}")
    values = np.r_[train[1], validation[1]]
    y = scale_for(values) if "loss" in name else spanning(values)
    steps = np.r_[train[0], validation[0]]
    frame = Frame(Linear(float(min(steps.min(), 0)), float(max(steps.max(), 1))), y, height)
    lines = [frame.line(*train, "train")] if len(train[0]) else []
    over = [
        frame.dot(x, v, "validation", f"step {count(x)}: {figure(v)}")
        for x, v in zip(*validation, strict=True)
    ]
    if len(validation[0]):
        lines.append(frame.line(*validation, "validation"))
    says = f"{name} over steps: " + "; ".join(
        f"{words} from {figure(v[0])} to {figure(v[-1])}"
        for words, (_, v) in (("training", train), ("validation", validation))
        if len(v)
    )
    return Curves(
        name=name,
        drawing=plot(frame, lines, says=says, over=over if len(over) <= 60 else []),
        says=says,
        logarithmic=isinstance(y, Logarithmic),
        validated=bool(len(validation[0])),
    )


def scale_for(values: np.ndarray) -> Scale:
    """Return a logarithmic scale for positive values over more than a factor of 20, else a linear one."""
    if values.min() > 0 and values.max() / values.min() > 20:
        return Logarithmic(float(values.min()) * 0.9, float(values.max()) * 1.1)
    return spanning(values)


def _points(table: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values where there is a value, thinned by means over stretches."""
    if column not in table:
        return np.empty(0), np.empty(0)
    rows = table[["step", column]].replace([np.inf, -np.inf], np.nan).dropna().to_numpy(dtype=float)
    if len(rows) > MOST_POINTS:
        rows = np.array([part.mean(axis=0) for part in np.array_split(rows, MOST_POINTS)])
    return rows[:, 0], rows[:, 1]
