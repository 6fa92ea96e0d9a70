"""A recording's recipe, events and provenance, completed by its sidecars."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.recordings.bids.channels import take_channels
from brainfm.recordings.bids.contents import number, read_json, read_table
from brainfm.recordings.bids.events import keep_inside, read_events
from brainfm.recordings.bids.places import set_places
from brainfm.recordings.bids.sidecars import (
    PARTICIPANTS,
    Sidecars,
    entities,
    find_sidecars,
    named_path,
)
from brainfm.recordings.privacy import Scrubber
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations
from brainfm.recordings.sensors.labels import normalise_name

_DATA = ("eeg.json", "meg.json", "ieeg.json")


@dataclass(frozen=True)
class Described:
    """A recording's recipe and events, completed by its sidecars.

    Attributes
    ----------
    recipe
        with kinds, unit and line frequency of the sidecars where the recipe says nothing.
    events
        of ``events.tsv``, None where there is none.
    provenance
        what was taken from where.
    """

    recipe: Recipe
    events: Annotations | None
    provenance: dict[str, Any]


def describe(path: Path, raw: mne.io.BaseRaw, recipe: Recipe, scrubber: Scrubber) -> Described:
    """Return what the sidecars add; marks bad channels and sets positions on ``raw``.

    Raises
    ------
    Refused
        If a sidecar cannot be meant as it stands.
    """
    sidecars = find_sidecars(path)
    if not sidecars:
        return Described(recipe, None, {})
    recipe = take_channels(raw, recipe, sidecars)
    data = next((read_json(sidecars, suffix) for suffix in _DATA if suffix in sidecars), {})
    if recipe.line_freq == "detect" and data.get("PowerLineFrequency") in (50, 60):
        recipe = replace(recipe, line_freq=float(data["PowerLineFrequency"]))
    set_places(raw, recipe, sidecars)
    said = read_events(sidecars, scrubber)
    seconds = raw.n_times / float(raw.info["sfreq"])
    events = keep_inside(said, seconds) if said is not None else None
    told = {
        "bids": sorted(sidecars),
        "reference": _reference(data) if recipe.reference is None else None,
        "participant": _participant(path, sidecars),
        "events_outside": len(said or ()) - len(events or ()),
    }
    return Described(recipe, events, {key: value for key, value in told.items() if value})


def _reference(data: dict[str, Any]) -> str | None:
    said = str(data.get("EEGReference", data.get("iEEGReference", "")))
    if re.fullmatch(r"(common )?average|CAR|avg", said.strip(), re.IGNORECASE):
        return "average"
    return normalise_name(said)


def _participant(path: Path, sidecars: Sidecars) -> dict[str, Any]:
    """Return age and sex, and nothing else: other columns may hold anything."""
    subject = f"sub-{entities((named_path(path) or path).name).get('sub', '')}"
    for row in read_table(sidecars, PARTICIPANTS, "participant_id"):
        if row["participant_id"] == subject:
            age, sex = number(row.get("age", "")), row.get("sex", "").upper()[:1]
            # The ages of the very old are few enough to tell who they are.
            found = {"age": min(age, 90.0)} if np.isfinite(age) else {}
            return found | ({"sex": sex} if sex in ("F", "M", "O") else {})
    return {}
