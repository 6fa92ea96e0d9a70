"""Windows that stay in the store until they are asked for, where an array of them would fill the memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from brainfm.errors import UsageError
from brainfm.windows.reader import WindowReader
from brainfm.windows.sampler import Place

BATCH = 256


@dataclass(frozen=True, eq=False)
class StoredWindows:
    """Stands for a (window, channel, time) float32 array: has its shape, and reads what is indexed.

    An estimator that goes through its windows in batches needs not know the difference. One that wants an
    array of all is told what it would take.

    Attributes
    ----------
    reader
        of the store.
    sfreq
        sampling rate in Hz.
    recording
        (window,) id of the recording of each.
    start
        (window,) first sample. A window that passes an end goes on at the recording's other end.
    lengths
        samples of each recording.
    n_channels, n_times
        of every window.
    divisor
        (channel,) what the values are divided by.
    """

    reader: WindowReader
    sfreq: float
    recording: np.ndarray
    start: Int[np.ndarray, " window"]
    lengths: dict[str, int]
    n_channels: int
    n_times: int
    divisor: Float[np.ndarray, " channel"] | None = None

    dtype = np.dtype(np.float32)
    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Windows, channels and samples."""
        return len(self.start), self.n_channels, self.n_times

    @property
    def nbytes(self) -> int:
        """Bytes of the array that this stands for."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read the windows of ``rows``: a number, a slice, numbers or a mask."""
        chosen = np.arange(len(self))[rows]
        read = self._read(np.atleast_1d(chosen))
        return read[0] if np.ndim(chosen) == 0 else read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise UsageError(
            f"This estimator wants all {len(self):,} windows in one array of {self.nbytes / 1e9:.1f} GB, "
            "which is more than `memory` allows: raise it, or use an estimator that reads in batches."
        )

    def __truediv__(self, divisor: Float[np.ndarray, "channel 1"]) -> StoredWindows:
        """Divide every channel by a number, once it is read."""
        mine = np.ones(self.n_channels) if self.divisor is None else self.divisor
        return replace(self, divisor=mine * divisor[:, 0].astype(np.float64))

    def take(self, rows: np.ndarray) -> StoredWindows:
        """Return some of the windows, without reading them."""
        return replace(self, recording=self.recording[rows], start=self.start[rows])

    def std(self, axis: int = -1, dtype: Any = None) -> Float[np.ndarray, "window channel"]:
        """Return the standard deviation over time, reading a batch at a time."""
        if axis not in (-1, 2):
            raise UsageError(f"Stored windows have a deviation over time, not over axis {axis}.")
        parts = range(0, len(self), BATCH)
        return np.concatenate([self[i : i + BATCH].std(axis=-1, dtype=dtype) for i in parts])

    def load(self) -> Float32[np.ndarray, "window channel time"]:
        """Read all windows into one array."""
        whole = np.empty(self.shape, self.dtype)
        for i in range(0, len(self), BATCH):
            whole[i : i + BATCH] = self[i : i + BATCH]
        return whole

    def _read(self, rows: np.ndarray) -> Float32[np.ndarray, "window channel time"]:
        out = np.empty((len(rows), self.n_channels, self.n_times), self.dtype)
        stop = self.start[rows] + self.n_times
        ends = np.array([self.lengths[self.recording[i]] for i in rows], np.int64)
        inside = (self.start[rows] >= 0) & (stop <= ends)
        if inside.any():
            out[inside] = self._signal([self._place(i) for i in rows[inside].tolist()])
        for row in np.flatnonzero(~inside):
            out[row] = self._wrapped(int(rows[row]))
        if not np.isfinite(out).all():
            bad = int((~np.isfinite(out).all(axis=(1, 2))).sum())
            raise UsageError(f"{bad} windows hold NaN or infinity: clean the recordings first.")
        return out if self.divisor is None else out / self.divisor[:, None].astype(self.dtype)

    def _place(self, row: int) -> Place:
        start = int(self.start[row])
        return Place(self.recording[row], start, start + self.n_times)

    def _signal(self, places: list[Place]) -> Float32[np.ndarray, "window channel time"]:
        return self.reader.read(places, self.sfreq).signal.numpy()

    def _wrapped(self, row: int) -> Float32[np.ndarray, "channel time"]:
        """Read a window whose ends lie at both ends of its recording."""
        recording, end = self.recording[row], self.lengths[self.recording[row]]
        at, left, parts = int(self.start[row]) % end, self.n_times, []
        while left:
            stop = min(end, at + left)
            parts.append(self._signal([Place(recording, at, stop)])[0])
            at, left = 0, left - (stop - at)
        return np.concatenate(parts, axis=-1)
