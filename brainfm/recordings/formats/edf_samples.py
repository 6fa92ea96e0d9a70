"""EDF and BDF samples straight from the file's records, as 16 or 24 bit numbers.

A file is an array (record, samples of signal 0, samples of signal 1, …) behind its header. What
the numbers mean is checked against MNE at the file's begin and end. Format: Kemp et al. 1992,
Electroenceph. Clin. Neurophysiol. 82:391-393.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
from jaxtyping import Float32, Float64, Int
from mne.io.edf.edf import RawBDF, RawEDF

from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.samples import RawSamples, Samples

_WIDTH = {".edf": 2, ".bdf": 3}
_VOLTS = {b"uV": 1e-6, b"\xb5V": 1e-6, b"mV": 1e-3}
_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "low": 8, "high": 8, "least": 8, "most": 8}
_FIELDS |= {"filter": 80, "samples": 8}


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the wanted signals stand in a record and what their numbers mean.

    Attributes
    ----------
    begin
        bytes before the first record.
    width
        bytes of a number: 2 or 3.
    record
        numbers in a record.
    first
        (channel,) where each wanted signal begins in a record.
    n_samples
        numbers of each wanted signal in a record.
    gain
        (channel,) volts of one step.
    zero
        (channel,) the number that is 0 V.
    least, most
        (channel,) the ends of the recorder's range.
    """

    begin: int
    width: int
    record: int
    first: Int[np.ndarray, " channel"]
    n_samples: int
    gain: Float64[np.ndarray, " channel"]
    zero: Float64[np.ndarray, " channel"]
    least: Float64[np.ndarray, " channel"]
    most: Float64[np.ndarray, " channel"]


class EdfSamples(Samples):
    """The samples of an EDF or BDF file whose wanted signals have one sampling rate.

    Parameters
    ----------
    path
        of the file.
    layout
        of its records.
    sfreq
        sampling rate in Hz.
    n_times
        samples a channel.
    """

    def __init__(self, path: Path, layout: Layout, *, sfreq: float, n_times: int):
        self._path, self._layout = path, layout
        self.sfreq, self.n_times = sfreq, n_times
        first = self._records(0, 1)[0]
        # A whole number, so that taking it away is exact.
        self._middle = np.array([np.round(np.median(first[part])) for part in self._parts()])
        self.offset = (self._middle - layout.zero) * layout.gain
        ends = np.stack([layout.least + 0.5, layout.most - 0.5], axis=1) - self._middle[:, None]
        self.limits = np.sort(ends * layout.gain[:, None], axis=1)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "channel time"]:
        """Return samples ``start`` to ``stop``, less ``offset``."""
        size = self._layout.n_samples
        first, last = start // size, -(-stop // size)
        records = self._records(first, last)
        out = np.empty((len(self.offset), last - first, size), np.float32)
        steps = zip(self._parts(), self._middle, self._layout.gain, out, strict=True)
        for part, middle, gain, row in steps:
            # 24 bits are whole numbers in float32.
            np.subtract(records[:, part], np.float32(middle), out=row, dtype=np.float32)
            row *= np.float32(gain)
        return out.reshape(len(out), -1)[:, start - first * size : stop - first * size]

    def _parts(self) -> list[slice]:
        return [slice(int(i), int(i) + self._layout.n_samples) for i in self._layout.first]

    def _records(self, first: int, last: int) -> Int[np.ndarray, "record number"]:
        layout = self._layout
        size = layout.record * layout.width
        with self._path.open("rb") as file:
            file.seek(layout.begin + first * size)
            data = file.read((last - first) * size)
        if len(data) < (last - first) * size:
            raise Refused(Reason.truncated, "It became shorter while it was read; call again.")
        return _decode(data, layout.width).reshape(last - first, layout.record)


def read_edf(raw: mne.io.BaseRaw, names: Sequence[str]) -> EdfSamples | None:
    """Return a reader of an EDF or BDF file that MNE opened, or None where MNE has to read it.

    MNE reads it where the wanted signals differ in rate or their numbers come out differently.
    """
    if not isinstance(raw, RawEDF | RawBDF):
        return None
    path, extras = Path(raw.filenames[0] or ""), raw._raw_extras[0]
    layout = _read_layout(path, extras["sel"][[raw.ch_names.index(name) for name in names]])
    if layout is None or layout.n_samples != extras["max_samp"] or raw.n_times % layout.n_samples:
        return None
    ours = EdfSamples(path, layout, sfreq=float(raw.info["sfreq"]), n_times=int(raw.n_times))
    return ours if _agree(ours, RawSamples(raw, names), layout.gain) else None


def _read_layout(path: Path, rows: Int[np.ndarray, " channel"]) -> Layout | None:
    """Return where the signals ``rows`` of a file stand, None where they differ in rate."""
    with path.open("rb") as file:
        n_signals = int(file.read(256)[252:])
        fields = {k: [file.read(n) for _ in range(n_signals)] for k, n in _FIELDS.items()}
    samples = np.array(fields["samples"], dtype=int)
    if len(set(samples[rows])) > 1:
        return None
    low, high, least, most = (
        np.array(fields[k], dtype=float)[rows] for k in ("low", "high", "least", "most")
    )
    volts = np.array([_VOLTS.get(fields["unit"][row].strip(), 1.0) for row in rows])
    gain = (high - low) / (most - least)
    return Layout(
        begin=256 * (n_signals + 1),
        width=_WIDTH[path.suffix.lower()],
        record=int(samples.sum()),
        first=(np.cumsum(samples) - samples)[rows],
        n_samples=int(samples[rows[0]]),
        gain=gain * volts,
        zero=least - low / gain,
        least=least,
        most=most,
    )


def _decode(data: bytes, width: int) -> Int[np.ndarray, " number"]:
    if width == 2:
        return np.frombuffer(data, "<i2")
    # The three bytes become the upper three of four, so that the sign is where it belongs.
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return wide.view("<i4")[:, 0] >> 8


def _agree(ours: EdfSamples, theirs: RawSamples, gain: Float64[np.ndarray, " channel"]) -> bool:
    """Tell whether both give the same to a hundredth of a step, at the begin and at the end."""
    size = min(ours.n_times, 1000)
    for start in (0, ours.n_times - size):
        got = ours.read(start, start + size) + ours.offset[:, None]
        wanted = theirs.read(start, start + size) + theirs.offset[:, None]
        if (np.abs(got - wanted).max(axis=1) > np.abs(gain) / 100 + 1e-6 * np.ptp(wanted)).any():
            return False
    return True
