"""A long signal through a filter and to another rate, frame by frame: overlap-save by FFT.

A frame's spectrum is multiplied with the filter's and cut, or continued by zeros, to the length that
the new rate wants, so that filter and resampling cost one FFT there and one back. Frames overlap by
the filter's length, and what a frame's circular convolution spoils is thrown away. The signal is
continued at both ends by its odd reflection, as in MNE, and by zeros where that is used up.

Overlap-save: Oppenheim & Schafer 1989, Discrete-Time Signal Processing, §8.7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float32
from scipy.fft import irfft, next_fast_len, rfft

from brainfm.recordings.cleaning.filters import Filter

FRAME_BYTES = 128_000_000
"""A frame is not much larger, unless the filter alone is: the length that is fast to transform next
may be a tenth above."""

TWOS = 32
"""Long frames are a multiple of it: odd factors of a length make its transform slower."""

ROWS = 8
"""Channels transformed at once: as many as the processor's vectors hold float32."""


@dataclass(frozen=True)
class Frames:
    """How a signal is cut.

    Attributes
    ----------
    size
        samples of a frame.
    reach
        samples at either end of it that are only context.
    new_size, new_reach
        the same at the new rate.
    """

    size: int
    reach: int
    new_size: int
    new_reach: int

    @property
    def step(self) -> int:
        """Return by how much a frame is later than the one before."""
        return self.size - 2 * self.reach


