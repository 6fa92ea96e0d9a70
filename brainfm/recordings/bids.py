"""What a BIDS data set says of a recording in the files beside it.

Gorgolewski et al. 2016, Sci. Data 3:160044; EEG: Pernet et al. 2019; MEG: Niso et al. 2018. Sidecars are
found by BIDS's inheritance: the nearest file of that suffix whose entities the recording shares. Numbers
with a decimal comma and ``n/a`` are read, since published data sets hold them. Who a recording is of comes
from the path, as everywhere.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.recordings.privacy import Scrubber
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations
from brainfm.recordings.sensors.labels import normalise_name

ROOT = "dataset_description.json"
"""The file by which a BIDS root is known."""

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

_NAME = re.compile(r"(?:.*_)?(eeg|meg|ieeg)$")
_NO_RECORDING = ("acq-crosstalk", "acq-calibration")
_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}

_Row = dict[str, str]
Listing = Callable[[Path], tuple[str, ...]]


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


def find_root(path: Path) -> Path | None:
    """Return the BIDS root that a file lies in, None where it lies in none."""
    return next((folder for folder in path.parents if (folder / ROOT).is_file()), None)


def is_recording(path: Path) -> bool:
    """Say whether a file of a BIDS root is a recording by its name, or lies in one that is."""
    if any(part in path.name for part in _NO_RECORDING):
        return False
    return any(_NAME.match(_stem(name)) is not None for name in (path.name, path.parent.name))


def list_sidecars(folder: Path) -> tuple[str, ...]:
    """Return the names in a folder that may be sidecars."""
    return tuple(n for n in os.listdir(folder) if n.endswith((".tsv", ".json")))


def find_sidecars(path: Path, listed: Listing = list_sidecars) -> dict[str, Path]:
    """Return the sidecars of a recording by suffix, nothing where it is in no BIDS root.

    Parameters
    ----------
    path
        of the recording.
    listed
        `list_sidecars`, or one that remembers, where many recordings share their folders.
    """
    root = find_root(path)
    suffix = _NAME.match(_stem(path.name))
    if root is None or suffix is None:
        return {}
    wanted = ("channels.tsv", "events.tsv", "events.json", "electrodes.tsv", "coordsystem.json")
    found = {name: _inherited(path, root, name, listed) for name in (*wanted, f"{suffix[1]}.json")}
    if (root / "participants.tsv").is_file():
        found["participants.tsv"] = root / "participants.tsv"
    return {name: file for name, file in found.items() if file is not None}


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
    told: dict[str, Any] = {"bids": sorted(sidecars)}
    channels = _table(sidecars.get("channels.tsv"), "name")
    raw.info["bads"] = sorted(
        {*raw.info["bads"], *(r["name"] for r in channels if r.get("status") == "bad")}
        & set(raw.ch_names)
    )
    types = {r["name"]: KINDS[t] for r in channels if (t := r.get("type", "").upper()) in KINDS}
    recipe = replace(recipe, types={**types, **recipe.types})
    recipe = _with_unit(recipe, raw, channels)
    data = _json(next((f for n, f in sidecars.items() if n in _DATA), None))
    if recipe.line_freq == "detect" and data.get("PowerLineFrequency") in (50, 60):
        recipe = replace(recipe, line_freq=float(data["PowerLineFrequency"]))
    _set_places(raw, sidecars)
    if reference := _reference(data):
        told["reference"] = reference
    if person := _participant(path, sidecars.get("participants.tsv")):
        told["participant"] = person
    events = None
    if "events.tsv" in sidecars:
        levels = _json(sidecars.get("events.json")).get("trial_type", {}).get("Levels", {})
        known = replace(scrubber, keep=(*scrubber.keep, *map(str, levels)))
        events = _events(sidecars["events.tsv"], known)
    return Described(recipe, events, told)


_DATA = ("eeg.json", "meg.json", "ieeg.json")


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _entities(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?:^|_)([a-z]+)-([^_.]+)", name))


def _inherited(path: Path, root: Path, suffix: str, listed: Listing) -> Path | None:
    mine = _entities(path.name)
    for folder in path.parents:
        fits = [
            name
            for name in listed(folder)
            if (name == suffix or name.endswith(f"_{suffix}")) and _shared(_entities(name), mine)
        ]
        if fits:
            return folder / max(fits, key=lambda name: (len(_entities(name)), name))
        if folder == root:
            return None
    return None


def _shared(theirs: dict[str, str], mine: dict[str, str]) -> bool:
    # Positions name their coordinate system, which no recording does.
    return all(
        mine.get(key, value if key == "space" else None) == value for key, value in theirs.items()
    )


def _table(path: Path | None, *columns: str) -> list[_Row]:
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, "it is no UTF-8 text") from error
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    for column in columns:
        if rows and column not in rows[0]:
            raise _broken(path, f"it has no column {column}")
    return [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in rows]


def _json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise _broken(path, "it is no JSON") from error
    return value if isinstance(value, dict) else {}


def _broken(path: Path, why: str) -> Refused:
    suffix = path.name.rpartition("_")[2]
    return Refused(Reason.damaged, f"Its sidecar {suffix} cannot be read: {why}; mend it.")


def _number(text: str) -> float:
    """Return a number, NaN for ``n/a``; a comma may stand for the point."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return float("nan")


