"""Channel names, kinds and positions that can be trusted.

Rules, in order:

1. The recipe's ``rename``, ``types`` and ``drop`` win.
2. Where the format states a channel's type (FIF), the type holds; MEG kinds follow the coil type,
   because MNE calls axial gradiometers magnetometers.
3. EDF and BDF state no type. A name that is an electrode of the template montage is EEG, after the
   prefix ``EEG``, trailing dots and a reference (``-REF``, ``-LE``, ``-A2``, …) are taken off and
   case is ignored. T3, T4, T5, T6 become T7, T8, P7, P8. Names that say ECG, EOG or EMG are that.
   All else is ``misc``: a derivation between two electrodes (``Fp1-F7``, ``A2-A1``) has no one
   place and is not scalp EEG.
"""

from __future__ import annotations

import re
from functools import cache

import mne
import numpy as np
from jaxtyping import Float
from mne.io.constants import FIFF

from brainfm.errors import UsageError
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Sensors

MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
"""10-20 names that the 10-10 system replaced, and what replaced them."""

HEAD_RADIUS = 0.3
"""No sensor is further than this from the head's origin, in metres; more is a wrong unit."""

_REFERENCE = re.compile(r"-(REF|LE|AR|AVG?|A1|A2|M1|M2|A1A2|M1M2)$", re.IGNORECASE)
_PREFIX = re.compile(r"^EEG[ _]+", re.IGNORECASE)
_BY_WORD = {
    "ecg": re.compile(r"\b(ECG|EKG)", re.IGNORECASE),
    "eog": re.compile(r"\b(EOG|HEOG|VEOG|LOC|ROC)(\b|\d|[LRUD]\b)", re.IGNORECASE),
    "emg": re.compile(r"\bEMG", re.IGNORECASE),
}

_PLANAR = ("NM_122", "VV_PLANAR_W", *(f"VV_PLANAR_T{i}" for i in range(1, 5)))
_AXIAL = (
    *("AXIAL_GRAD_5CM", "MAGNES_GRAD", "CTF_GRAD", "KIT_GRAD", "BABY_GRAD", "ARTEMIS123_GRAD"),
    *("KRISS_GRAD", "COMPUMEDICS_ADULT_GRAD", "COMPUMEDICS_PEDIATRIC_GRAD", "NM_24"),
)
_COILS = {
    **{int(FIFF[f"FIFFV_COIL_{name}"]): "grad_planar" for name in _PLANAR},
    **{int(FIFF[f"FIFFV_COIL_{name}"]): "grad_axial" for name in _AXIAL},
}
_MNE_KINDS = ("eeg", "ref_meg", "ecog", "seeg", "eog", "ecg", "emg")
_MEG = ("mag", "grad_planar", "grad_axial", "ref_meg")


def normalise_name(name: str, montage: str = "standard_1005") -> str | None:
    """Return the electrode's name in the template montage, or None where it is none of them.

    Parameters
    ----------
    name
        as a file has it: ``EEG FP1-REF``, ``Fc5.``, ``T3``.
    montage
        MNE's name of the template.

    Examples
    --------
    >>> normalise_name("EEG FP1-REF"), normalise_name("T3"), normalise_name("A2-A1")
    ('Fp1', 'T7', None)
    """
    known = {n.casefold(): n for n in template_positions(montage)}
    bare = _PREFIX.sub("", name.strip()).strip(" .")
    if bare.casefold() not in known:
        # MNE tells equal labels apart by a running number: Fp1-0, Fp1-1.
        bare = re.sub(r"-\d+$", "", bare)
        scalp = _REFERENCE.sub("", bare)
        bare = bare if scalp.casefold() in ("a1", "a2", "m1", "m2") else scalp
    found = known.get(bare.casefold())
    return MODERN.get(found, found) if found is not None else None


