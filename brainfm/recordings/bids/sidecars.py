"""Which files say something of a recording: those that BIDS's inheritance leads to.

A file of a folder above holds for all recordings whose entities it shares; the nearest comes first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

ROOT = "dataset_description.json"
"""The file by which a BIDS root is known."""

WANTED = ("channels.tsv", "events.tsv", "events.json", "electrodes.tsv", "coordsystem.json")
"""Suffixes of the files that are read, beside ``participants.tsv`` and the recording's own JSON."""

_NAME = re.compile(r"(?:.*_)?(eeg|meg|ieeg)$")
_NO_RECORDING = ("acq-crosstalk", "acq-calibration")

Listing = Callable[[Path], tuple[str, ...]]


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
    found = {name: _inherited(path, root, name, listed) for name in (*WANTED, f"{suffix[1]}.json")}
    if (root / "participants.tsv").is_file():
        found["participants.tsv"] = root / "participants.tsv"
    return {name: file for name, file in found.items() if file is not None}


def entities(name: str) -> dict[str, str]:
    """Return the entities of a file's name: ``{"sub": "01", "task": "rest"}``."""
    return dict(re.findall(r"(?:^|_)([a-z]+)-([^_.]+)", name))


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _inherited(path: Path, root: Path, suffix: str, listed: Listing) -> Path | None:
    mine = entities(path.name)
    for folder in path.parents:
        fits = [
            name
            for name in listed(folder)
            if (name == suffix or name.endswith(f"_{suffix}")) and _shared(entities(name), mine)
        ]
        if fits:
            return folder / max(fits, key=lambda name: (len(entities(name)), name))
        if folder == root:
            return None
    return None


def _shared(theirs: dict[str, str], mine: dict[str, str]) -> bool:
    # Positions name their coordinate system, which no recording does.
    return all(
        mine.get(key, value if key == "space" else None) == value for key, value in theirs.items()
    )
