"""``channels.tsv``: kinds, bad channels, and the unit where the file states none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import mne

from brainfm.recordings.bids.contents import Row, broken, read_table
from brainfm.recordings.bids.sidecars import Sidecars
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sensors.labels import normalise_name

KINDS = {
    **{name: name.lower() for name in ("EEG", "ECG", "EMG", "EOG", "ECOG", "SEEG")},
    **dict.fromkeys(("VEOG", "HEOG"), "eog"),
    **dict.fromkeys(
        (
            *("TRIG", "MISC", "REF", "GSR", "RESP", "PPG", "AUDIO", "PUPIL", "TEMP", "ADC", "DAC"),
            *("OTHER", "EYEGAZE", "SYSCLOCK", "HLU", "FITERR", "DBS"),
        ),
        "misc",
    ),
}
"""Our kind for each type of ``channels.tsv``; MEG's follow the coils of the file."""

ELECTRIC = ("eeg", "ecog", "seeg", "eog", "ecg", "emg")
"""Kinds that are measured in volts."""

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}


def take_channels(raw: mne.io.BaseRaw, recipe: Recipe, sidecars: Sidecars) -> Recipe:
    """Return the recipe with kinds and unit where it says nothing; marks bad channels on ``raw``.

    Raises
    ------
    Refused
        If the table cannot be read, or names no channel of the file.
    """
    table = read_table(sidecars, "channels.tsv", "name")
    rows = _match(raw, table, recipe)
    if table and not rows:
        raise broken("channels.tsv", "none of its names is a channel of the file")
    bads = {name for name, row in rows.items() if row.get("status", "").lower() == "bad"}
    raw.info["bads"] = [name for name in raw.ch_names if name in bads.union(raw.info["bads"])]
    types = {name: row.get("type", "").upper() for name, row in rows.items()}
    kinds = {name: KINDS[said] for name, said in types.items() if said in KINDS}
    told = {name: kind for name, kind in kinds.items() if not _is_typed(name, recipe)}
    measured = [n for n, kind in kinds.items() if kind in ELECTRIC and kind in recipe.kinds]
    unit = _unit(raw, {name: rows[name] for name in measured})
    return _scaled(replace(recipe, types={**told, **recipe.types}), unit)


def _match(raw: mne.io.BaseRaw, table: Sequence[Row], recipe: Recipe) -> dict[str, Row]:
    """Return the row of each channel: the one of its name in the file, else of its name in ours."""
    rows = {row["name"]: row for row in reversed(table)}
    for row in table:
        rows.setdefault(normalise_name(row["name"], recipe.montage) or row["name"], row)
    found = {}
    for channel, label in zip(raw.ch_names, _labels(raw), strict=True):
        names = (channel, label, _name(channel, recipe))
        found[channel] = next((rows[name] for name in names if name in rows), None)
    return {channel: row for channel, row in found.items() if row is not None}


def _labels(raw: mne.io.BaseRaw) -> Sequence[str]:
    """Return the channels' names in the file; those of 4D's are A1 … where MNE has MEG 001 …."""
    extra = raw._raw_extras[0] if raw._raw_extras else None
    return extra.get("bti_ch_labels", raw.ch_names) if isinstance(extra, dict) else raw.ch_names


def _name(channel: str, recipe: Recipe) -> str:
    renamed = recipe.rename.get(channel, channel)
    return normalise_name(renamed, recipe.montage) or renamed.strip()


def _is_typed(channel: str, recipe: Recipe) -> bool:
    """Say whether the recipe's types name a channel, or a pattern of theirs matches it."""
    return any(
        name == key or ("*" in key and fnmatchcase(name, key))
        for name in (channel, _name(channel, recipe))
        for key in recipe.types
    )


def _unit(raw: mne.io.BaseRaw, rows: dict[str, Row]) -> str | None:
    """Return the unit that all rows share, None where the file itself states one of any."""
    units = {row.get("units", "") for row in rows.values()}
    stated = {raw._orig_units.get(name, "n/a") for name in rows}
    return units.pop() if raw._orig_units and stated == {"n/a"} and len(units) == 1 else None


def _scaled(recipe: Recipe, unit: str | None) -> Recipe:
    scale = _VOLTS.get(unit or "", 1.0)
    if scale == 1 or recipe.unit_scale != 1:
        return recipe
    # Where a file states no unit, MNE takes volts.
    reason = "the file states no unit, channels.tsv does"
    return replace(recipe, unit_scale=scale, unit_reason=reason)
