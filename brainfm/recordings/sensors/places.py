"""Where sensors are, in metres in MNE's head frame; unknown rather than wrong.

Electrodes: the file's position is taken where the file also says where the head is (a format that
states its frame, or fiducials), and lies where its names say within `ASTRAY`: so files in millimetres,
mirrored ones and those in a frame of their own are found out. Else the template's, by name.
MEG coils: the file's, from the device's frame into the head's. A device that stands where the head does
to the last digit (KIT without markers, empty rooms) has not been localised: no place is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mne
import numpy as np
from jaxtyping import Float
from mne.io.constants import FIFF

from brainfm.recordings.sensors.labels import template_positions

HEAD_RADIUS = 0.3
"""No sensor is further than this from the head's origin, in metres; more is a wrong unit."""

ASTRAY = 0.08
"""Metres between a file's positions and those of the template, in the median, that are too many."""

MEG = ("mag", "grad_planar", "grad_axial", "ref_meg")
_ELECTRODES = ("eeg", "ecog", "seeg")
_FIDUCIALS = int(FIFF.FIFFV_POINT_CARDINAL)

_Points = Float[np.ndarray, "channel xyz"]


@dataclass(frozen=True)
class Places:
    """Where the sensors are.

    Attributes
    ----------
    position
        (channel, 3) metres, NaN where unknown.
    orientation
        (channel, 3) unit normals of coils, NaN elsewhere.
    source
        ``"file"``, ``"template"``, ``"midpoint"`` or ``"none"`` a channel.
    """

    position: _Points
    orientation: _Points
    source: tuple[str, ...]


def find_places(
    electrodes: Sequence[tuple[str, ...]],
    kinds: Sequence[str],
    channels: Sequence[dict],
    *,
    info: mne.Info,
    montage: str,
    framed: bool,
) -> Places:
    """Return where sensors are.

    Parameters
    ----------
    electrodes
        of the scalp that each sensor measures between, in the template's names: one, two of a derivation,
        none where it measures something else or its place has no name.
    kinds
        of the sensors.
    channels
        MNE's description of each.
    info
        of the file, for the head's place.
    montage
        MNE's name of the template.
    framed
        True where the format states the frame of its positions.
    """
    n = len(kinds)
    position, orientation = np.full((n, 3), np.nan), np.full((n, 3), np.nan)
    source = ["none"] * n
    given = _given(electrodes, kinds, channels, montage) if framed or _has_fiducials(info) else {}
    for i, kind in enumerate(kinds):
        if kind in MEG:
            coil = _coil(channels[i], info["dev_head_t"])
            if coil is not None:
                (position[i], orientation[i]), source[i] = coil, "file"
        elif i in given:
            position[i], source[i] = given[i], "file"
        else:
            position[i], source[i] = _template(electrodes[i], montage)
    return Places(position, orientation, tuple(source))


def _has_fiducials(info: mne.Info) -> bool:
    return sum(int(point["kind"]) == _FIDUCIALS for point in info["dig"] or ()) >= 3


def _given(
    electrodes: Sequence[tuple[str, ...]],
    kinds: Sequence[str],
    channels: Sequence[dict],
    montage: str,
) -> dict[int, Float[np.ndarray, " xyz"]]:
    """Return the electrodes' positions of the file, none at all where they cannot be a head's."""
    found = {
        i: np.array(channel["loc"][:3], dtype=float)
        for i, (kind, channel) in enumerate(zip(kinds, channels, strict=True))
        if kind in _ELECTRODES
    }
    found = {
        i: point
        for i, point in found.items()
        if np.isfinite(point).all() and 0 < np.linalg.norm(point) < HEAD_RADIUS
    }
    known = template_positions(montage)
    named = [(point, electrodes[i]) for i, point in found.items() if len(electrodes[i]) == 1]
    away = [np.linalg.norm(point - known[e]) for point, (e,) in named if e in known]
    return {} if away and np.median(away) > ASTRAY else found


def _template(electrodes: Sequence[str], montage: str) -> tuple[Float[np.ndarray, " xyz"], str]:
    known = template_positions(montage)
    if not electrodes or not known.keys() >= set(electrodes):
        return np.full(3, np.nan), "none"
    points = np.stack([known[e] for e in electrodes])
    return points.mean(axis=0), "template" if len(points) == 1 else "midpoint"


def _coil(
    channel: dict, dev_head_t: dict | None
) -> tuple[Float[np.ndarray, " xyz"], Float[np.ndarray, " xyz"]] | None:
    loc = np.asarray(channel["loc"], dtype=float)
    if dev_head_t is None or not np.isfinite(loc).all() or not loc[:3].any():
        return None
    trans = np.asarray(dev_head_t["trans"], dtype=float)
    if np.array_equal(trans, np.eye(4)):
        return None
    # The normal is the last column of the coil's rotation.
    return trans[:3, :3] @ loc[:3] + trans[:3, 3], trans[:3, :3] @ loc[9:12]
