"""Which files say something of a recording: those that BIDS's inheritance leads to.

A file of a folder above holds for all recordings whose entities it shares. Of tables the nearest is taken;
JSON is inherited key by key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = "dataset_description.json"
"""The file by which a BIDS root is known."""

PARTICIPANTS = "participants.tsv"

WANTED = ("channels.tsv", "events.tsv", "events.json", "electrodes.tsv", "coordsystem.json")
"""Suffixes of the files that are read, beside `PARTICIPANTS` and the recording's own JSON."""

_NAME = re.compile(r"(?:.*_)?(eeg|meg|ieeg)$")
_FOLDER = re.compile(r".*_(eeg|meg|ieeg)$")
_NO_RECORDING = ("acq-crosstalk", "acq-calibration")

Listing = Callable[[Path], tuple[str, ...]]
Sidecars = dict[str, tuple[Path, ...]]
"""The files of each suffix, the nearest first."""


def find_root(path: Path) -> Path | None:
    """Return the BIDS root that a file lies in, None where it lies in none."""
    return next((folder for folder in path.parents if (folder / ROOT).is_file()), None)


def is_recording(path: Path) -> bool:
    """Say whether a file of a BIDS root is a recording by its name, or lies in one that is."""
    if any(part in path.name for part in _NO_RECORDING):
        return False
    return named_path(path) is not None


def named_path(path: Path) -> Path | None:
    """Return what bears the BIDS name of a recording: the file, or the folder that it lies in."""
    if _NAME.match(_stem(path.name)) is not None:
        return path
    return path.parent if _FOLDER.match(_stem(path.parent.name)) is not None else None


def list_sidecars(folder: Path) -> tuple[str, ...]:
    """Return the names in a folder that may be sidecars."""
    return tuple(n for n in os.listdir(folder) if n.endswith((".tsv", ".json")))


def find_sidecars(path: Path, listed: Listing = list_sidecars) -> Sidecars:
    """Return the sidecars of a recording by suffix, nothing where it is in no BIDS root.

    Parameters
    ----------
    path
        of the recording.
    listed
        `list_sidecars`, or one that remembers, where many recordings share their folders.
    """
    named = named_path(path)
    root = find_root(named) if named is not None else None
    if named is None or root is None:
        return {}
    folders = [folder for folder in named.parents if folder == root or root in folder.parents]
    mine = entities(named.name)
    found: Sidecars = {}
    for suffix in (*WANTED, f"{_stem(named.name).rpartition('_')[2]}.json"):
        if files := _inherited(folders, suffix, mine, listed):
            found[suffix] = files
            # Positions name their coordinate system, which their coordsystem.json is then of.
            mine |= entities(files[0].name)
    if (root / PARTICIPANTS).is_file():
        found[PARTICIPANTS] = (root / PARTICIPANTS,)
    return found


def entities(name: str) -> dict[str, str]:
    """Return the entities of a file's name: ``{"sub": "01", "task": "rest"}``."""
    return dict(re.findall(r"(?:^|_)([a-z]+)-([^_.]+)", name))


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _inherited(
    folders: Sequence[Path], suffix: str, mine: dict[str, str], listed: Listing
) -> tuple[Path, ...]:
    found = []
    for folder in folders:
        names = [n for n in listed(folder) if n == suffix or n.endswith(f"_{suffix}")]
        for name in sorted(names, key=lambda name: (len(entities(name)), name), reverse=True):
            if _shared(entities(name), mine):
                mine = mine | entities(name)
                found.append(folder / name)
    return tuple(found if suffix.endswith(".json") else found[:1])


def _shared(theirs: dict[str, str], mine: dict[str, str]) -> bool:
    # Only positions name a coordinate system; no recording does.
    return all(
        mine.get(key, value if key == "space" else None) == value for key, value in theirs.items()
    )
