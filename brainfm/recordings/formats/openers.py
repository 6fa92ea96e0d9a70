"""How MNE opens each format, and where it needs to be told something.

Every function takes the path of the recording and returns MNE's `Raw` without loading the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np

from brainfm.recordings.formats.whole import ctf_trials
from brainfm.recordings.quarantine import Reason, Refused


def edf(path: Path, *, without: Sequence[str] = ()) -> mne.io.BaseRaw:
    """Open EDF or EDF+, ``without`` some of its signals."""
    return _timed(
        mne.io.read_raw_edf(path, exclude=without, exclude_after_unique=True, verbose="ERROR")
    )


def bdf(path: Path, *, without: Sequence[str] = ()) -> mne.io.BaseRaw:
    """Open BDF or BDF+, ``without`` some of its signals."""
    return _timed(
        mne.io.read_raw_bdf(path, exclude=without, exclude_after_unique=True, verbose="ERROR")
    )


def _timed(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
    """Set the rate by which samples are counted: where triggers are the fastest MNE names another."""
    extras = raw._raw_extras[0]
    with raw.info._unlock():
        raw.info["sfreq"] = float(extras["max_samp"] / extras["record_length"][0])
    return raw


def gdf(path: Path) -> mne.io.BaseRaw:
    """Open GDF."""
    return mne.io.read_raw_gdf(path, verbose="ERROR")


def fif(path: Path) -> mne.io.BaseRaw:
    """Open FIF; data that MaxFilter has to mend first are refused."""
    raw = mne.io.read_raw_fif(path, allow_maxshield="yes", verbose="ERROR")
    if raw.info.get("maxshield"):
        raise Refused(
            Reason.active_shielding,
            "It was recorded with internal active shielding, which distorts it; "
            "run MaxFilter on it first.",
        )
    return raw


def brainvision(path: Path) -> mne.io.BaseRaw:
    """Open a BrainVision header with its data and markers."""
    return mne.io.read_raw_brainvision(path, verbose="ERROR")


def eeglab(path: Path) -> mne.io.BaseRaw:
    """Open a continuous EEGLAB data set."""
    return mne.io.read_raw_eeglab(path, verbose="ERROR")


def ctf(path: Path) -> mne.io.BaseRaw:
    """Open a CTF folder; trials between which time passed are refused, which MNE joins."""
    raw = mne.io.read_raw_ctf(path, verbose="ERROR")
    clocks = [i for i, name in enumerate(raw.ch_names) if name.startswith("SCLK01")]
    samples, _, trials = ctf_trials(path)
    for border in range(samples, min(samples * trials, raw.n_times), samples) if clocks else ():
        before, after = raw[clocks[0], border - 1 : border + 1][0][0]
        if abs(after - before - 1 / raw.info["sfreq"]) > 0.5 / raw.info["sfreq"]:
            raise Refused(
                Reason.discontinuous,
                f"Its trials of {samples / raw.info['sfreq']:g} s were recorded with pauses; "
                "a continuous recording is wanted.",
            )
    return raw


def kit(path: Path) -> mne.io.BaseRaw:
    """Open KIT, with the head's place where markers and digitised points lie beside."""
    places = [path.with_suffix(suffix) for suffix in (".mrk", ".elp", ".hsp")]
    if all(place.is_file() for place in places):
        mrk, elp, hsp = places
        return mne.io.read_raw_kit(path, mrk=mrk, elp=elp, hsp=hsp, verbose="ERROR")
    return mne.io.read_raw_kit(path, verbose="ERROR")


def bti(path: Path) -> mne.io.BaseRaw:
    """Open a 4D processed data file with its ``config`` and, where there is one, ``hs_file``."""
    head = path.with_name("hs_file")
    return mne.io.read_raw_bti(
        path,
        path.with_name("config"),
        head if head.is_file() else None,
        sort_by_ch_name=False,
        verbose="ERROR",
    )


def egi(path: Path) -> mne.io.BaseRaw:
    """Open an MFF folder or a simple binary file."""
    return mne.io.read_raw_egi(path, events_as_annotations=True, verbose="ERROR")


def cnt(path: Path) -> mne.io.BaseRaw:
    """Open Neuroscan CNT, in the width of its samples that fits the size of the file."""
    try:
        return mne.io.read_raw_cnt(path, data_format="auto", verbose="ERROR")
    except RuntimeError:
        return mne.io.read_raw_cnt(path, data_format="int16", verbose="ERROR")


def ant(path: Path) -> mne.io.BaseRaw:
    """Open an ANT Neuro file."""
    return mne.io.read_raw_ant(path, verbose="ERROR")


def nihon(path: Path) -> mne.io.BaseRaw:
    """Open a Nihon Kohden file."""
    return mne.io.read_raw_nihon(path, verbose="ERROR")


def persyst(path: Path) -> mne.io.BaseRaw:
    """Open a Persyst layout with its data."""
    return mne.io.read_raw_persyst(path, verbose="ERROR")


def nicolet(path: Path) -> mne.io.BaseRaw:
    """Open Nicolet data with the header beside; the format says nothing of the channels' types."""
    return mne.io.read_raw_nicolet(path, ch_type="eeg", verbose="ERROR")


def eximia(path: Path) -> mne.io.BaseRaw:
    """Open eXimia; MNE gives its microvolts as volts."""
    raw = mne.io.read_raw_eximia(path, verbose="ERROR")
    electrodes = [t in ("eeg", "eog") for t in raw.get_channel_types()]
    # MNE's calibration of an electrode is 0.08 or 0.4 a step, which only microvolts can be.
    raw._cals[np.array(electrodes) & (raw._cals > 1e-3)] *= 1e-6
    return raw


def curry(path: Path) -> mne.io.BaseRaw:
    """Open Curry 7 or 8."""
    return mne.io.read_raw_curry(path, verbose="ERROR")