def _with_unit(recipe: Recipe, raw: mne.io.BaseRaw, channels: list[_Row]) -> Recipe:
    """Take the sidecar's unit where the file states none at all: MNE takes volts."""
    stated = {raw._orig_units.get(r["name"], "n/a") for r in channels if r.get("type") == "EEG"}
    units = {r.get("units", "") for r in channels if r.get("type") == "EEG"}
    if not raw._orig_units or stated != {"n/a"} or len(units) != 1 or recipe.unit_scale != 1:
        return recipe
    scale = _VOLTS.get(units.pop(), 1.0)
    reason = "the file states no unit, channels.tsv does"
    return recipe if scale == 1 else replace(recipe, unit_scale=scale, unit_reason=reason)


def _set_places(raw: mne.io.BaseRaw, sidecars: dict[str, Path]) -> None:
    """Set the electrodes' positions where the sidecars say where the head is, by its landmarks."""
    if "electrodes.tsv" not in sidecars or "coordsystem.json" not in sidecars:
        return
    system = _json(sidecars["coordsystem.json"])
    scale = next(
        (_METRES.get(str(v)) for k, v in system.items() if k.endswith("CoordinateUnits")), None
    )
    marks = system.get("AnatomicalLandmarkCoordinates", {})
    if scale is None or not {"NAS", "LPA", "RPA"} <= set(marks):
        return
    rows = _table(sidecars["electrodes.tsv"], "name", "x", "y", "z")
    points = {r["name"]: scale * np.array([_number(r[axis]) for axis in "xyz"]) for r in rows}
    points = {n: p for n, p in points.items() if n in raw.ch_names and np.isfinite(p).all()}
    nasion, lpa, rpa = (scale * np.array(marks[key], dtype=float) for key in ("NAS", "LPA", "RPA"))
    montage = mne.channels.make_dig_montage(
        points, nasion=nasion, lpa=lpa, rpa=rpa, coord_frame="unknown"
    )
    raw.set_montage(montage, on_missing="ignore", verbose="ERROR")


def _reference(data: dict[str, Any]) -> str | None:
    said = str(data.get("EEGReference", data.get("iEEGReference", "")))
    if re.fullmatch(r"(common )?average|CAR|avg", said.strip(), re.IGNORECASE):
        return "average"
    return normalise_name(said)


def _participant(path: Path, table: Path | None) -> dict[str, Any]:
    """Return age and sex, and nothing else: other columns may hold anything."""
    subject = f"sub-{_entities(path.name).get('sub', '')}"
    for row in _table(table, "participant_id"):
        if row["participant_id"] == subject:
            age, sex = _number(row.get("age", "")), row.get("sex", "").upper()[:1]
            # The ages of the very old are few enough to tell who they are.
            found = {"age": min(age, 90.0)} if np.isfinite(age) else {}
            return found | ({"sex": sex} if sex in ("F", "M", "O") else {})
    return {}


def _events(path: Path, scrubber: Scrubber) -> Annotations:
    rows = []
    for row in _table(path, "onset"):
        onset, duration = (_seconds(path, row, column) for column in ("onset", "duration"))
        words = (row.get(column, "") for column in ("trial_type", "value", "description"))
        text = next((word for word in words if word not in ("", "n/a")), "event")
        if np.isfinite(onset):
            rows.append((onset, duration if duration >= 0 else 0.0, scrubber.text(text)))
    rows.sort()
    onset, duration, text = zip(*rows, strict=True) if rows else ((), (), ())
    return Annotations(np.array(onset, float), np.array(duration, float), tuple(text))


def _seconds(path: Path, row: _Row, column: str) -> float:
    text = row.get(column, "")
    value = _number(text)
    if not np.isfinite(value) and text.lower() not in ("", "n/a", "nan"):
        raise _broken(path, f"a value of its column {column} is no number")
    return value
