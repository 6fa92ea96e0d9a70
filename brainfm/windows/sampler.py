"""Which windows are read, as pure functions of the table of recordings, a seed and a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainfm.errors import UsageError


@dataclass(frozen=True)
class Place:
    """A window's place in the store.

    Attributes
    ----------
    recording
        id of the recording.
    start, stop
        first sample and the one after the last.
    """

    recording: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class RandomWindows:
    """Endless random windows, every possible one equally likely.

    The windows of a step depend on the seed and the step alone, so a training that is resumed at
    step n reads what an uninterrupted one would have read.

    Attributes
    ----------
    table
        recordings (columns ``id``, ``n_times``, ``sfreq``), of one sampling rate.
    seconds
        length of a window.
    batch_size
        windows a step.
    seed
        of the draw.

    Raises
    ------
    UsageError
        If no recording is long enough, or the sampling rates differ.
    """

    table: pd.DataFrame
    seconds: float
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        length = n_samples(self.table, self.seconds)
        if not (self.table["n_times"] >= length).any():
            raise UsageError(
                f"No recording has {self.seconds:g} s (the longest has "
                f"{self.table['seconds'].max():g} s); ask for shorter windows."
            )

    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""
        length = n_samples(self.table, self.seconds)
        starts = np.maximum(self.table["n_times"].to_numpy() - length + 1, 0)
        last = starts.cumsum()
        draw = np.random.default_rng([self.seed, step]).integers(last[-1], size=self.batch_size)
        rows = np.searchsorted(last, draw, side="right")
        first = draw - (last - starts)[rows]
        ids = self.table["id"].to_numpy()
        return [
            Place(str(ids[r]), int(s), int(s) + length) for r, s in zip(rows, first, strict=True)
        ]


def sequential(table: pd.DataFrame, seconds: float, *, step: float | None = None) -> list[Place]:
    """Return windows that run through each recording, one after another.

    Parameters
    ----------
    table
        recordings, of one sampling rate.
    seconds
        length of a window.
    step
        seconds from one window's start to the next; where None the length, so that they touch.

    Returns
    -------
    Places, by recording and time. What is left at a recording's end, being shorter than a window,
    is in none: at most ``seconds`` for each recording.
    """
    length = n_samples(table, seconds)
    hop = length if step is None else n_samples(table, step)
    return [
        Place(str(recording), start, start + length)
        for recording, n_times in zip(table["id"], table["n_times"], strict=True)
        for start in range(0, int(n_times) - length + 1, hop)
    ]


def n_samples(table: pd.DataFrame, seconds: float) -> int:
    """Return how many samples ``seconds`` are, where that is a whole number."""
    rates = sorted(set(table["sfreq"]))
    if len(rates) != 1:
        raise UsageError(
            f"The recordings have {len(rates)} sampling rates ({rates} Hz) and windows need one; "
            "choose recordings of one rate, or ingest them with one."
        )
    exact = seconds * rates[0]
    if exact < 1 or abs(exact - round(exact)) > 1e-6:
        raise UsageError(
            f"{seconds:g} s at {rates[0]:g} Hz are {exact:g} samples, which is no whole number; "
            "choose another length."
        )
    return round(exact)
