"""Segments as text, a number a line, as the Bonn epilepsy data come.

Andrzejak et al. 2001, Phys. Rev. E 64:061907: one channel, 173.61 Hz, 12 bit, in microvolts.
"""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np

from brainfm.recordings.formats.reader import Reader
from brainfm.recordings.quarantine import Reason, Refused


class BonnText(Reader):
    """One channel of text.

    Parameters
    ----------
    sfreq
        sampling rate in Hz.
    unit
        volts of a 1 in the file.
    name
        of the channel; the data set does not tell the electrodes.
    """

    pattern = r".+\.txt"
    typed = True

    def __init__(self, sfreq: float = 173.61, unit: float = 1e-6, name: str = "EEG"):
        self.sfreq, self.unit, self.name = sfreq, unit, name

    def open(self, path: Path) -> mne.io.BaseRaw:
        """Open a segment."""
        try:
            values = np.loadtxt(path, dtype=float, ndmin=2)
        except ValueError as error:
            raise Refused(
                Reason.unknown_format,
                "It has lines that are no numbers; one number a line is wanted.",
            ) from error
        if values.shape[1] != 1:
            raise Refused(
                Reason.unknown_format,
                f"It has {values.shape[1]} numbers a line where one channel is wanted.",
            )
        info = mne.create_info([self.name], self.sfreq, "eeg")
        return mne.io.RawArray(values.T * self.unit, info, verbose="ERROR")
