"""What samples are on the disk: 16-bit integers with a step, or 32-bit floats as they are.

An integer differs from its sample by at most half a step (and float32's own rounding). The step is
that of the shard and the channel: the largest magnitude there, divided by 32,767.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Shaped
from jaxtyping import Int16 as Int16Counts

from brainfm.recordings.spread import spread_samples

LARGEST = 32767

COARSEST = 1 / 64
"""The coarsest step that integers may have, as a share of the channel's robust amplitude."""

LOOKED_AT = 1_024
"""Samples of a shard from which its amplitude is estimated."""


class TooCoarse(Exception):
    """Integers would not tell the signal from its rounding: a channel is mostly far below its peak."""


class NotFinite(Exception):
    """A sample is infinite or no number, which is no signal."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A stretch of signal as it is stored.

    Attributes
    ----------
    values
        (channel, time) what stands on the disk.
    scale
        (channel,) SI units of one count, or None where ``values`` are in SI units.
    """

    values: Shaped[np.ndarray, "channel time"]
    scale: Float32[np.ndarray, " channel"] | None


class Encoding(ABC):
    """A way to store samples."""

    dtype: ClassVar[str]

    @abstractmethod
    def encode(self, signal: Float32[np.ndarray, "channel time"]) -> Encoded:
        """Encode the samples of one shard.

        Raises
        ------
        NotFinite
            If a sample is infinite or no number.
        TooCoarse
            If they cannot be kept like this.
        """


class Int16(Encoding):
    """16-bit integers, a step for each shard and channel: `TooCoarse` above 1/64 of the amplitude."""

    dtype: ClassVar[str] = "int16"

    def encode(self, signal: Float32[np.ndarray, "channel time"]) -> Encoded:
        """Encode the samples of one shard."""
        peak = np.maximum(
            signal.max(axis=1), -signal.min(axis=1)
        )  # not finite where a sample is not
        if not np.isfinite(peak).all():
            raise NotFinite
        step = np.maximum(peak / np.float32(LARGEST), np.finfo(np.float32).tiny)
        amplitude = robust_amplitude(signal[:, spread_samples(signal.shape[1], n=LOOKED_AT)])
        # A channel that is constant most of the time has no amplitude to compare with.
        if np.any((step > COARSEST * amplitude) & (amplitude > 0)):
            raise TooCoarse
        return Encoded(_counts(signal, step), step)


class Float32s(Encoding):
    """32-bit floats."""

    dtype: ClassVar[str] = "float32"

    def encode(self, signal: Float32[np.ndarray, "channel time"]) -> Encoded:
        """Return the samples as they are."""
        if not np.isfinite(signal).all():
            raise NotFinite
        return Encoded(signal.astype("<f4", copy=False), None)


ENCODINGS: dict[str, Encoding] = {kind.dtype: kind() for kind in (Int16, Float32s)}


def _counts(
    signal: Float32[np.ndarray, "channel time"], step: Float32[np.ndarray, " channel"]
) -> Int16Counts[np.ndarray, "channel time"]:
    """Return the samples in steps, rounded; the step is such that none exceeds `LARGEST`."""
    counts = np.empty(signal.shape, "<i2")
    buffer = np.empty(signal.shape[1], np.float32)
    for row, values in enumerate(signal):  # one channel after another stays in the cache
        np.divide(values, step[row], out=buffer)
        counts[row] = np.rint(buffer, out=buffer)
    return counts


def robust_amplitude(
    signal: Float32[np.ndarray, "channel time"],
) -> Float32[np.ndarray, " channel"]:
    """Return each channel's median absolute deviation, scaled to the standard deviation of noise."""
    centre = np.median(signal, axis=1, keepdims=True)
    return (np.median(np.abs(signal - centre), axis=1) * np.float32(1.4826)).astype(np.float32)
