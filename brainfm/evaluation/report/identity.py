"""The identity check: how well frozen features tell people apart, beside how well they tell the label."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from brainfm.evaluation.report.numbers import figure, is_number


@dataclass(frozen=True)
class Identity:
    """``identity.csv`` as it stands, in words.

    Attributes
    ----------
    columns
        its names.
    rows
        its cells.
    numeric
        which columns are numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def describe_identity(table: pd.DataFrame) -> Identity | None:
    """Return the table of one task, or None where it was not checked."""
    shown = table.drop(columns="task", errors="ignore").dropna(axis="columns", how="all")
    if shown.empty or "estimator" not in shown.columns:
        return None
    numeric = tuple(bool(pd.api.types.is_numeric_dtype(shown[c])) for c in shown.columns)
    rows = tuple(
        tuple(figure(v) if is_number(v) else str(v) for v in row)
        for row in shown.itertuples(index=False)
    )
    return Identity(tuple(c.replace("_", " ") for c in shown.columns), rows, numeric)
