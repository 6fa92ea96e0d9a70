"""Clinical EEG in HDF5, laid out as eeghdf does: EDF's calibration over one int16 array.

``record-0/signals`` (channel, time) with the physical and digital range of each channel, labels, and EDF
annotations in 100 ns. The groups ``patient`` and the dates are not read. Needs h5py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.recordings.formats.reader import Reader
from brainfm.recordings.quarantine import Reason, Refused

_VOLTS = {"uV": 1e-6, "µV": 1e-6, "mV": 1e-3, "V": 1.0}


class Eeghdf(Reader):
    """Reads an eeghdf file.

    Parameters
    ----------
    record
        the group that holds the recording.
    """

    pattern = r".+\.(h5|hdf5|hdf|eeghdf)"

    def __init__(self, record: str = "record-0"):
        self.record = record

    def open(self, path: Path) -> mne.io.BaseRaw:
        """Open a recording without loading its samples."""
        import h5py

        try:
            with h5py.File(path, "r") as file:
                return _EeghdfRaw(path, file[self.record], self.record)
        except (KeyError, OSError) as error:
            raise Refused(
                Reason.damaged,
                f"It is no whole HDF5 file with a group {self.record} of signals, labels and ranges.",
            ) from error


class _EeghdfRaw(mne.io.BaseRaw):
    """MNE's way to read samples on demand: `BaseRaw` asks for segments."""

    def __init__(self, path: Path, record: Any, name: str):
        labels = [label.decode() for label in record["signal_labels"][:]]
        units = [unit.decode() for unit in record["physical_dimensions"][:]]
        n_channels, n_times = record["signals"].shape
        if len(labels) != n_channels or not n_times:
            raise KeyError("labels")
        low, high, least, most = (
            np.asarray(record[f"signal_{end}"][:], dtype=float)
            for end in ("physical_mins", "physical_maxs", "digital_mins", "digital_maxs")
        )
        volts = np.array([_VOLTS.get(unit, np.nan) for unit in units])
        gain = (high - low) / (most - least) * volts
        zero = low * volts - least * gain
        # A channel that measures no voltage has no gain to volts: its numbers stay as they are.
        measured = np.isfinite(gain)
        gain, zero = np.where(measured, gain, 1.0), np.where(measured, zero, 0.0)
        kinds = np.where(measured, "eeg", "misc").tolist()
        # Written as a quotient: 200.00000000000003 Hz, which would be resampled to 200.
        sfreq = float(f"{record.attrs['sample_frequency']:.9g}")
        info = mne.create_info(labels, sfreq, kinds)
        super().__init__(
            info,
            last_samps=(n_times - 1,),
            filenames=(path,),
            raw_extras=({"name": name, "gain": gain, "zero": zero},),
            verbose="ERROR",
        )
        self.set_annotations(_annotations(record))

    # The types are MNE's business: it hands over its own and numpy's.
    def _read_segment_file(
        self, data: Any, idx: Any, fi: Any, start: Any, stop: Any, cals: Any, mult: Any
    ) -> None:
        import h5py
        from mne._fiff.utils import _mult_cal_one

        extra = self._raw_extras[fi]
        with h5py.File(self.filenames[fi], "r") as file:
            block = file[extra["name"]]["signals"][:, start:stop].astype(float)
        block = block * extra["gain"][:, None] + extra["zero"][:, None]
        _mult_cal_one(data, block, idx, cals, mult)


def _annotations(record: Any) -> mne.Annotations:
    if "edf_annotations" not in record:
        return mne.Annotations([], [], [])
    marks = record["edf_annotations"]
    durations = [float(text.decode() or 0) for text in marks["durations_char16"][:]]
    texts = [text.decode("utf-8", "replace") for text in marks["texts"][:]]
    return mne.Annotations(marks["starts_100ns"][:] * 1e-7, durations, texts)
