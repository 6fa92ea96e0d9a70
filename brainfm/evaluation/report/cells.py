"""Tables of shares, tinted by how large they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from brainfm.evaluation.report.numbers import NONE, is_number


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion table: the share of its row."""

    share: float

    @property
    def words(self) -> str:
        """The share in per cent."""
        return f"{100 * self.share:.0f} %" if is_number(self.share) else NONE

    @property
    def tint(self) -> int:
        """How strongly the cell is tinted, in per cent."""
        return round(62 * self.share) if is_number(self.share) else 0


def cells(table: Float64[np.ndarray, "row column"]) -> tuple[tuple[Cell, ...], ...]:
    """Return a table of shares as cells; NaN where a row is of nothing."""
    return tuple(tuple(Cell(float(share)) for share in row) for row in table)


def row_shares(counts: Float64[np.ndarray, "row column"]) -> Float64[np.ndarray, "row column"]:
    """Return each count's share of its row, NaN in a row of nothing."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
