"""Windows with any sensors → one padded `Batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32

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
    n, width, length = len(windows), max(len(w.sensors) for w in windows), lengths.pop()
    signal = np.zeros((n, width, length), np.float32)
    position, orientation = (np.full((n, width, 3), np.nan, np.float32) for _ in range(2))
    kind, mask = np.zeros((n, width), np.int64), np.zeros((n, width), bool)
    for row, window in enumerate(windows):
        real = slice(len(window.sensors))
        signal[row, real] = window.signal
        position[row, real] = window.sensors.position
        orientation[row, real] = window.sensors.orientation
        kind[row, real] = [Kind[name] for name in window.sensors.kind]
        mask[row, real] = True
    return Batch(
        signal=torch.from_numpy(signal),
        position=torch.from_numpy(position),
        orientation=torch.from_numpy(orientation),
        kind=torch.from_numpy(kind),
        mask=torch.from_numpy(mask),
        sfreq=rates.pop(),
        recording=tuple(w.recording for w in windows),
        onset=torch.tensor([w.onset for w in windows], dtype=torch.float32),
    )


def batch_of(
    signal: Float[np.ndarray, "trial channel time"], sensors: Sensors, sfreq: float
) -> Batch:
    """Make a batch of an array of windows that share their sensors."""
    return collate([Window(x.astype(np.float32), sensors, sfreq, "", 0.0) for x in signal])
