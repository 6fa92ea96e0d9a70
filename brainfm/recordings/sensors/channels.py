"""Which channels of a file are kept, what each measures and where it is.

1. The recipe's ``rename``, ``types`` and ``drop`` win.
2. Where the format states a channel's type, the type holds; MEG kinds follow the coil type, because
   MNE calls axial gradiometers magnetometers.
3. Elsewhere a name decides, by the rules of `brainfm.recordings.sensors.labels`.
4. EGI's E1, E2, … are electrodes of the net whose size their number shows; E65, E129, E257 are its Cz.
5. Letters that count on further than the template's (A1, A2, A3) are contacts of a grid, of a depth electrode
   or of a BioSemi cap, by the rules of `brainfm.recordings.sensors.series`.
6. A channel that the file has twice, sample by sample, is kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import mne
from mne.io.constants import FIFF

from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe, find_pattern
from brainfm.recordings.recording import Sensors
from brainfm.recordings.sensors.labels import kind_by_word, read_label
from brainfm.recordings.sensors.places import MEG, find_places
from brainfm.recordings.sensors.series import find_contacts, find_net, is_vertex

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


@dataclass(frozen=True)
class _Channel:
    original: str
    name: str
    kind: str
    electrodes: tuple[str, ...]
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
    types = info.get_channel_types()
    labels = [
        name
        for name, mne_type in zip(info["ch_names"], types, strict=True)
        if mne_type == "eeg" and _may_be_scalp(name, recipe)
    ]
    net = find_net(labels) if recipe.montage == Recipe.montage else None
    montage = net or recipe.montage
    contacts = find_contacts(labels, montage)
    channels = [
        _identify(channel, mne_type, recipe=recipe, typed=typed, montage=montage, contacts=contacts)
        for channel, mne_type in zip(info["chs"], types, strict=True)
    ]
    kept = [
        c
        for c in channels
        if c.kind in recipe.kinds
        and not any(find_pattern(name, recipe.drop) for name in (c.original, c.name))
    ]
    _refuse_none(kept, info["ch_names"], recipe)
    kept = _without_copies(kept, are_copies)
    names, kinds = tuple(c.name for c in kept), tuple(c.kind for c in kept)
    places = find_places(
        [c.electrodes for c in kept],
        kinds,
        [c.mne for c in kept],
        info=info,
        montage=montage,
        framed=typed,
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


def _may_be_scalp(name: str, recipe: Recipe) -> bool:
    typed = find_pattern(name, recipe.types)
    return name not in recipe.rename and (typed is None or recipe.types[typed] == "eeg")


def _identify(
    channel: dict,
    mne_type: str,
    *,
    recipe: Recipe,
    typed: bool,
    montage: str,
    contacts: Collection[str],
) -> _Channel:
    original = channel["ch_name"]
    renamed = recipe.rename.get(original, original)
    unnamed = mne_type in (*MEG, "grad") or original in contacts
    said = "Cz" if is_vertex(renamed, montage) else renamed
    label = None if unnamed else read_label(said, montage)
    name = label.name if label is not None else renamed.strip()
    kind = _kind(channel, mne_type, typed=typed, electrode=label is not None, name=renamed)
    for key in (original, name):
        found = find_pattern(key, recipe.types)
        kind = recipe.types[found] if found is not None else kind
    if label is None or kind != "eeg":
        return _Channel(original, renamed.strip(), kind, (), None, channel)
    return _Channel(original, name, kind, label.electrodes, label.reference, channel)


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
