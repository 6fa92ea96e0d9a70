"""SHU motor imagery as published: a MATLAB file a session, with trials that were cut and filtered already.

Ma et al., "A large EEG dataset for studying cross-session variability in motor imagery brain-computer
interface", Scientific Data 9:531, 2022: ``data`` (trial, 32, 1000) in microvolts at 250 Hz, and ``labels``
(1, trial), 1 for the left hand and 2 for the right one. The electrodes stand in the paper, not in the file.
"""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
from scipy.io import loadmat
from scipy.signal import resample

from brainfm.recordings.formats.reader import Reader
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recording import BOUNDARY

ELECTRODES = (
    *("Fp1", "Fp2", "Fz", "F3", "F4", "F7", "F8", "FC1", "FC2", "FC5", "FC6", "Cz", "C3", "C4"),
    *("T3", "T4", "A1", "A2", "CP1", "CP2", "CP5", "CP6", "Pz", "P3", "P4", "T5", "T6", "PO3"),
    *("PO4", "Oz", "O1", "O2"),
)
HANDS = {1: "left_hand", 2: "right_hand"}
SFREQ = 250.0
SECONDS = 4.0


class ShuMat(Reader):
    """The trials of a session, one behind another, each annotated with its hand.

    They were recorded with pauses: a filter of the recipe would smear one trial into the next, and so would
    a change of rate. Each trial is therefore brought to the wanted rate by itself, by Fourier's method as
    CBraMod does, and recipes leave the band open.

    Parameters
    ----------
    sfreq
        wanted sampling rate in Hz, which is to be the recipe's.
    unit
        volts of a 1 in the file.
    """

    pattern = r"sub-\d+_ses-\d+_task_motorimagery_eeg\.mat"

    def __init__(self, sfreq: float = 200.0, unit: float = 1e-6):
        self.sfreq, self.unit = sfreq, unit

    def open(self, path: Path) -> mne.io.BaseRaw:
        """Open a session."""
        data, labels = _trials(path)
        each = resample(data, round(SECONDS * self.sfreq), axis=2) * self.unit
        joined = np.ascontiguousarray(each.transpose(1, 0, 2)).reshape(len(ELECTRODES), -1)
        raw = mne.io.RawArray(
            joined, mne.create_info(list(ELECTRODES), self.sfreq, "eeg"), verbose="ERROR"
        )
        starts = SECONDS * np.arange(len(labels))
        trials = mne.Annotations(starts, SECONDS, [HANDS[label] for label in labels])
        return raw.set_annotations(trials + mne.Annotations(starts[1:], 0.0, BOUNDARY))


def _trials(path: Path) -> tuple[np.ndarray, list[int]]:
    """Return (trial, electrode, time) and the trials' labels, or refuse another layout."""
    try:
        held = loadmat(path, variable_names=["data", "labels"])
    except Exception as error:  # scipy raises whatever the damage leads it to
        raise Refused(
            Reason.damaged, "It is no whole MATLAB file of version 5 to 7; download it anew."
        ) from error
    data, labels = held.get("data"), held.get("labels")
    wanted = (len(ELECTRODES), round(SECONDS * SFREQ))
    if data is None or data.ndim != 3 or data.shape[1:] != wanted or data.dtype.kind not in "iuf":
        found = "none" if data is None else f"one of shape {data.shape}"
        raise Refused(
            Reason.unknown_format,
            f"It has {found} where an array `data` of shape (trial, {wanted[0]}, {wanted[1]}) is wanted.",
        )
    known = [] if labels is None else labels.ravel().tolist()
    if len(known) != len(data) or not set(known) <= set(HANDS):
        raise Refused(
            Reason.bad_labels,
            f"It has {len(known)} labels for {len(data)} trials, where a 1 or 2 for each is wanted.",
        )
    return data, known
