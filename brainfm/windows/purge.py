"""Windows of one recording on both sides of a split, kept apart in time.

Neighbouring windows share samples where they overlap and slow signals where they do not, so what lies near a
held-out window is purged from the training side, and an embargo widens the gap (López de Prado, Advances in
Financial Machine Learning, 2018, ch. 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from brainfm.errors import UsageError
from brainfm.windows.splits import Fold, Split, names_of


@dataclass(frozen=True)
class WithinRecordings(Split):
    """Cross-validation in time inside every recording: how well a subject is known after a calibration.

    Every subject is trained and tested on, so this says nothing of new people; the protocol wants a
    reason for it.

    Attributes
    ----------
    folds
        stretches into which each recording is divided; each is tested once.
    validation
        share of the other windows, the latest of each recording, that validate.
    embargo
        seconds at least between windows of different sides, besides that they do not overlap.
    """

    folds: int = 5
    validation: float = 0.2
    embargo: float = 0.0

    def __post_init__(self) -> None:
        if self.folds < 2 or self.embargo < 0 or not 0 <= self.validation < 1:
            raise UsageError(
                f"{self.folds} folds, {self.validation} for validation, {self.embargo} s apart: give at "
                "least 2 folds, a share from 0 to below 1 and no negative time."
            )

    def split(self, table: pd.DataFrame, seed: int) -> list[Fold]:
        """Divide the windows of ``table``, which has the columns recording, onset and seconds.

        Raises
        ------
        UsageError
            When a recording has fewer windows than there are folds, or nothing is left to train on.
        """
        place = np.empty(len(table), np.int64)
        for recording, rows in _by_recording(table):
            if len(rows) < self.folds:
                raise UsageError(
                    f"The recording {recording} has {len(rows)} windows for {self.folds} folds: "
                    "give fewer folds or shorter windows."
                )
            for index, part in enumerate(np.array_split(rows, self.folds)):
                place[part] = index
        return [self._fold(table, place == index, index) for index in range(self.folds)]

    def _fold(self, table: pd.DataFrame, test: np.ndarray, index: int) -> Fold:
        rest = apart(table, ~test, test, embargo=self.embargo)
        validation = np.zeros(len(table), bool)
        for _, rows in _by_recording(table[rest]):
            mine = np.flatnonzero(rest)[rows]
            validation[mine[len(mine) - round(self.validation * len(mine)) :]] = True
        train = apart(table, rest & ~validation, validation, embargo=self.embargo)
        if not train.any():
            raise UsageError(
                f"An embargo of {self.embargo} s leaves no window to train on: give a shorter one."
            )
        names = names_of(table, "window").to_numpy(dtype=str)
        # Two windows may start at one moment; a name is on the side that is kept from training.
        sides = [sorted(set(names[rows])) for rows in (train, validation, test)]
        return Fold(index, *map(tuple, sides), by="window")


def apart(
    table: pd.DataFrame,
    kept: Bool[np.ndarray, " row"],
    held: Bool[np.ndarray, " row"],
    *,
    embargo: float = 0.0,
) -> Bool[np.ndarray, " row"]:
    """Return which of the ``kept`` windows stay: those far enough from every held-out window.

    Parameters
    ----------
    table
        windows, with the columns recording, onset and seconds.
    kept, held
        which rows are on either side.
    embargo
        seconds that must lie between the end of one and the start of the other.
    """
    stays = kept.copy()
    onset, seconds = (table[c].to_numpy(dtype=np.float64) for c in ("onset", "seconds"))
    for _, rows in _by_recording(table):
        mine, others = rows[kept[rows]], rows[held[rows]]
        if len(mine) and len(others):
            start, stop = onset[others], onset[others] + seconds[others]
            stays[mine] = ~_near(onset[mine], onset[mine] + seconds[mine], start, stop, embargo)
    return stays


def _near(
    start: Float[np.ndarray, " kept"],
    stop: Float[np.ndarray, " kept"],
    other_start: Float[np.ndarray, " held"],
    other_stop: Float[np.ndarray, " held"],
    embargo: float,
) -> Bool[np.ndarray, " kept"]:
    """Say of each stretch whether a held one overlaps it or is nearer than the embargo."""
    tiny = 1e-6  # of a second: windows that touch do not overlap
    starts, stops = np.sort(other_start), np.sort(other_stop)
    # A held stretch is clear where it starts after this one's end, or ends before its start.
    begun = np.searchsorted(starts, stop + embargo - tiny, side="left")
    over = np.searchsorted(stops, start - embargo + tiny, side="right")
    return begun > over


def _by_recording(table: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Return the rows of each recording, in time."""
    if table.empty:
        return []
    names = table["recording"].astype(str).to_numpy(dtype=str)
    order = np.lexsort((table["onset"].to_numpy(), names))
    starts = np.flatnonzero(names[order][1:] != names[order][:-1]) + 1
    return [(str(names[part[0]]), part) for part in np.split(order, starts)]
