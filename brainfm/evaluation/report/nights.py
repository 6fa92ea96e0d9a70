"""What follows each stage of sleep, in truth and in each estimator's hypnograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainfm.evaluation.report.cells import Cell, cells, row_shares
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import Standing


@dataclass(frozen=True, eq=False)
class Following:
    """Of the epochs in each stage (row), the shares that the next epoch is in each (column)."""

    name: str
    family: str
    cells: tuple[tuple[Cell, ...], ...]


def describe_nights(
    table: pd.DataFrame, standings: list[Standing]
) -> tuple[tuple[str, ...], tuple[Following, ...]]:
    """Return the stages and one table an estimator, the truth's first; nothing where there are no nights."""
    if not {"estimator", "before", "after", "true", "predicted"} <= set(table.columns):
        return (), ()
    stages = tuple(dict.fromkeys(table["before"]))
    there = [s for s in standings if len(of_estimator(table, s.estimator))]
    if not there:
        return (), ()
    first = of_estimator(table, there[0].estimator)
    return stages, (
        Following("as scored", "other", _shares(first, "true", stages)),
        *(
            Following(
                s.estimator,
                s.family.name,
                _shares(of_estimator(table, s.estimator), "predicted", stages),
            )
            for s in there
        ),
    )


def _shares(
    rows: pd.DataFrame, column: str, stages: tuple[str, ...]
) -> tuple[tuple[Cell, ...], ...]:
    counts = rows.pivot_table(index="before", columns="after", values=column, aggfunc="sum")
    table = counts.reindex(index=stages, columns=stages).to_numpy(dtype=float)
    return cells(row_shares(np.nan_to_num(table)))
