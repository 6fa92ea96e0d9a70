"""The identity check: how well frozen features tell people apart, beside how well they tell the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from brainfm.evaluation.report.numbers import count, figure, is_number


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
    words = {c: [_words(c, v) for v in shown[c]] for c in shown.columns}
    rows = tuple(zip(*words.values(), strict=True))
    return Identity(tuple(c.replace("_", " ") for c in shown.columns), rows, numeric)


def _words(column: str, value: Any) -> str:
    """Return a cell; a seed is a whole number and has no decimals."""
    if column == "seed":
        return count(value)
    return figure(value) if is_number(value) else str(value)
