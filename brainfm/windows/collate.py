"""Windows with any sensors → one padded `Batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64

from brainfm.contracts import Batch, Kind
from brainfm.recordings.recording import Sensors


@dataclass(frozen=True, eq=False)
class Window:
    """One stretch of one recording.

    Attributes
    ----------
    signal
        (channel, time) SI units.
    sensors
        the channels.
    sfreq
        sampling rate in Hz.
    recording
        id of the recording.
    onset
        seconds from the recording's start.
    """

    signal: Float32[np.ndarray, "channel time"]
    sensors: Sensors
    sfreq: float
    recording: str
    onset: float


def collate(windows: Sequence[Window]) -> Batch:
    """Join windows of equal length, padding channels up to the window that has most.

    Padding is marked False in ``mask``, holds zeros, and its position is NaN.

    Raises
    ------
    ValueError
        If lengths or sampling rates differ.
    """
    lengths = {w.signal.shape[1] for w in windows}
    rates = {w.sfreq for w in windows}
    if len(lengths) != 1 or len(rates) != 1:
        raise ValueError(f"one length and rate a batch, not {lengths} samples at {rates} Hz")
    signal = empty_signal([len(w.sensors) for w in windows], lengths.pop())
    for row, window in enumerate(windows):
        signal[row, : len(window.sensors)] = window.signal
    return join(
        signal,
        [Description.of(w.sensors) for w in windows],
        sfreq=rates.pop(),
        recording=[w.recording for w in windows],
        onset=[w.onset for w in windows],
    )


@dataclass(frozen=True, eq=False)
class Description:
    """The sensors of a window as a `Batch` has them.

    Attributes
    ----------
    position, orientation
        (channel, 3) as in `Sensors`.
    kind
        (channel,) values of `Kind`.
    mask
        (channel,) False for a channel that the recording does not have.
    """

    position: Float32[np.ndarray, "channel 3"]
    orientation: Float32[np.ndarray, "channel 3"]
    kind: Int64[np.ndarray, " channel"]
    mask: Bool[np.ndarray, " channel"]

    @classmethod
    def of(cls, sensors: Sensors, mask: Bool[np.ndarray, " channel"] | None = None) -> Description:
        """Describe sensors, all of them there unless a mask says otherwise."""
        return cls(
            sensors.position.astype(np.float32),
            sensors.orientation.astype(np.float32),
            np.array([Kind[name] for name in sensors.kind], np.int64),
            np.ones(len(sensors), bool) if mask is None else mask,
        )


def empty_signal(
    n_channels: Sequence[int], n_times: int
) -> Float32[np.ndarray, "window channel time"]:
    """Return an array for windows of so many channels; padding is zero, the rest anything."""
    width = max(n_channels)
    signal = np.empty((len(n_channels), width, n_times), np.float32)
    for row, n in enumerate(n_channels):
        if n < width:
            signal[row, n:] = 0
    return signal


def join(
    signal: Float32[np.ndarray, "window channel time"],
    sensors: Sequence[Description],
    *,
    sfreq: float,
    recording: Sequence[str],
    onset: Sequence[float],
) -> Batch:
    """Make a batch of windows that stand in one array, which becomes part of it.

    Parameters
    ----------
    signal
        the windows, each in its first rows; the others are zero.
    sensors
        of each window.
    sfreq
        in Hz.
    recording, onset
        id of the recording of each window, and where it starts there, in seconds.
    """
    n, width, _ = signal.shape
    position, orientation = (np.full((n, width, 3), np.nan, np.float32) for _ in range(2))
    kind, mask = np.zeros((n, width), np.int64), np.zeros((n, width), bool)
    same: dict[Description, list[int]] = {}  # most windows share one, which is then set at once
    for row, described in enumerate(sensors):
        same.setdefault(described, []).append(row)
    for described, rows in same.items():
        real = slice(len(described.kind))
        position[rows, real] = described.position
        orientation[rows, real] = described.orientation
        kind[rows, real] = described.kind
        mask[rows, real] = described.mask
    return Batch(
        signal=torch.from_numpy(signal),
        position=torch.from_numpy(position),
        orientation=torch.from_numpy(orientation),
        kind=torch.from_numpy(kind),
        mask=torch.from_numpy(mask),
        sfreq=sfreq,
        recording=tuple(recording),
        onset=torch.tensor(onset, dtype=torch.float32),
    )


def batch_of(
    signal: Float[np.ndarray, "trial channel time"], sensors: Sensors, sfreq: float
) -> Batch:
    """Make a batch of an array of windows that share their sensors."""
    return collate([Window(x.astype(np.float32), sensors, sfreq, "", 0.0) for x in signal])
