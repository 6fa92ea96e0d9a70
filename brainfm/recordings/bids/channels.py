"""``channels.tsv``: kinds, bad channels, and the unit where the file states none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mne

from brainfm.recordings.bids.contents import Row, read_table
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

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}


def take_channels(raw: mne.io.BaseRaw, recipe: Recipe, path: Path | None) -> Recipe:
    """Return the recipe with kinds and unit where it says nothing; marks bad channels on ``raw``."""
    channels = read_table(path, "name")
    raw.info["bads"] = sorted(
        {*raw.info["bads"], *(r["name"] for r in channels if r.get("status") == "bad")}
        & set(raw.ch_names)
    )
    types = {r["name"]: KINDS[t] for r in channels if (t := r.get("type", "").upper()) in KINDS}
    return _with_unit(replace(recipe, types={**types, **recipe.types}), raw, channels)


def _with_unit(recipe: Recipe, raw: mne.io.BaseRaw, channels: list[Row]) -> Recipe:
    """Take the sidecar's unit where the file states none at all: MNE takes volts."""
    stated = {raw._orig_units.get(r["name"], "n/a") for r in channels if r.get("type") == "EEG"}
    units = {r.get("units", "") for r in channels if r.get("type") == "EEG"}
    if not raw._orig_units or stated != {"n/a"} or len(units) != 1 or recipe.unit_scale != 1:
        return recipe
    scale = _VOLTS.get(units.pop(), 1.0)
    reason = "the file states no unit, channels.tsv does"
    return recipe if scale == 1 else replace(recipe, unit_scale=scale, unit_reason=reason)
