"""Which channels of a file are kept, what each measures and where it is.

1. The recipe's ``rename``, ``types`` and ``drop`` win.
2. Where the format states a channel's type, the type holds; MEG kinds follow the coil type, because
   MNE calls axial gradiometers magnetometers.
3. Elsewhere a name decides, by the rules of `brainfm.recordings.sensors.labels`.
4. EGI's E1, E2, … are electrodes of the net whose size their number shows; E65, E129, E257 are its Cz.
5. A1 and A2 are ears unless there is an A3: then they are contacts of a grid or a BioSemi cap.
6. A channel that the file has twice, sample by sample, is kept once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import mne
from mne.io.constants import FIFF

from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Sensors
from brainfm.recordings.sensors.labels import (
    Label,
    kind_by_word,
    read_label,
)
from brainfm.recordings.sensors.places import MEG, find_places

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

_EGI = re.compile(r"E(\d+)")
_THIRD_CONTACT = re.compile(r"(^|[ _$'])A(3|[4-9]|\d\d+)\b", re.IGNORECASE)
_NETS = {
    32: "GSN-HydroCel-32",
    65: "GSN-HydroCel-65_1.0",
    129: "GSN-HydroCel-129",
    257: "GSN-HydroCel-257",
}


@dataclass(frozen=True)
class _Channel:
    original: str
    name: str
    kind: str
    reference: str | None
    mne: dict


def never(names: Sequence[str]) -> bool:
    """Say that channels are no copies of each other."""
    return False


def read_sensors(
    info: mne.Info,
    recipe: Recipe,
    *,
    typed: bool,
    are_copies: Callable[[Sequence[str]], bool] = never,
) -> tuple[Sensors, tuple[str, ...]]:
    """Return the sensors to keep, and the names that the file has for them.

    Parameters
    ----------
    info
        of the file.
    recipe
        rename, types, drop, kinds and montage are used.
    typed
        True where the file's format states what each channel is.
    are_copies
        says whether channels of the file are equal, sample by sample.

    Raises
    ------
    Refused
        If nothing is left, or two channels that differ come to the same name.
    """
    montage = _net(info["ch_names"]) or recipe.montage
    read = _reader(info["ch_names"], montage)
    channels = [
        _identify(channel, mne_type, recipe=recipe, typed=typed, read=read)
        for channel, mne_type in zip(info["chs"], info.get_channel_types(), strict=True)
    ]
    kept = [
        c
        for c in channels
        if c.kind in recipe.kinds
        and not any(_matches(name, recipe.drop) for name in (c.original, c.name))
    ]
    _refuse_none(kept, info["ch_names"], recipe)
    kept = _without_copies(kept, are_copies)
    names, kinds = tuple(c.name for c in kept), tuple(c.kind for c in kept)
    places = find_places(
        names, kinds, [c.mne for c in kept], info=info, montage=montage, framed=typed
    )
    sensors = Sensors(
        names=names,
        kind=kinds,
        position=places.position,
        orientation=places.orientation,
        position_source=places.source,
        reference=tuple(c.reference for c in kept),
        bad=tuple(c.original in info["bads"] for c in kept),
    )
    return sensors, tuple(c.original for c in kept)


def _net(names: Sequence[str]) -> str | None:
    """Return the template of EGI's net that E1, E2, … are of, None where they are not."""
    numbers = {int(found[1]) for name in names if (found := _EGI.fullmatch(name))}
    if len(numbers) < 16 or max(numbers) > max(_NETS):
        return None
    return next(net for size, net in _NETS.items() if max(numbers) <= size)


def _reader(names: Sequence[str], montage: str) -> Callable[[str], Label | None]:
    """Return what reads a label, knowing what the file's other labels are."""
    contacts = any(_THIRD_CONTACT.search(name) for name in names)
    vertex = next((f"E{size}" for size, net in _NETS.items() if net == montage and size > 32), None)

    def read(label: str) -> Label | None:
        found = read_label("Cz" if label == vertex else label, montage)
        return None if contacts and found is not None and found.name in ("A1", "A2") else found

    return read


def _identify(
    channel: dict,
    mne_type: str,
    *,
    recipe: Recipe,
    typed: bool,
    read: Callable[[str], Label | None],
) -> _Channel:
    original = channel["ch_name"]
    renamed = recipe.rename.get(original, original)
    label = read(renamed) if mne_type not in (*MEG, "grad") else None
    name = label.name if label is not None else renamed.strip()
    kind = _kind(channel, mne_type, typed=typed, electrode=label is not None, name=renamed)
    for key in (original, name):
        found = _matches(key, recipe.types)
        kind = recipe.types[found] if found is not None else kind
    reference = label.reference if label is not None and kind == "eeg" else None
    return _Channel(original, name, kind, reference, channel)


def _kind(channel: dict, mne_type: str, *, typed: bool, electrode: bool, name: str) -> str:
    if mne_type in ("mag", "grad"):
        return _coil_kind(channel)
    if mne_type == "eeg" and not typed:
        return "eeg" if electrode else kind_by_word(name)
    if mne_type == "bio":
        return kind_by_word(name)
    return mne_type if mne_type in _MNE_KINDS else "misc"


def _coil_kind(channel: dict) -> str:
    # Of a coil that is new to us the unit tells: only planar gradiometers give T/m.
    planar = int(channel["unit"]) == int(FIFF.FIFF_UNIT_T_M)
    # CTF's software compensation stands in the upper half.
    coil = int(channel["coil_type"]) & 0xFFFF
    return _COILS.get(coil, "grad_planar" if planar else "mag")


def _matches(name: str, patterns: Sequence[str] | dict[str, str]) -> str | None:
    """Return the first of names or patterns (``*``) that is or matches ``name``."""
    if name in patterns:
        return name
    return next((p for p in patterns if "*" in p and fnmatchcase(name, p)), None)


def _refuse_none(kept: Sequence[_Channel], in_file: list[str], recipe: Recipe) -> None:
    if not kept:
        shown = ", ".join(in_file[:6]) + (", …" if len(in_file) > 6 else "")
        raise Refused(
            Reason.no_signal_channels,
            f"None of its {len(in_file)} channels ({shown}) is of the kinds "
            f"{', '.join(recipe.kinds)}; name them with the recipe's rename, types or montage.",
        )


def _without_copies(
    channels: Sequence[_Channel], are_copies: Callable[[Sequence[str]], bool]
) -> list[_Channel]:
    by_name: dict[str, list[_Channel]] = {}
    for channel in channels:
        by_name.setdefault(channel.name, []).append(channel)
    for name, same in by_name.items():
        originals = [c.original for c in same]
        if len(same) > 1 and not are_copies(originals):
            raise Refused(
                Reason.duplicate_channels,
                f"The channels {', '.join(originals)} are all {name}; one is wanted: "
                "name the others in the recipe's drop or rename.",
            )
    return [same[0] for same in by_name.values()]
