"""Channel labels as files write them, brought to one vocabulary.

Rules, in order; `docs/sensors.md` shows them at work and is checked by the tests:

1. ``EEG``, ``POL`` in front and dots behind are taken off; case is ignored; blanks around a hyphen too.
2. A name of the template montage is that electrode. T3, T4, T5, T6 become T7, T8, P7, P8.
3. A reference behind it (``-REF``, ``-LE``, ``-AVG``, ``-A2``, …) is taken off and remembered.
4. Two electrodes are a derivation, both sides by rule 2: ``FP1-F7`` is Fp1-F7, measured against F7. One
   ear or mastoid against the other is none: it is not scalp EEG.
5. A running number behind (``T8-P8-1``), by which MNE tells equal labels apart, is taken off.
6. All else is no electrode, and only its words can say what it is: ECG, EOG, EMG.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import mne
import numpy as np
from jaxtyping import Float

from brainfm.errors import UsageError
from brainfm.recordings.recording import MODERN

EARS = ("A1", "A2", "M1", "M2")
"""Electrodes that measure the head as a whole rather than a place on the scalp."""

REFERENCES = {
    "REF": None,
    **dict.fromkeys(("LE", "A1A2", "A1+A2"), "linked ears"),
    **dict.fromkeys(("M1M2", "M1+M2"), "linked mastoids"),
    **dict.fromkeys(("AR", "AV", "AVG", "AVE", "CAR"), "average"),
    **{ear: ear for ear in EARS},
}
"""What stands behind a hyphen and is no electrode of the scalp, and what it says of the reference."""

_PREFIX = re.compile(r"^(EEG|POL)[ _]+", re.IGNORECASE)
_BY_WORD = {
    "ecg": re.compile(r"(\b|_)(ECG|EKG)", re.IGNORECASE),
    "eog": re.compile(
        r"(\b|_)([HVLR]?EOG[HVLR]?|LOC|ROC)(\b|\d|_|[UD]\b)|^E[12]-[AM][12]$", re.IGNORECASE
    ),
    "emg": re.compile(r"(\b|_)(EMG|CHIN)", re.IGNORECASE),
}


@dataclass(frozen=True)
class Label:
    """What a channel's label says.

    Attributes
    ----------
    electrodes
        one electrode of the template, or the two of a derivation.
    reference
        what it is measured against, None where the label does not say.
    """

    electrodes: tuple[str, ...]
    reference: str | None = None

    @property
    def name(self) -> str:
        """Return the name in our vocabulary."""
        return "-".join(self.electrodes)


def read_label(label: str, montage: str = "standard_1005") -> Label | None:
    """Return what a label says, None where it is no electrode and no derivation.

    Parameters
    ----------
    label
        as a file has it: ``EEG FP1-REF``, ``Fc5.``, ``T3``, ``FP1-F7``.
    montage
        MNE's name of the template whose electrodes are known.
    """
    bare = _PREFIX.sub("", label.strip()).strip(" .")
    found = _read(bare, montage)
    if found is None and re.search(r"-\d+$", bare):
        found = _read(re.sub(r"-\d+$", "", bare), montage)
    return found


def normalise_name(name: str, montage: str = "standard_1005") -> str | None:
    """Return the electrode's or derivation's name in our vocabulary, or None where it is neither.

    Examples
    --------
    >>> normalise_name("EEG FP1-REF"), normalise_name("T3-P3"), normalise_name("A2-A1")
    ('Fp1', 'T7-P3', None)
    """
    found = read_label(name, montage)
    return found.name if found is not None else None


def kind_by_word(name: str) -> str:
    """Return the kind that the words of a label say, ``misc`` where they say none."""
    return next((kind for kind, word in _BY_WORD.items() if word.search(name)), "misc")


def _read(bare: str, montage: str) -> Label | None:
    whole = _electrode(bare, montage)
    if whole is not None:
        return Label((whole,))
    left, hyphen, right = (part.strip() for part in bare.partition("-"))
    first = _electrode(left, montage)
    if not hyphen or first is None or (first in EARS and right.upper() in EARS):
        return None
    if right.upper() in REFERENCES:
        return Label((first,), REFERENCES[right.upper()])
    second = _electrode(right, montage)
    return Label((first, second), second) if second is not None and second != first else None


def _electrode(name: str, montage: str) -> str | None:
    found = _known(montage).get(name.casefold())
    return MODERN.get(found, found) if found is not None else None


@cache
def _known(montage: str) -> dict[str, str]:
    return {name.casefold(): name for name in template_positions(montage)}


@cache
def template_positions(montage: str) -> dict[str, Float[np.ndarray, " xyz"]]:
    """Return the position of each electrode of a template, in metres, head frame.

    Raises
    ------
    UsageError
        If MNE has no such template.
    """
    # MNE 1.13 renamed its standard montages after their head; 1.14 drops the old names.
    renamed = montage.replace("standard_", "colin27_")
    builtin = mne.channels.get_builtin_montages()
    try:
        template = mne.channels.make_standard_montage(renamed if renamed in builtin else montage)
    except ValueError as error:
        raise UsageError(
            f"The montage {montage!r} is none of MNE's templates; they are {', '.join(builtin)}."
        ) from error
    info = mne.create_info(template.ch_names, 1.0, "eeg").set_montage(template)
    return {c["ch_name"]: np.array(c["loc"][:3], dtype=float) for c in info["chs"]}
