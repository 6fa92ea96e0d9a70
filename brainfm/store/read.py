"""Reading a store: its table, and any window of any recording."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from jaxtyping import Float32

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.recording import Annotations, Sensors
from brainfm.store.schema import (
    COLUMNS,
    QUARANTINE,
    RECORDINGS,
    VERSION,
    Entry,
    annotations_of,
    entry_of,
    read_json,
    sensors_of,
)


def open_store(path: Path | str) -> Store:
    """Open a store for reading.

    Raises
    ------
    UsageError
        If there is no store, or a newer brainfm wrote it.
    """
    path = Path(path)
    return Store(path, read_root(path))


def read_root(path: Path) -> dict[str, Any]:
    """Return the attributes of the root; a `UsageError` where it is no store that can be read."""
    file = path / "zarr.json"
    if not file.is_file():
        met = ", but something else" if path.exists() else ""
        raise UsageError(f"There is no store at {path}{met}; make one with brainfm ingest.")
    try:
        attributes = read_json(file)["attributes"]
        version = attributes["version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no brainfm store: its zarr.json does not name a version; "
            "make one with brainfm ingest."
        ) from error
    if not isinstance(version, int) or version > VERSION:
        raise UsageError(
            f"The store {path} has version {version}, this brainfm reads up to {VERSION}; "
            "install a newer brainfm."
        )
    if "preprocessing_hash" not in attributes:
        raise UsageError(f"{path} is no store of recordings; make one with brainfm ingest.")
    return attributes


def list_entries(path: Path) -> list[dict[str, Any]]:
    """Return the attributes of every recording, sorted by id, from the recordings themselves."""
    folders = sorted(f for f in (path / RECORDINGS).iterdir() if f.is_dir())
    return [_read_attributes(folder) for folder in folders]


def _read_attributes(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / "zarr.json")["attributes"]
    except (OSError, ValueError, KeyError) as error:
        raise WorkError(
            f"The recording {folder.name} of the store has no readable zarr.json; "
            "remove its folder and ingest it again."
        ) from error


@dataclass(frozen=True, eq=False)
class Store:
    """A store that is open for reading; safe to hand to other processes.

    Attributes
    ----------
    path
        of the store.
    attributes
        of its root: ``version``, ``preprocessing``, ``preprocessing_hash``.
    """

    path: Path
    attributes: dict[str, Any]
    _arrays: dict[str, Any] = field(default_factory=dict, repr=False)
    _entries: dict[str, Entry] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # Open arrays stay behind: a process that gets the store opens its own.
        return {"path": self.path, "attributes": self.attributes, "_arrays": {}, "_entries": {}}

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a recording, sorted by id.

        Columns: id, dataset (name of the recipe), subject, session, run, task, source, sfreq (Hz),
        n_times, seconds, n_channels, kinds, fingerprint, duplicate_of (id of the first recording
        with the same fingerprint, or None), and source_key, source_sha256, source_stat,
        recipe_hash.
        """
        columns = self.attributes.get("table")
        if columns is None:
            rows = list_entries(self.path)
            columns = {c: [row[c] for row in rows] for c in COLUMNS}
        table = pd.DataFrame(
            {c: _column(c, columns[c]) for c in COLUMNS}, columns=list(COLUMNS)
        ).sort_values("id", ignore_index=True)
        table.insert(list(table).index("n_times") + 1, "seconds", table.n_times / table.sfreq)
        first = table.groupby("fingerprint")["id"].transform("first")
        pairs = zip(table["id"], first, strict=True)
        table["duplicate_of"] = pd.Series([f if f != id else None for id, f in pairs], dtype=object)
        return table

    @cached_property
    def fingerprint(self) -> str:
        """Hash over the fingerprints of all recordings, whatever their order."""
        text = "\n".join(sorted(self.table.fingerprint))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def quarantined(self) -> pd.DataFrame:
        """What did not come in; one row a source, sorted.

        Columns: source, reason, detail, source_key, source_sha256, source_stat, recipe_hash, and
        version (of the brainfm that refused it).
        """
        columns = ["source", "reason", "detail", "source_key", "source_sha256", "source_stat"]
        columns += ["recipe_hash", "version"]
        files = sorted((self.path / QUARANTINE).glob("*.json"))
        rows = [read_json(f) for f in files if f.name != "zarr.json"]
        table = pd.DataFrame(rows, columns=columns, dtype=object)
        return table.sort_values("source", ignore_index=True)

    def entry(self, id: str) -> Entry:
        """Return all that is known of a recording."""
        if id not in self._entries:
            self._entries[id] = entry_of(_read_attributes(self._folder(id)))
        return self._entries[id]

    def sensors(self, id: str) -> Sensors:
        """Return the sensors of a recording."""
        return sensors_of(self.entry(id).sensors)

    def annotations(self, id: str) -> Annotations:
        """Return the annotations of a recording."""
        return annotations_of(self.entry(id).annotations)

    def read(self, id: str, start: int, stop: int) -> Float32[np.ndarray, "channel time"]:
        """Return samples [start, stop) of all channels, in SI units.

        Raises
        ------
        UsageError
            If the recording does not have all of them: nothing is padded.
        """
        if id not in self._arrays:
            self._arrays[id] = zarr.open_array(self._folder(id) / "signal", mode="r")
        array = self._arrays[id]
        if not 0 <= start <= stop <= array.shape[1]:
            raise UsageError(
                f"Samples {start} to {stop} of {id} are wanted; it has {array.shape[1]}."
            )
        return np.asarray(array[:, start:stop], dtype=np.float32)

    def _folder(self, id: str) -> Path:
        folder = self.path / RECORDINGS / id
        if not id or Path(id).name != id or not folder.is_dir():
            raise UsageError(f"The store {self.path} has no recording {id!r}.")
        return folder


_NUMBERS = {"sfreq": float, "n_times": "int64", "n_channels": "int64"}


def _column(name: str, values: list[Any]) -> pd.Series:
    return pd.Series(values, dtype=_NUMBERS.get(name, object))
