"""The plug-in point for formats that MNE does not read, such as HDF5 files of one hospital's own layout.

A recipe names a class, brainfm's or anyone's: ``reader: Eeghdf`` or ``reader: {class_path: mylab.Ours}``.
It opens one recording as an MNE ``Raw``; names, units, cleaning, privacy and the store follow as for any
other format. `docs/formats.md` shows one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import mne


class Reader(ABC):
    """Opens the recordings of one layout.

    Attributes
    ----------
    pattern
        regular expression that the whole name of a recording's file matches, in any case.
    typed
        True where ``open`` states what each channel is; else the channels' names decide.
    folder
        True where a recording is a folder.
    """

    pattern: str
    typed: bool = False
    folder: bool = False

    @abstractmethod
    def open(self, path: Path) -> mne.io.BaseRaw:
        """Open a recording in V, T and T/m, without loading the data where it is long.

        Raises
        ------
        Refused
            If the file is not whole or cannot be trusted.
        """

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return all files of the recording, the one that is opened first."""
        return (path,)
