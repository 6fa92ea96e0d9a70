"""Events found against false alarms a day, and how both differ from patient to patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, Linear, plot
from brainfm.evaluation.report.numbers import figure, percent
from brainfm.evaluation.report.strips import axis, subject_scale, subject_strip
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import Standing

MOST_LINES = 6
"""Colours that can be told apart."""
COUNTS = ["n_events", "n_found", "n_false", "seconds"]


@dataclass(frozen=True, eq=False)
class Patients:
    """One estimator's patients: a dot each."""

    standing: Standing
    found: Markup
    false: Markup

    @property
    def name(self) -> str:
        """Name of the estimator."""
        return self.standing.estimator


@dataclass(frozen=True, eq=False)
class Alarms:
    """The figures of a task of events.

    Attributes
    ----------
    curve
        events found over false alarms a day.
    legend
        (estimator, colour) of its lines.
    left_out
        how many estimators have no line.
    patients
        one an estimator.
    found_axis, false_axis
        below their strips.
    """

    curve: Markup
    legend: tuple[tuple[str, str], ...]
    left_out: int
    patients: tuple[Patients, ...]
    found_axis: Markup
    false_axis: Markup


def describe_alarms(table: pd.DataFrame, standings: list[Standing]) -> Alarms | None:
    """Return the figures, or None where no events were scored."""
    if not {"estimator", "loud", "locked", "subject", "seed", *COUNTS} <= set(table.columns):
        return None
    table = table.assign(locked=table["locked"] == "True")
    there = [s for s in standings if len(of_estimator(table, s.estimator))]
    if not there:
        return None
    points = {s.estimator: of_estimator(table, s.estimator) for s in there}
    drawn = there[:MOST_LINES]
    found = {name: _by_patient(rows)[0] for name, rows in points.items()}
    false = {name: _by_patient(rows)[1] for name, rows in points.items()}
    x, z = subject_scale(found), subject_scale(false)
    return Alarms(
        curve=_draw({s.estimator: points[s.estimator] for s in drawn}),
        legend=tuple((s.estimator, f"c{i}") for i, s in enumerate(drawn)),
        left_out=len(there) - len(drawn),
        patients=tuple(
            Patients(
                s, subject_strip(found[s.estimator], s, x), subject_strip(false[s.estimator], s, z)
            )
            for s in there
        ),
        found_axis=axis(x),
        false_axis=axis(z),
    )


def event_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Return sensitivity and false alarms a day at each threshold, the mean over seeds."""
    sums = rows.groupby(["loud", "seed"])[COUNTS].sum()
    rates = pd.DataFrame(
        {
            "sensitivity": sums["n_found"] / sums["n_events"],
            "false": 86_400 * sums["n_false"] / sums["seconds"],
        }
    )
    return rates.groupby("loud").mean()


def _by_patient(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return each patient's sensitivity and false alarms a day at the locked thresholds."""
    sums = rows[rows["locked"]].groupby("subject")[COUNTS].sum()
    eventful = sums[sums["n_events"] > 0]
    return eventful["n_found"] / eventful["n_events"], 86_400 * sums["n_false"] / sums["seconds"]


def _draw(points: dict[str, pd.DataFrame]) -> Markup:
    curves = {name: event_points(rows) for name, rows in points.items()}
    locked = {
        name: event_points(rows[rows["locked"]].assign(loud=0.0)).iloc[0]
        for name, rows in points.items()
    }
    # Far right everything is an alarm, and nobody would work there.
    most = max(3 * max(float(p["false"]) for p in locked.values()), 5.0)
    frame = Frame(Linear(0.0, most), Linear(0.0, 1.0), 260)
    lines, dots = [], []
    for i, (name, curve) in enumerate(curves.items()):
        inside = curve[curve["false"] <= most].sort_values(["false", "sensitivity"])
        best = np.maximum.accumulate(inside["sensitivity"].to_numpy())
        lines.append(frame.line(inside["false"].to_numpy(), best, f"c{i}"))
        at = locked[name]
        title = (
            f"{name}: {percent(at['sensitivity'])} found, {figure(at['false'])} false alarms a day"
        )
        dot = frame.dot(at["false"], at["sensitivity"], f"solid c{i}", title, radius=6.0)
        dots.append(dot)
    return plot(frame, lines, says="Events found over false alarms a day", over=dots)
