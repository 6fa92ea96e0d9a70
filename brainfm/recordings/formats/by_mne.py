r"""Formats that MNE reads and no test here has met a file of: read all the same, on the user's word.

A recipe names the files: ``reader: {class_path: ByMne, init_args: {pattern: '.+\.nedf'}}``. Whether a file
is whole is not known, and a unit that MNE does not know may come out wrong by a factor: the amplitudes are
checked as in any other format, and the recipe's ``unit_scale`` mends it.
"""

from __future__ import annotations

from pathlib import Path

import mne

from brainfm.recordings.formats import parts
from brainfm.recordings.formats.reader import Reader


class ByMne(Reader):
    """Opens what `mne.io.read_raw` opens.

    Parameters
    ----------
    pattern
        regular expression that the whole name of a recording matches, in any case.
    folder
        True where a recording is a folder.
    """

    typed = True

    def __init__(self, pattern: str, *, folder: bool = False):
        self.pattern, self.folder = pattern, folder

    def open(self, path: Path) -> mne.io.BaseRaw:
        """Load a whole recording: not all of these readers can read a piece of one."""
        return mne.io.read_raw(path, preload=True, verbose="error")

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return the file, or all files in the folder."""
        return parts.inside(path) if self.folder else parts.alone(path)
