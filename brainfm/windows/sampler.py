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
    """Endless windows, a batch a step.

    The windows of a step depend on the seed and the step alone, so a training that is resumed at
    step n reads what an uninterrupted one would have read. Over many steps every possible window is
    equally likely.
    """

    @property
    @abstractmethod
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""

    @property
    @abstractmethod
    def n_possible(self) -> int:
        """How many windows there are to draw from."""

    @abstractmethod
    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""


@dataclass(frozen=True, eq=False)
class RandomWindows(Windows):
    """Windows from everywhere, drawn independently.

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
        if not self.n_possible:
            raise UsageError(
                f"No recording has {self.seconds:g} s (the longest has "
                f"{self.table['seconds'].max():g} s); ask for shorter windows."
            )

    @property
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""
        return float(self.table["sfreq"].iloc[0])

    @property
    def n_possible(self) -> int:
        """How many windows there are to draw from."""
        return int(self._last[-1])

    @cached_property
    def length(self) -> int:
        """Samples of a window."""
        return n_samples(self.table, self.seconds)

    @cached_property
    def n_starts(self) -> Int64[np.ndarray, " recording"]:
        """Windows that each recording has."""
        return np.maximum(self.table["n_times"].to_numpy(np.int64) - self.length + 1, 0)

    @cached_property
    def _last(self) -> Int64[np.ndarray, " recording"]:
        return self.n_starts.cumsum()

    @cached_property
    def _ids(self) -> list[str]:
        return [str(id) for id in self.table["id"]]

    def draw(
        self, rng: np.random.Generator, n: int
    ) -> tuple[Int64[np.ndarray, " window"], Int64[np.ndarray, " window"]]:
        """Return the recordings, as rows of the table, and the first samples of ``n`` windows."""
        drawn = rng.integers(self._last[-1], size=n)
        rows = np.searchsorted(self._last, drawn, side="right").astype(np.int64)
        return rows, drawn - (self._last - self.n_starts)[rows]

    def places(
        self, rows: Int64[np.ndarray, " window"], starts: Int64[np.ndarray, " window"]
    ) -> list[Place]:
        """Return the windows that `draw` names."""
        pairs = zip(rows.tolist(), starts.tolist(), strict=True)
        return [Place(self._ids[row], start, start + self.length) for row, start in pairs]

    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""
        return self.places(*self.draw(np.random.default_rng([self.seed, step]), self.batch_size))


@dataclass(frozen=True, eq=False)
class LocalWindows(Windows):
    """Windows of which a step's come from few places, for disks and servers that are far away.

    Recordings are cut into stretches. A step draws a few stretches, each as likely as it is long,
    and its windows evenly from those; so every window is equally likely over many steps, but the
    windows of one step resemble each other more than independent ones.

    Attributes
    ----------
    everywhere
        the recordings, the length of a window, how many a step, and the seed.
    stretches
        from how many stretches a step draws.
    stretch_seconds
        how far apart the first and the last start of a stretch's windows are, at most.
    """

    everywhere: RandomWindows
    stretches: int = 4
    stretch_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.stretches < 1 or self.stretch_seconds <= 0:
            raise UsageError(
                f"{self.stretches} stretches of {self.stretch_seconds:g} s are asked for; give at "
                "least one, of more than 0 s."
            )

    @property
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""
        return self.everywhere.sfreq

    @property
    def n_possible(self) -> int:
        """How many windows there are to draw from."""
        return self.everywhere.n_possible

    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""
        n = self.everywhere.batch_size
        rng = np.random.default_rng([self.everywhere.seed, step])
        rows, within = self.everywhere.draw(rng, min(self.stretches, n))
        # A stretch that holds a window drawn evenly is itself drawn in proportion to its length.
        length = max(1, round(self.stretch_seconds * self.sfreq))
        first = within // length * length
        stop = np.minimum(first + length, self.everywhere.n_starts[rows])
        of = np.arange(n) % len(rows)
        return self.everywhere.places(rows[of], rng.integers(first[of], stop[of]))


@dataclass(frozen=True, eq=False)
class Bucketed(Windows):
    """Batches whose recordings have the same number of channels, so that nothing is padded.

    A step draws one bucket, each as likely as it has windows, and all its windows from there.

    Attributes
    ----------
    buckets
        one sampler for each number of channels, all with the same number of windows a step.
    seed
        of the choice.
    """

    buckets: tuple[Windows, ...]
    seed: int

    @property
    def sfreq(self) -> float:
        """Sampling rate of the recordings in Hz."""
        return self.buckets[0].sfreq

    @property
    def n_possible(self) -> int:
        """How many windows there are to draw from."""
        return sum(bucket.n_possible for bucket in self.buckets)

    def at(self, step: int) -> list[Place]:
        """Return the windows of a step."""
        last = np.cumsum([bucket.n_possible for bucket in self.buckets])
        # A stream of its own: the buckets' draws must not depend on which of them is chosen.
        drawn = np.random.default_rng([self.seed, step, 1]).integers(last[-1])
        return self.buckets[int(np.searchsorted(last, drawn, side="right"))].at(step)


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
