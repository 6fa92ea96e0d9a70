"""One sampling rate for a recording whose file holds signals of several: EDF, BDF and GDF.

MNE brings every signal of such a file to the highest rate, each piece that is read by itself, so that samples
at the borders of pieces come out wrong. Here the signals that nobody wants are left out (EDF, BDF), and those
that still differ in rate are loaded whole, as MNE advises.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
from mne.io.edf.edf import RawBDF, RawEDF, RawGDF

from brainfm.recordings.formats import openers
from brainfm.recordings.formats.opening import cut_padding, quiet

_SEVERAL = (RawEDF, RawBDF, RawGDF)


def at_own_rate(raw: mne.io.BaseRaw, names: Sequence[str]) -> mne.io.BaseRaw:
    """Return a file at the highest rate among the signals wanted, whatever the others have.

    Parameters
    ----------
    raw
        a file that MNE opened.
    names
        the signals wanted, as the file names them; they are among the channels of what is returned.
    """
    if isinstance(raw, RawGDF) or not _is_raised(raw, names):
        return raw
    others = [name for name in raw.ch_names if name not in names]
    with quiet():
        open_file = openers.bdf if isinstance(raw, RawBDF) else openers.edf
        own = open_file(Path(raw.filenames[0] or ""), without=others)
    cut_padding(own)
    return own


def load_unlike(raw: mne.io.BaseRaw, names: Sequence[str]) -> mne.io.BaseRaw:
    """Return a file loaded whole where the signals wanted differ in rate, as it is elsewhere."""
    if not _is_raised(raw, names):
        return raw
    with quiet():
        return raw.copy().load_data()


def _is_raised(raw: mne.io.BaseRaw, names: Sequence[str]) -> bool:
    """Say whether MNE would bring any of the signals to a rate that is not its own."""
    if raw.preload or not isinstance(raw, _SEVERAL):
        return False
    extras = raw._raw_extras[0]
    rows = extras["sel"][[raw.ch_names.index(name) for name in names]]
    return bool((np.asarray(extras["n_samps"])[rows] != extras["max_samp"]).any())
