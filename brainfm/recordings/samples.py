"""The samples of an opened file, read from any place in bounded memory.

MNE is the authority on every format. Plain EDF and BDF have a faster way to the same numbers in
`brainfm.recordings.formats.edf_samples`, used only where it gives what MNE gives.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import mne
import numpy as np
from jaxtyping import Float, Float32, Float64

PIECE_BYTES = 2_000_000
"""What is read at once, as float32: what is copied next is then still in the processor's cache."""


class Samples(ABC):
    """Some channels of a file, in SI units.

    Attributes
    ----------
    sfreq
        sampling rate in Hz.
    n_times
        samples a channel.
    offset
        (channel,) what was taken away from each channel before its rounding to float32, so that an
        electrode's standing voltage costs no precision.
    limits
        (channel, 2) what lies below the first or above the second was recorded at the end of the
        recorder's range, ``offset`` taken away; NaN where the format does not tell.
    """

    sfreq: float
    n_times: int
    offset: Float64[np.ndarray, " channel"]
    limits: Float64[np.ndarray, "channel 2"]

    @abstractmethod
    def read(self, start: int, stop: int) -> Float32[np.ndarray, "channel time"]:
        """Return samples ``start`` to ``stop``, less ``offset``."""


class RawSamples(Samples):
    """The samples of some channels of an MNE raw, which need not be preloaded.

    Parameters
    ----------
    raw
        an opened file.
    names
        the channels wanted, as the file names them.
    """

    def __init__(self, raw: mne.io.BaseRaw, names: Sequence[str]):
        self._raw = raw
        self._rows = np.array([raw.ch_names.index(name) for name in names])
        self.sfreq = float(raw.info["sfreq"])
        self.n_times = int(raw.n_times)
        self.limits = np.full((len(names), 2), np.nan)
        self.offset = np.median(self._read(0, min(self.n_times, round(self.sfreq) + 1)), axis=1)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "channel time"]:
        """Return samples ``start`` to ``stop``, less ``offset``."""
        return (self._read(start, stop) - self.offset[:, None]).astype(np.float32)

    def _read(self, start: int, stop: int) -> Float64[np.ndarray, "channel time"]:
        # MNE warns of what was looked at when the file was opened.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self._raw[self._rows, start:stop][0], dtype=np.float64)


def read_pieces(
    samples: Samples, *, multiple: int = 1
) -> Iterator[Float32[np.ndarray, "channel piece"]]:
    """Read a file from its first sample to its last.

    Parameters
    ----------
    samples
        of the file.
    multiple
        the length of every piece but the last is a multiple of it.
    """
    wanted = PIECE_BYTES // (4 * len(samples.offset) * multiple)
    size = multiple * max(wanted, 1)
    for start in range(0, samples.n_times, size):
        yield samples.read(start, min(start + size, samples.n_times))


def read_segments(
    samples: Samples, *, seconds: float, count: int, n_bytes: int
) -> list[Float[np.ndarray, "channel segment"]]:
    """Read segments spread evenly over a file: ``count``, fewer where ``n_bytes`` would not do.

    A file that is shorter than one segment is one segment; four are read of a very wide one.
    """
    size = min(round(seconds * samples.sfreq), samples.n_times)
    affordable = max(n_bytes // (4 * len(samples.offset) * size), 4)
    n_segments = max(min(count, affordable, samples.n_times // size), 1)
    starts = np.linspace(0, samples.n_times - size, n_segments).astype(int)
    return [samples.read(int(start), int(start) + size) for start in starts]


class ScaledSamples(Samples):
    """Samples whose unit is put right by a factor.

    Parameters
    ----------
    samples
        in the file's unit.
    scale
        factor to SI units.
    """

    def __init__(self, samples: Samples, scale: float):
        self._samples, self._scale = samples, scale
        self.sfreq, self.n_times = samples.sfreq, samples.n_times
        self.offset = samples.offset * scale
        self.limits = np.sort(samples.limits * scale, axis=1)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "channel time"]:
        """Return samples ``start`` to ``stop``, less ``offset``."""
        return self._samples.read(start, stop) * np.float32(self._scale)
