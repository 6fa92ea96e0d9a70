"""``electrodes.tsv`` and ``coordsystem.json``: where the electrodes are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
from jaxtyping import Float

from brainfm.recordings.bids.contents import broken, number, read_json, read_map, read_table
from brainfm.recordings.bids.names import match_rows
from brainfm.recordings.bids.sidecars import Sidecars
from brainfm.recordings.recipe import Recipe

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
_ELECTRODES = ("EEGCoordinateUnits", "iEEGCoordinateUnits", "MEGCoordinateUnits")
_LANDMARKS = ("AnatomicalLandmarkCoordinateUnits", *_ELECTRODES)
_HEAD = ("NAS", "LPA", "RPA")

_Point = Float[np.ndarray, " xyz"]


def set_places(raw: mne.io.BaseRaw, recipe: Recipe, sidecars: Sidecars) -> None:
    """Set the electrodes' positions where the sidecars say where the head is, by its landmarks.

    Raises
    ------
    Refused
        If a sidecar cannot be read.
    """
    if "electrodes.tsv" not in sidecars or "coordsystem.json" not in sidecars:
        return
    system = read_json(sidecars, "coordsystem.json")
    marks = _landmarks(system)
    scale, scale_of_marks = _metres(system, _ELECTRODES), _metres(system, _LANDMARKS)
    if scale is None or scale_of_marks is None or marks is None:
        return
    rows = match_rows(raw, read_table(sidecars, "electrodes.tsv", "name", "x", "y", "z"), recipe)
    points = {n: scale * np.array([number(r[axis]) for axis in "xyz"]) for n, r in rows.items()}
    points = {name: point for name, point in points.items() if np.isfinite(point).all()}
    nasion, lpa, rpa = (scale_of_marks * mark for mark in marks)
    montage = mne.channels.make_dig_montage(
        points, nasion=nasion, lpa=lpa, rpa=rpa, coord_frame="unknown"
    )
    raw.set_montage(montage, on_missing="ignore", verbose="ERROR")


def _metres(system: dict[str, Any], keys: Sequence[str]) -> float | None:
    """Return the unit that the first of the keys states, in metres; None where it is no length."""
    said = [str(system[key]) for key in keys if system.get(key) not in (None, "", "n/a")]
    return _METRES.get(said[0]) if said else None


def _landmarks(system: dict[str, Any]) -> list[_Point] | None:
    """Return nasion, left and right ear, None where one is not known."""
    key = "AnatomicalLandmarkCoordinates"
    marks = read_map(system.get(key), "coordsystem.json", key)
    points = [_point(marks[name], name) for name in _HEAD if marks.get(name) not in (None, "n/a")]
    return points if len(points) == 3 and np.isfinite(points).all() else None


def _point(value: Any, name: str) -> _Point:
    if isinstance(value, list) and len(value) == 3:
        return np.array([number(str(x)) for x in value])
    raise broken("coordsystem.json", f"its {name} is no list of three numbers")
