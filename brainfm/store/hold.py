"""Whose a store is: one ingest at a time may write to it, and lists what is in it when done."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from brainfm.disk import flush_folder
from brainfm.errors import UsageError, WorkError
from brainfm.store.files import PARTIAL, LocalFiles, check_local
from brainfm.store.read import Store, list_entries, list_ids, open_store, read_root
from brainfm.store.schema import (
    COLUMNS,
    QUARANTINE,
    RECORDINGS,
    VERSION,
    group_json,
    read_json,
    whole_table,
    write_json,
)


def create_store(path: Path, preprocessing: dict[str, Any], preprocessing_hash: str) -> None:
    """Make an empty store, or check that the one there was made with the same preprocessing.

    Raises
    ------
    UsageError
        If something else is at ``path``, or a store of another version or preprocessing, or it is
        a URL.
    """
    check_local(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        remedy = "name another --store, nothing is written over what is there"
        attributes = read_root(LocalFiles(path), path, remedy=remedy)
        if attributes["preprocessing_hash"] != preprocessing_hash:
            raise UsageError(
                f"The store {path} was made with {_words(attributes['preprocessing'])}, "
                f"this recipe has {_words(preprocessing)}; give another --store or the same recipe."
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        _make_store(new, preprocessing, preprocessing_hash)
        new.rename(path)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not path.is_dir():
            raise
        # Another ingest made it in this moment.
        create_store(path, preprocessing, preprocessing_hash)


def _make_store(new: Path, preprocessing: dict[str, Any], preprocessing_hash: str) -> None:
    for name in (RECORDINGS, QUARANTINE):
        (new / name).mkdir(parents=True)
        write_json(new / name / "zarr.json", group_json({}))
    root = {
        "version": VERSION,
        "preprocessing": preprocessing,
        "preprocessing_hash": preprocessing_hash,
    }
    write_json(new / "zarr.json", group_json(root))


def _words(preprocessing: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in preprocessing.items())


@dataclass(frozen=True)
class Held:
    """A store that one ingest may write to.

    Attributes
    ----------
    before
        the store as it was.
    run
        name of this ingest.
    """

    before: Store
    run: str


@contextmanager
def writing(path: Path) -> Generator[Held]:
    """Hold the store for one ingest: sweep what a killed one left, list the recordings at the end.

    Raises
    ------
    WorkError
        If another ingest holds it, or its file system has no locks.
    """
    # The lock is on a file that never changes, so that nothing foreign lies in the root group.
    with (path / QUARANTINE / "zarr.json").open("r+") as lock:
        _lock(lock, path)
        before, changed = _open(path), _changed(path)
        listed = before.attributes.get("table")
        _ = before.table  # read while one file tells it
        _set_table(path, None)
        _sweep(path)
        held = Held(before, uuid4().hex)
        (path / PARTIAL / held.run).mkdir(parents=True)
        yield held
        _sweep(path)
        flush_folder(path / RECORDINGS)  # before the table names them; without it they come in anew
        if listed is not None and _changed(path) == changed:
            _set_table(path, listed)
        else:
            write_table(path)


def _open(path: Path) -> Store:
    """Open the store, without a table that is damaged or older than the folders that are there."""
    store = open_store(path)
    listed = whole_table(store.attributes)
    if listed is not None and sorted(listed["id"]) == list_ids(store.files):
        return store
    kept = {key: value for key, value in store.attributes.items() if key != "table"}
    return replace(store, attributes=kept)


def _lock(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WorkError(
            f"Another ingest is writing to {path}; wait for its end and call again."
        ) from error
    except OSError as error:
        raise WorkError(
            f"The store {path} cannot be locked ({error.strerror}), so that two ingests could meet; "
            "mount its file system with locks, or ingest to another and copy the store."
        ) from error


def _changed(path: Path) -> int:
    """Return when a recording last came or went, in nanoseconds."""
    return (path / RECORDINGS).stat().st_mtime_ns


def _sweep(path: Path) -> None:
    # Renamed first: what a worker of a killed ingest still writes there can no more be moved into
    # place, and never while it is being removed.
    aside = path / f"{PARTIAL}.{uuid4().hex}"
    if (path / PARTIAL).exists():
        (path / PARTIAL).rename(aside)
    for left in path.glob(f"{PARTIAL}.*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in (path, path / QUARANTINE):
        for file in folder.glob(".*.json.*"):
            file.unlink(missing_ok=True)


def name_people(path: Path, dataset: str, people_of: str) -> None:
    """Note under what name a data set shares the codes of its people, see `Recipe.people_of`."""
    root = read_json(path / "zarr.json")
    known = root["attributes"].get("people_of", {})
    if known.get(dataset) != people_of:
        root["attributes"]["people_of"] = known | {dataset: people_of}
        write_json(path / "zarr.json", root)


def write_table(path: Path) -> None:
    """List all recordings in the root's attributes, so that opening reads one file."""
    rows = list_entries(LocalFiles(path))
    _set_table(path, {c: [row[c] for row in rows] for c in COLUMNS})


def _set_table(path: Path, table: dict[str, list[Any]] | None) -> None:
    root = read_json(path / "zarr.json")
    root["attributes"]["version"] = VERSION  # what is written from here on may be new to older ones
    root["attributes"].pop("table", None)
    if table is not None:
        root["attributes"]["table"] = table
    write_json(path / "zarr.json", root)
