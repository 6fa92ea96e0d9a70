"""Where a channel is flat, or stands at the end of the recorder's range, second by second.

Few formats tell that range. Whatever the format, a recorder that saturates gives one value again and
again, and none beyond it: the greatest or the least that the channel ever has.

What is found becomes an annotation ``BAD_flat`` or ``BAD_saturated`` that names its channels; the
signal stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from brainfm.recordings.cleaning.plausible import RANGES
from brainfm.recordings.recording import Annotations

FLAT_PART = 1 / 200
"""A second is flat that spans less than this part of its kind's usual amplitude: 0.1 µV in EEG."""

FLAT_SECONDS = 5
"""So many flat seconds on end are a fault."""

SATURATED_SECONDS = 0.02
"""A second is saturated in which the signal stays at the end of the range for so long on end."""

SATURATED_SAMPLES = 3
"""And for so many samples, at least."""

HELD_SECONDS = 0.1
"""Where the range is not known, a channel stays for so long on end at its greatest or least value."""

HELD_SAMPLES = 10
"""And for so many samples, at least: a slow wave's peak may stay within one step for a few."""


def flat_limits(kinds: Sequence[str]) -> Float64[np.ndarray, " channel"]:
    """Return for each channel the span in SI units below which a second is flat."""
    return np.array([RANGES[k].usual * FLAT_PART if k in RANGES else 0.0 for k in kinds])


def find_flat(
    low: Shaped[np.ndarray, "channel second"],
    high: Shaped[np.ndarray, "channel second"],
    *,
    limit: Float64[np.ndarray, " channel"],
) -> Bool[np.ndarray, "channel second"]:
    """Tell which seconds are flat, of the least and the greatest value in each."""
    return high - low <= limit[:, None]


def find_saturated(
    signal: Shaped[np.ndarray, "channel second time"],
    low: Shaped[np.ndarray, "channel second"],
    high: Shaped[np.ndarray, "channel second"],
    *,
    limits: Float64[np.ndarray, "channel 2"],
) -> Bool[np.ndarray, "channel second"]:
    """Tell in which seconds the signal stays at or beyond ``limits``; NaN limits are never met.

    ``low`` and ``high`` are the least and the greatest value in each second.
    """
    needed = max(SATURATED_SAMPLES, round(SATURATED_SECONDS * signal.shape[2]))
    found = (low <= limits[:, :1]) | (high >= limits[:, 1:])
    for channel, second in np.argwhere(found):
        least, most = limits[channel]
        values = signal[channel, second]
        run = max(longest_run(values <= least), longest_run(values >= most))
        found[channel, second] = run >= needed
    return found


class Plateaus:
    """Finds seconds in which a channel stays at the greatest or the least value that it ever has.

    Parameters
    ----------
    kinds
        of the channels; those of no known kind may be triggers and are passed over.
    n_times
        samples of a second.
    """

    def __init__(self, kinds: Sequence[str], n_times: int):
        self._judged = np.array([kind in RANGES for kind in kinds])
        self._needed = max(HELD_SAMPLES, round(HELD_SECONDS * n_times))
        # Of the signal, and of the signal upside down.
        self._most = np.full((2, len(kinds)), -np.inf)
        self._held: list[tuple[int, int, int, float]] = []

    def take(
        self,
        signal: Shaped[np.ndarray, "channel second time"],
        low: Shaped[np.ndarray, "channel second"],
        high: Shaped[np.ndarray, "channel second"],
        *,
        begin: int,
    ) -> None:
        """Look at the seconds from number ``begin`` on; ``low`` and ``high`` are the ends of each."""
        for side, peak in enumerate((high, -low)):
            before = np.column_stack([self._most[side], peak])
            most = np.maximum.accumulate(before, axis=1)
            rows, seconds = np.nonzero((peak >= most[:, :-1]) & self._judged[:, None])
            ends = (high, low)[side][rows, seconds]
            held = signal[rows, seconds] == ends[:, None]
            for i in np.flatnonzero(held.sum(axis=1) >= self._needed):
                if longest_run(held[i]) >= self._needed:
                    value = float(peak[rows[i], seconds[i]])
                    self._held.append((side, int(rows[i]), begin + int(seconds[i]), value))
            self._most[side] = most[:, -1]

    def find(self, n_seconds: int) -> Bool[np.ndarray, "channel second"]:
        """Tell which seconds of all that were taken hold a plateau at what proved to be the end."""
        found = np.zeros((len(self._judged), n_seconds), dtype=bool)
        constant = self._most[0] == -self._most[1]
        for side, row, second, value in self._held:
            found[row, second] |= value == self._most[side, row] and not constant[row]
        return found


def longest_run(values: Bool[np.ndarray, " time"]) -> int:
    """Return how many True stand on end, at most."""
    starts, stops = runs(values)
    return int((stops - starts).max(initial=0))


def runs(
    values: Bool[np.ndarray, " time"],
) -> tuple[Int[np.ndarray, " run"], Int[np.ndarray, " run"]]:
    """Return where each run of True starts, and where it has stopped."""
    change = np.diff(np.concatenate([[False], values, [False]]).astype(np.int8))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


def annotate(
    found: Bool[np.ndarray, "channel second"],
    description: str,
    *,
    names: Sequence[str],
    seconds: float = 1.0,
    least: int = 1,
) -> Annotations:
    """Return one annotation a span of ``least`` seconds or more, with the channels that share it.

    Parameters
    ----------
    found
        which seconds of which channels.
    description
        of the annotations.
    names
        of the channels.
    seconds
        how long a second is: a whole number of samples.
    least
        shorter spans are passed over.
    """
    spans: dict[tuple[int, int], list[str]] = {}
    for name, row in zip(names, found, strict=True):
        for start, stop in zip(*runs(row), strict=True):
            if stop - start >= least:
                spans.setdefault((int(start), int(stop)), []).append(name)
    return Annotations(
        onset=np.array([start * seconds for start, _ in spans], float),
        duration=np.array([(stop - start) * seconds for start, stop in spans], float),
        description=(description,) * len(spans),
        channels=tuple(map(tuple, spans.values())),
    )