def read_sensors(info: mne.Info, recipe: Recipe, *, typed: bool) -> tuple[Sensors, tuple[str, ...]]:
    """Return the sensors to keep, and the names that the file has for them.

    Parameters
    ----------
    info
        of the file.
    recipe
        rename, types, drop, kinds and montage are used.
    typed
        True where the file's format states what each channel is.

    Raises
    ------
    Refused
        If nothing is left, or two channels come to the same name.
    """
    dropped = set(recipe.drop)
    originals, names, kinds, channels = [], [], [], []
    for channel, mne_type in zip(info["chs"], info.get_channel_types(), strict=True):
        original = channel["ch_name"]
        name, kind = _identify(original, channel, mne_type, recipe=recipe, typed=typed)
        if kind in recipe.kinds and not {original, name} & dropped:
            originals.append(original)
            names.append(name)
            kinds.append(kind)
            channels.append(channel)
    _refuse_none(names, info["ch_names"], recipe)
    _refuse_duplicates(names, originals)
    places = [
        _place(name, kind, channel, info["dev_head_t"], recipe.montage)
        for name, kind, channel in zip(names, kinds, channels, strict=True)
    ]
    position, orientation, source = zip(*places, strict=True)
    sensors = Sensors(
        tuple(names), tuple(kinds), np.stack(position), np.stack(orientation), tuple(source)
    )
    return sensors, tuple(originals)


def _identify(
    original: str, channel: dict, mne_type: str, *, recipe: Recipe, typed: bool
) -> tuple[str, str]:
    renamed = recipe.rename.get(original, original)
    electrode = normalise_name(renamed, recipe.montage)
    name = electrode or renamed.strip()
    for key in (original, name):
        if key in recipe.types:
            return name, recipe.types[key]
    if mne_type in ("mag", "grad"):
        return original, _COILS.get(int(channel["coil_type"]), "mag")
    if mne_type == "stim":
        return name, "misc"
    if typed:
        return name, mne_type if mne_type in _MNE_KINDS else "misc"
    return name, "eeg" if electrode else _kind_by_word(renamed)


def _kind_by_word(name: str) -> str:
    return next((kind for kind, word in _BY_WORD.items() if word.search(name)), "misc")


def _refuse_none(names: list[str], in_file: list[str], recipe: Recipe) -> None:
    if not names:
        shown = ", ".join(in_file[:6]) + (", …" if len(in_file) > 6 else "")
        raise Refused(
            Reason.no_signal_channels,
            f"None of its {len(in_file)} channels ({shown}) is of the kinds "
            f"{', '.join(recipe.kinds)}; name them with the recipe's rename, types or montage.",
        )


def _refuse_duplicates(names: list[str], originals: list[str]) -> None:
    by_name: dict[str, list[str]] = {}
    for name, original in zip(names, originals, strict=True):
        by_name.setdefault(name, []).append(original)
    for name, same in by_name.items():
        if len(same) > 1:
            raise Refused(
                Reason.duplicate_channels,
                f"The channels {', '.join(same)} are all {name}; one is wanted: "
                "name the others in the recipe's drop or rename.",
            )


_Place = tuple[Float[np.ndarray, " xyz"], Float[np.ndarray, " xyz"], str]


def _place(name: str, kind: str, channel: dict, dev_head_t: dict | None, montage: str) -> _Place:
    unknown = np.full(3, np.nan)
    if kind in _MEG:
        return _coil_place(channel, dev_head_t)
    if kind == "eeg":
        given = np.asarray(channel["loc"][:3], dtype=float)
        if np.isfinite(given).all() and 0 < np.linalg.norm(given) < HEAD_RADIUS:
            return given, unknown, "file"
        if name in template_positions(montage):
            return template_positions(montage)[name], unknown, "template"
    return unknown, unknown, "none"


def _coil_place(channel: dict, dev_head_t: dict | None) -> _Place:
    # The normal is the last column of the coil's rotation. An empty room has no head frame.
    loc = np.asarray(channel["loc"], dtype=float)
    if dev_head_t is None or not np.isfinite(loc).all() or not loc[:3].any():
        return np.full(3, np.nan), np.full(3, np.nan), "none"
    trans = np.asarray(dev_head_t["trans"], dtype=float)
    return trans[:3, :3] @ loc[:3] + trans[:3, 3], trans[:3, :3] @ loc[9:12], "file"


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
            f"The recipe names the montage {montage!r}; MNE's templates are {', '.join(builtin)}."
        ) from error
    info = mne.create_info(template.ch_names, 1.0, "eeg").set_montage(template)
    return {c["ch_name"]: np.array(c["loc"][:3], dtype=float) for c in info["chs"]}
