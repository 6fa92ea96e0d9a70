"""What a task measures beside the scores of windows: a table and figures for each measure that was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from brainfm.evaluation.report.alarms import Alarms, describe_alarms
from brainfm.evaluation.report.inputs import Results
from brainfm.evaluation.report.nights import Following, describe_nights
from brainfm.evaluation.report.numbers import NONE, figure, interval
from brainfm.evaluation.report.reliability import Diagram, describe_reliability
from brainfm.evaluation.report.standings import of_task
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import Standing

HEADINGS = {"Calibration": "Calibration", "SeizureEvents": "Events", "Hypnograms": "Hypnograms"}
WORDS = {
    "sensitivity": "events found ↑",
    "false_alarms_a_day": "false alarms a day ↓",
    "precision": "right alarms ↑",
    "event_f1": "event F1 ↑",
    "ece, as predicted": "calibration error ↓",
    "ece, temperature-scaled": "the same, after scaling ↓",
    "brier, as predicted": "Brier score ↓",
    "brier, temperature-scaled": "the same, after scaling ↓",
    "temperature": "temperature",
    "kappa": "Cohen’s κ ↑",
    "accuracy": "accuracy ↑",
    "transitions found": "transitions found ↑",
    "transitions that are true": "right transitions ↑",
}
ORDER = list(WORDS)


@dataclass(frozen=True)
class Line:
    """One estimator's (value, interval) in each column."""

    standing: Standing
    cells: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Name of the estimator."""
        return self.standing.estimator


@dataclass(frozen=True)
class Table:
    """The numbers of one measure.

    Attributes
    ----------
    measure
        name of its class.
    heading
        in words.
    columns
        its quantities, in words, with an arrow to where the better ones lie.
    lines
        one an estimator.
    """

    measure: str
    heading: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Clinical:
    """All that was measured beside on one task.

    Attributes
    ----------
    tables
        one a measure.
    diagrams
        reliability, one an estimator.
    alarms
        the curve of events against false alarms and the spread over patients, or None.
    following
        what follows each stage, in truth and by each estimator.
    following_axis
        names of the stages.
    """

    tables: tuple[Table, ...]
    diagrams: tuple[Diagram, ...]
    alarms: Alarms | None
    following: tuple[Following, ...]
    following_axis: tuple[str, ...]


def describe_measures(inputs: Results, task: str, standings: list[Standing]) -> Clinical:
    """Return what the tables of the measures hold of one task."""
    tables = {stem: of_task(table, task) for stem, table in inputs.tables.items()}
    complete = [s for s in standings if s.complete]
    stages, following = describe_nights(tables.get("transitions", pd.DataFrame()), complete)
    return Clinical(
        tables=_tables(tables, complete),
        diagrams=describe_reliability(tables.get("calibration", pd.DataFrame()), complete),
        alarms=describe_alarms(tables.get("events", pd.DataFrame()), complete),
        following=following,
        following_axis=stages,
    )


def _tables(tables: Mapping[str, pd.DataFrame], standings: list[Standing]) -> tuple[Table, ...]:
    summed = tables.get("measures", pd.DataFrame())
    if not {"measure", "quantity", "value", "low", "high"} <= set(summed.columns):
        return ()
    return tuple(
        _table(str(name), rows, standings) for name, rows in summed.groupby("measure", sort=False)
    )


def _table(measure: str, rows: pd.DataFrame, standings: list[Standing]) -> Table:
    names = list(dict.fromkeys(rows["quantity"]))
    names.sort(key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER))
    lines = []
    for s in standings:
        mine = of_estimator(rows, s.estimator).set_index("quantity")
        if len(mine):
            lines.append(Line(s, tuple(_cell(mine, name) for name in names)))
    words = tuple(WORDS.get(n, n.replace("f1 ", "F1 of ")) for n in names)
    return Table(measure, HEADINGS.get(measure, measure), words, tuple(lines))


def _cell(mine: pd.DataFrame, name: str) -> tuple[str, str]:
    if name not in mine.index:
        return NONE, ""
    row = mine.loc[name]
    return figure(row["value"]), interval(row["low"], row["high"])
