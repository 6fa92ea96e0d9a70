"""``electrodes.tsv`` and ``coordsystem.json``: where the electrodes are."""

from __future__ import annotations

import mne
import numpy as np

from brainfm.recordings.bids.contents import number, read_json, read_table
from brainfm.recordings.bids.sidecars import Sidecars

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}


def set_places(raw: mne.io.BaseRaw, sidecars: Sidecars) -> None:
    """Set the electrodes' positions where the sidecars say where the head is, by its landmarks."""
    if "electrodes.tsv" not in sidecars or "coordsystem.json" not in sidecars:
        return
    system = read_json(sidecars, "coordsystem.json")
    scale = next(
        (_METRES.get(str(v)) for k, v in system.items() if k.endswith("CoordinateUnits")), None
    )
    marks = system.get("AnatomicalLandmarkCoordinates", {})
    if scale is None or not {"NAS", "LPA", "RPA"} <= set(marks):
        return
    rows = read_table(sidecars, "electrodes.tsv", "name", "x", "y", "z")
    points = {r["name"]: scale * np.array([number(r[axis]) for axis in "xyz"]) for r in rows}
    points = {n: p for n, p in points.items() if n in raw.ch_names and np.isfinite(p).all()}
    nasion, lpa, rpa = (scale * np.array(marks[key], dtype=float) for key in ("NAS", "LPA", "RPA"))
    montage = mne.channels.make_dig_montage(
        points, nasion=nasion, lpa=lpa, rpa=rpa, coord_frame="unknown"
    )
    raw.set_montage(montage, on_missing="ignore", verbose="ERROR")
