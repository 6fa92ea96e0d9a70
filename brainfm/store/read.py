"""Reading a store: its table, and any window of any recording."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.recording import Annotations, Sensors
from brainfm.store.files import Files, Unlisted, as_url, files_at
from brainfm.store.schema import (
    COLUMNS,
    QUARANTINE,
    READABLE,
    RECORDINGS,
    VERSION,
    Entry,
    annotations_of,
    entry_of,
    sensors_of,
    whole_table,
)
from brainfm.store.signals import Signals, Wanted


def open_store(path: Path | str) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path
        of the store, or a URL that fsspec knows (``s3://bucket/s.zarr``, ``https://…``).

    Raises
    ------
    UsageError
        If there is no store, or another version of brainfm wrote it. `Unreached` if no server answers.
    """
    url = as_url(path)
    place = Path(path) if url is None else url
    files = files_at(place)
    return Store(place, read_root(files, place), files)


def read_root(
    files: Files, place: Path | str, *, remedy: str = "make one with brainfm ingest"
) -> dict[str, Any]:
    """Return the attributes of the root; a `UsageError` where it is no store that can be read."""
    try:
        text = files.read("zarr.json")
    except PermissionError as error:
        raise UsageError(f"The store {place} may not be read; ask for the permission.") from error
    except OSError as error:
        met = f" ({error})" if isinstance(place, str) else ", but something else" * place.exists()
        raise UsageError(f"There is no store at {place}{met}; {remedy}.") from error
    try:
        attributes = json.loads(text)["attributes"]
        version = attributes["version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{place} is no brainfm store: its zarr.json does not name a version; {remedy}."
        ) from error
    if "preprocessing_hash" not in attributes:
        raise UsageError(f"{place} is no store of recordings; {remedy}.")
    if version not in READABLE:
        newer = isinstance(version, int) and version > VERSION
        remedy = "install a newer brainfm" if newer else "ingest the recordings into a new one"
        raise UsageError(
            f"The store {place} has version {version}, this brainfm reads {min(READABLE)} to {VERSION}; "
            f"{remedy}."
        )
    return attributes


def list_entries(files: Files) -> list[dict[str, Any]]:
    """Return the attributes of every recording, sorted by id, from the recordings themselves."""
    return [found for id in list_ids(files) if (found := _read_again(files, id)) is not None]


def _read_again(files: Files, id: str) -> dict[str, Any] | None:
    """Return what `read_attributes` does, None where an ingest took the recording out meanwhile."""
    try:
        return read_attributes(files, id)
    except WorkError:
        # It may have been replaced between its listing and this.
        return read_attributes(files, id) if files.names(f"{RECORDINGS}/{id}") else None


def list_ids(files: Files) -> list[str]:
    """Return the ids of the recordings that have a folder, sorted."""
    return [n for n in files.names(RECORDINGS) if n.startswith("sub-")]


