"""Which windows are read, as pure functions of the table of recordings, a seed and a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int64

from brainfm.errors import UsageError
from brainfm.windows.order import Shuffle, Turns, digest, scatter


class Place(NamedTuple):
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


class Windows(ABC):
    """Endless windows, a batch a step, in passes that bring each window once.

    The windows of a step depend on the seed and the step alone, so a training that is resumed at
    step n reads what an uninterrupted one would have read, in any number of processes.
    """

    @property
    @abstractmethod
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""

    @property
    @abstractmethod
    def n_windows(self) -> int:
        """How many windows a pass has."""

    @property
    @abstractmethod
    def order(self) -> str:
        """Digest of all that decides which windows a step has."""

    @abstractmethod
    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""


@dataclass(frozen=True, eq=False)
class RandomWindows(Windows):
    """Windows in a random order.

    A pass has as many windows of each recording as can begin a window's length apart, and so do not
    overlap. Where they begin is drawn anew for each pass, and they go on at the recording's other end:
    over many passes every possible window of a recording is equally likely. A pass leaves out less than
    two windows' length of a recording.

    Attributes
    ----------
    table
        recordings (columns ``id``, ``n_times``, ``sfreq``), of one sampling rate.
    seconds
        length of a window.
    batch_size
        windows a step.
    seed
        of the order.
    run
        neighbours that stay together in the order, for disks and servers that are far away.

    Raises
    ------
    UsageError
        If no recording is long enough, or the sampling rates differ.
    """

    table: pd.DataFrame
    seconds: float
    batch_size: int
    seed: int
    run: int = 1

    def __post_init__(self) -> None:
        if not self.n_starts.any():
            raise UsageError(
                f"No recording has {self.seconds:g} s (the longest has "
                f"{self.table['seconds'].max():g} s); ask for shorter windows."
            )

    @property
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""
        return float(self.table["sfreq"].iloc[0])

    @property
    def n_windows(self) -> int:
        """How many windows a pass has."""
        return int(self._last[-1])

    @cached_property
    def order(self) -> str:
        """Digest of all that decides which windows a step has."""
        lengths = self.table["n_times"].tolist()
        return digest(self._ids, lengths, self.length, self.batch_size, self.seed, self.run)

    @cached_property
    def length(self) -> int:
        """Samples of a window."""
        return n_samples(self.table, self.seconds)

    @cached_property
    def n_starts(self) -> Int64[np.ndarray, " recording"]:
        """Samples at which a window of each recording can begin."""
        return np.maximum(self.table["n_times"].to_numpy(np.int64) - self.length + 1, 0)

    @cached_property
    def counts(self) -> Int64[np.ndarray, " recording"]:
        """Windows of each recording in a pass."""
        return np.maximum(self.n_starts // self.length, self.n_starts > 0)

    @cached_property
    def _last(self) -> Int64[np.ndarray, " recording"]:
        return self.counts.cumsum()

    @cached_property
    def _ids(self) -> list[str]:
        return [str(id) for id in self.table["id"]]

    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""
        place = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        number, within = np.divmod(place, self.n_windows)
        return [
            window
            for n in range(int(number[0]), int(number[-1]) + 1)
            for window in self._of_pass(n, within[number == n])
        ]

    def _of_pass(self, number: int, place: Int64[np.ndarray, " window"]) -> list[Place]:
        """Return the windows at some places of a pass."""
        begin, key = np.random.SeedSequence([self.seed, number]).generate_state(2, np.uint64)
        # What is less than a run must not always be of the last recording.
        slot = (self._together(number, place) + int(begin) % self.n_windows) % self.n_windows
        rows = np.searchsorted(self._last, slot, side="right").astype(np.int64)
        before = slot - (self._last - self.counts)[rows]
        n_starts = self.n_starts[rows]
        start = (scatter(rows, key, n_starts) + before * self.length) % n_starts
        pairs = zip(rows.tolist(), start.tolist(), strict=True)
        return [Place(self._ids[row], first, first + self.length) for row, first in pairs]

    def _together(
        self, number: int, place: Int64[np.ndarray, " window"]
    ) -> Int64[np.ndarray, " window"]:
        """Shuffle runs of neighbours; what is less than a run comes last."""
        run = min(self.run, self.n_windows)
        which, within = np.divmod(place, run)
        whole = which < (n_runs := self.n_windows // run)
        which[whole] = Shuffle(n_runs, (self.seed, number, 1)).at(which[whole])
        return which * run + within


@dataclass(frozen=True, eq=False)
class Bucketed(Windows):
    """Batches whose recordings have the same number of channels, so that nothing is padded.

    The buckets take turns, each as often as it has windows, so all come to the end of a pass at
    about the same time.

    Attributes
    ----------
    buckets
        one sampler for each number of channels, all with the same number of windows a step.
    seed
        of the turns.
    """

    buckets: tuple[Windows, ...]
    seed: int

    @property
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""
        return self.buckets[0].sfreq

    @property
    def n_windows(self) -> int:
        """How many windows a pass has."""
        return sum(bucket.n_windows for bucket in self.buckets)

    @property
    def order(self) -> str:
        """Digest of all that decides which windows a step has."""
        return digest(*(bucket.order for bucket in self.buckets), self.seed)

    @cached_property
    def _turns(self) -> Turns:
        return Turns(tuple(bucket.n_windows for bucket in self.buckets), self.seed)

    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""
        turn = self._turns.at(step)
        return self.buckets[turn.member].at(turn.earlier)


def by_channels(
    table: pd.DataFrame,
    n_channels: Sequence[int],
    sampler: Callable[[pd.DataFrame], Windows],
    *,
    seconds: float,
    seed: int,
) -> Windows:
    """Return a sampler whose batches need no padding.

    Parameters
    ----------
    table
        recordings, of one sampling rate.
    n_channels
        channels that are read of each.
    sampler
        makes a sampler of some of the recordings.
    seconds
        length of a window; recordings that are shorter take no part.
    seed
        of the choice between numbers of channels.
    """
    long = table["n_times"].to_numpy() >= n_samples(table, seconds)
    counts = np.asarray(n_channels)
    found = np.unique(counts[long])
    if len(found) < 2:
        return sampler(table)
    tables = [table[long & (counts == count)].reset_index(drop=True) for count in found]
    return Bucketed(tuple(sampler(part) for part in tables), seed)


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
    rates = sorted(table["sfreq"].unique().tolist())
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
