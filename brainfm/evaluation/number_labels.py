"""Numbers to predict, such as an age or a score, from a table of subjects as BIDS's participants.tsv."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import UsageError
from brainfm.evaluation.labels import Labels, Span
from brainfm.recordings.recording import Annotations
from brainfm.windows.published import plain


@dataclass(frozen=True)
class NumberLabels(Labels):
    """One number a subject, from a table with a row each; whole recordings have it.

    Attributes
    ----------
    table
        a table with a header, separated by commas (``.csv``) or else by tabs.
    column
        of the number. A subject without one, as BIDS's ``n/a``, is not part of the task.
    subjects
        column of the subjects' names.
    prefix
        what stands before a name in the table and not in the store, such as BIDS's ``sub-``. Numbers match
        with and without leading zeros.
    runs
        only recordings of these runs, or None for all.
    """

    table: Path
    column: str
    subjects: str = "participant_id"
    prefix: str = "sub-"
    runs: tuple[str, ...] | None = None

    def names(self) -> tuple[str, ...]:
        """Return no name: there are no classes."""
        return ()

    def selects(self, row: pd.Series) -> bool:
        """Say whether the recording is of a subject with a number, and of a run that was asked for."""
        of_run = self.runs is None or plain(row["run"]) in {plain(r) for r in self.runs}
        return of_run and plain(row["subject"]) in self._numbers

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the whole recording, with the number in words."""
        return [
            Span(0.0, row["n_times"] / row["sfreq"], repr(self._numbers[plain(row["subject"])]))
        ]

    @cached_property
    def _numbers(self) -> dict[str, float]:
        """Return each subject's number."""
        try:
            separator = "," if self.table.suffix == ".csv" else "\t"
            table = pd.read_csv(self.table, sep=separator, dtype=str)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The table {self.table} of the labels cannot be read: {error}."
            ) from error
        if missing := [c for c in (self.subjects, self.column) if c not in table.columns]:
            raise UsageError(
                f"The table {self.table} has no column {missing[0]!r}: choose from {list(table.columns)}."
            )
        names = [plain(str(name).removeprefix(self.prefix)) for name in table[self.subjects]]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(
                f"The table {self.table} has several rows of the subject {twice[0]!r}: give one."
            )
        numbers = pd.to_numeric(table[self.column], errors="coerce")
        return {name: float(n) for name, n in zip(names, numbers, strict=True) if np.isfinite(n)}