def read_attributes(files: Files, id: str) -> dict[str, Any]:
    """Return the attributes of a recording as they stand in its ``zarr.json``."""
    try:
        return json.loads(files.read(f"{RECORDINGS}/{id}/zarr.json"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(
            f"The recording {id} of the store has no readable zarr.json; "
            "remove its folder and ingest it again."
        ) from error


_REFUSED = ("source", "reason", "detail", "source_key")
_REFUSED += ("source_sha256", "source_stat", "recipe_hash", "version")


def read_quarantine(files: Files) -> dict[str, dict[str, str] | None]:
    """Return what did not come in, by the entry's file; None where that cannot be read."""
    names = [n for n in files.names(QUARANTINE) if n.endswith(".json") and n[0] != "."]
    keys = [f"{QUARANTINE}/{name}" for name in names if name != "zarr.json"]
    return {key: _read_refused(files, key) for key in keys}


def _read_refused(files: Files, key: str) -> dict[str, str] | None:
    try:
        value = json.loads(files.read(key))
        row = {column: value.get(column, "") for column in _REFUSED}
    except (OSError, ValueError, AttributeError):
        return None
    whole = all(isinstance(v, str) for v in row.values()) and row["source"] and row["reason"]
    return row if whole else None


@dataclass(frozen=True, eq=False)
class Store:
    """A store that is open for reading; safe to hand to other processes.

    Attributes
    ----------
    path
        of the store, or its URL.
    attributes
        of its root: ``version``, ``preprocessing``, ``preprocessing_hash``.
    files
        of the store.
    """

    path: Path | str
    attributes: dict[str, Any]
    files: Files
    _entries: dict[str, Entry] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # What was opened stays behind: a process that gets the store opens its own.
        kept = {"path": self.path, "attributes": self.attributes, "files": self.files}
        return {**kept, "_entries": {}}

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a recording, sorted by id.

        Columns: id, dataset (name of the recipe), people_of (name under which the data set shares its
        people's codes, its own where it does not, empty where the ingest did not say), subject, session,
        run, task, source, sfreq (Hz), n_times, seconds, n_channels, n_bad, kinds, dtype (``int16`` or
        ``float32``), fingerprint, duplicate_of (id of the first recording with the same fingerprint, or
        None), and source_key, source_sha256, source_stat, recipe_hash.
        """
        columns = whole_table(self.attributes)
        if columns is None:
            rows = list_entries(self.files)
            columns = {c: [row[c] for row in rows] for c in COLUMNS}
        table = pd.DataFrame(
            {c: _column(c, columns[c]) for c in COLUMNS}, columns=list(COLUMNS)
        ).sort_values("id", ignore_index=True)
        table.insert(list(table).index("n_times") + 1, "seconds", table.n_times / table.sfreq)
        shared = self.attributes.get("people_of", {})
        people_of = pd.Series([shared.get(name, "") for name in table["dataset"]], dtype=object)
        table.insert(list(table).index("dataset") + 1, "people_of", people_of)
        first = table.groupby("fingerprint")["id"].transform("first")
        pairs = zip(table["id"], first, strict=True)
        table["duplicate_of"] = pd.Series([f if f != id else None for id, f in pairs], dtype=object)
        return table

    @cached_property
    def fingerprint(self) -> str:
        """Hash over the fingerprints of all recordings, whatever their order."""
        text = "\n".join(sorted(self.table.fingerprint))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def content(self, ids: Iterable[str]) -> str:
        """Return a digest of the samples of some recordings, by their checksums, and of their sensors."""
        whole = hashlib.sha256()
        for entry in map(self.entry, ids):
            whole.update(json.dumps([entry.id, entry.checksum, entry.sensors]).encode())
        return whole.hexdigest()[:16]

    @property
    def quarantined(self) -> pd.DataFrame:
        """What did not come in; one row a source, sorted.

        Columns: source, reason, detail, source_key, source_sha256, source_stat, recipe_hash, and
        version (of the brainfm that refused it).

        Raises
        ------
        WorkError
            If an entry cannot be read; it is named. `Unlisted` where a server lists no folders.
        """
        entries = read_quarantine(self.files)
        for key, row in entries.items():
            if row is None:
                raise WorkError(
                    f"The entry {key} of the store {self.path} cannot be read; remove that file, "
                    "and ingest again."
                )
        table = pd.DataFrame(list(entries.values()), columns=list(_REFUSED), dtype=object)
        return table.sort_values("source", ignore_index=True)

    @property
    def lost(self) -> list[str]:
        """Ids that the table lists and that have no folder any more; none where that is unknown."""
        try:
            return sorted(set(self.table["id"]) - set(list_ids(self.files)))
        except Unlisted:
            return []

    @property
    def n_bytes(self) -> int:
        """Bytes that the store takes."""
        return self.files.size()

    @cached_property
    def signals(self) -> Signals:
        """Reads the compressed signals."""
        return Signals(self.files)

    def entry(self, id: str) -> Entry:
        """Return all that is known of a recording."""
        if id not in self._entries:
            with self._reading(id):
                self._entries[id] = entry_of(read_attributes(self.files, id))
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
        WorkError
            If something of it is missing or damaged.
        """
        with self._reading(id):
            out = np.empty((self.signals.signal(id).n_channels, max(0, stop - start)), np.float32)
        self.read_into([Wanted(id, start, stop, slice(None), out)])
        return out

    def read_into(self, windows: Sequence[Wanted]) -> None:
        """Fill the arrays of many windows; errors as of `read`."""
        with self._reading(*(wanted.id for wanted in windows)):
            self.signals.read(windows)

    @contextmanager
    def _reading(self, *ids: str) -> Generator[None]:
        try:
            yield
        except (KeyError, WorkError):
            for id in ids:
                self._check(id)
            raise

    def _check(self, id: str) -> None:
        try:
            there = Path(id).name == id and self.files.names(f"{RECORDINGS}/{id}")
        except Unlisted:
            there = id in set(self.table["id"])
        if not id or not there:
            raise UsageError(f"The store {self.path} has no recording {id!r}.")


_NUMBERS = {"sfreq": float, "n_times": "int64", "n_channels": "int64", "n_bad": "int64"}


def _column(name: str, values: list[Any]) -> pd.Series:
    return pd.Series(values, dtype=_NUMBERS.get(name, object))
