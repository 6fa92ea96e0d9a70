"""``channels.tsv``: kinds, bad channels, and the unit where the file states none."""

from __future__ import annotations

from dataclasses import replace

import mne

from brainfm.recordings.bids.contents import Row, broken, read_table
from brainfm.recordings.bids.names import is_typed, match_rows
from brainfm.recordings.bids.sidecars import Sidecars
from brainfm.recordings.recipe import Recipe

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
    rows = match_rows(raw, table, recipe)
    if table and not rows:
        raise broken("channels.tsv", "none of its names is a channel of the file")
    bads = {name for name, row in rows.items() if row.get("status", "").lower() == "bad"}
    raw.info["bads"] = [name for name in raw.ch_names if name in bads.union(raw.info["bads"])]
    types = {name: row.get("type", "").upper() for name, row in rows.items()}
    kinds = {name: KINDS[said] for name, said in types.items() if said in KINDS}
    told = {name: kind for name, kind in kinds.items() if not is_typed(name, recipe)}
    measured = [n for n, kind in kinds.items() if kind in ELECTRIC and kind in recipe.kinds]
    unit = _unit(raw, {name: rows[name] for name in measured})
    return _scaled(replace(recipe, types={**told, **recipe.types}), unit)


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
