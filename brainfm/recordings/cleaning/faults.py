"""Where a channel is flat, or stands at the end of the recorder's range, second by second.

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