def plan_frames(filter: Filter, n_times: int, *, n_channels: int, n_bytes: int) -> Frames:
    """Return frames that hold whole samples of both rates, are fast to transform, and are all full."""
    old, new = filter.ratio.denominator, filter.ratio.numerator
    reach = -(-filter.reach // old)
    affordable = max(n_bytes // (4 * n_channels), 4 * filter.reach)
    most = min(max(12 * filter.reach, 1 << 15), affordable)
    fewest = ceil(n_times / max(most - 2 * reach * old, old))
    lengths = {n: _fast(ceil(n_times / (n * old)) + 2 * reach) for n in range(fewest, fewest + 4)}
    units = lengths[min(lengths, key=lambda n: n * lengths[n])]
    return Frames(units * old, reach * old, units * new, reach * new)


def _fast(units: int) -> int:
    """Return the next length that is fast to transform."""
    twos = TWOS if units > TWOS**2 else 1
    return next_fast_len(ceil(units / twos), real=True) * twos


def convolve(
    pieces: Iterable[Float32[np.ndarray, "channel piece"]],
    filters: Sequence[Filter],
    *,
    n_times: int,
    n_out: int,
    n_channels: int,
    n_bytes: int = FRAME_BYTES,
) -> Iterator[Float32[np.ndarray, "channel block"]]:
    """Put a signal that comes in pieces through one filter after another.

    Parameters
    ----------
    pieces
        of the signal, of any lengths, ``n_times`` samples in all.
    filters
        what to do; all but the last go to a whole part of the rate.
    n_times, n_channels
        of the signal.
    n_out
        samples wanted of the result: ``n_times`` times the ratio of all, rounded.
    n_bytes
        memory for a frame; what comes out does not depend on it.

    Yields
    ------
    Blocks of the result, whose sample 0 is at the time of the signal's.
    """
    if all(filter.changes_nothing for filter in filters):
        yield from pieces
        return
    plans = []
    for filter in filters:
        plans.append(plan_frames(filter, n_times, n_channels=n_channels, n_bytes=n_bytes))
        n_times = ceil(n_times * filter.ratio)
    before = after = 0
    for filter, frames in zip(reversed(filters), reversed(plans), strict=True):
        before = frames.reach + before * filter.ratio.denominator
        after = frames.reach + (after + (after > 0)) * filter.ratio.denominator
    stream = _extend(pieces, before, after)
    for filter, frames in zip(filters, plans, strict=True):
        stream = _filter(stream, filter, frames)
    for block in stream:
        yield block[:, :n_out]
        n_out -= min(block.shape[1], n_out)
        if not n_out:
            return


def _filter(
    pieces: Iterable[Float32[np.ndarray, "channel piece"]], filter: Filter, frames: Frames
) -> Iterator[Float32[np.ndarray, "channel block"]]:
    """Filter a signal that reaches beyond what is wanted on both sides."""
    response = _response(filter, frames)
    for frame in _cut(pieces, frames):
        yield _transform(frame, frames, response)


def _response(filter: Filter, frames: Frames) -> Float32[np.ndarray, " part"]:
    """Return the filter's spectrum, real because the kernel is symmetric about sample 0."""
    kernel = np.zeros(frames.size)
    kernel[: filter.reach + 1] = filter.taps[filter.reach :]
    kernel[frames.size - filter.reach :] = filter.taps[: filter.reach]
    kept = min(frames.size, frames.new_size) // 2 + 1
    response = rfft(kernel).real[:kept] * float(filter.ratio)
    # Twice each, for the real and the imaginary part: floats multiply faster than complex numbers.
    return np.repeat(response, 2).astype(np.float32)


def _transform(
    frame: Float32[np.ndarray, "channel time"],
    frames: Frames,
    response: Float32[np.ndarray, " part"],
) -> Float32[np.ndarray, "channel new_time"]:
    first, last = frames.new_reach, frames.new_size - frames.new_reach
    out = np.empty((len(frame), last - first), np.float32)
    for row in range(0, len(frame), ROWS):
        spectrum = rfft(frame[row : row + ROWS])[:, : len(response) // 2]
        spectrum.view(np.float32)[...] *= response
        out[row : row + ROWS] = irfft(spectrum, frames.new_size, overwrite_x=True)[:, first:last]
    return out


def _extend(
    pieces: Iterable[Float32[np.ndarray, "channel piece"]], before: int, after: int
) -> Iterator[Float32[np.ndarray, "channel piece"]]:
    """Continue a signal by so many samples before its first and after its last."""
    pieces = iter(pieces)
    head = _gather(pieces, before + 1)
    yield _reflection(head[:, ::-1], before)[:, ::-1]
    yield head
    last, length = deque([head]), head.shape[1]
    for piece in pieces:
        yield piece
        last.append(piece)
        length += piece.shape[1]
        while length - last[0].shape[1] > after:
            length -= last.popleft().shape[1]
    yield _reflection(_join(last), after)


def _gather(
    pieces: Iterator[Float32[np.ndarray, "channel piece"]], n_times: int
) -> Float32[np.ndarray, "channel time"]:
    """Join the next pieces up to ``n_times`` samples or more."""
    parts, length = [], 0
    for piece in pieces:
        parts.append(piece)
        length += piece.shape[1]
        if length >= n_times:
            break
    return _join(parts)


def _join(
    parts: Sequence[Float32[np.ndarray, "channel _"]],
) -> Float32[np.ndarray, "channel time"]:
    # Joining one would copy it.
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _reflection(
    signal: Float32[np.ndarray, "channel time"], reach: int
) -> Float32[np.ndarray, "channel reach"]:
    """Return what follows a signal that is reflected about its last sample."""
    after = np.zeros((len(signal), reach), np.float32)
    n = min(reach, signal.shape[1] - 1)
    after[:, :n] = 2 * signal[:, -1:] - signal[:, ::-1][:, 1 : n + 1]
    return after


def _cut(
    pieces: Iterable[Float32[np.ndarray, "channel piece"]], frames: Frames
) -> Iterator[Float32[np.ndarray, "channel frame"]]:
    """Cut a signal into overlapping frames, the last filled up by zeros; each reuses its memory."""
    frame, filled, kept = np.zeros((0, 0), np.float32), 0, 2 * frames.reach
    for piece in pieces:
        if not len(frame):
            frame = np.zeros((len(piece), frames.size), np.float32)
        begin = 0
        while begin < piece.shape[1]:
            n = min(frames.size - filled, piece.shape[1] - begin)
            frame[:, filled : filled + n] = piece[:, begin : begin + n]
            begin, filled = begin + n, filled + n
            if filled == frames.size:
                yield frame
                frame[:, :kept] = frame[:, frames.size - kept :].copy()
                filled = kept
    if filled > kept:
        frame[:, filled:] = 0
        yield frame
