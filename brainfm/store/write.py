"""Recordings into a store: each appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.recording import (
    Findings,
    Recording,
    Sensors,
    consume,
    join_annotations,
)
from brainfm.store.encoding import ENCODINGS, Encoding, TooCoarse
from brainfm.store.files import LocalFiles
from brainfm.store.schema import (
    COLUMNS,
    PARTIAL,
    QUARANTINE,
    RECORDINGS,
    VERSION,
    Entry,
    annotations_to_json,
    entry_attributes,
    read_json,
    recording_id,
    sensors_to_json,
    source_key,
    write_json,
)
from brainfm.store.stream import SignalWriter, Written

if TYPE_CHECKING:
    from brainfm.store.read import Store


def create_store(path: Path, preprocessing: dict[str, Any], preprocessing_hash: str) -> None:
    """Make an empty store, or check that the one there was made with the same preprocessing.

    Raises
    ------
    UsageError
        If something else is at ``path``, or a store of another version or preprocessing.
    """
    # Not at the top: read knows all about opening, and write is not needed to read.
    from brainfm.store.read import read_root

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        attributes = read_root(LocalFiles(path), path)
        if attributes["preprocessing_hash"] != preprocessing_hash:
            raise UsageError(
                f"The store {path} was made with {_words(attributes['preprocessing'])}, "
                f"this recipe has {_words(preprocessing)}; give another --store or the same recipe."
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    for name in (RECORDINGS, QUARANTINE):
        (new / name).mkdir(parents=True)
        write_json(new / name / "zarr.json", _group({}))
    root = {
        "version": VERSION,
        "preprocessing": preprocessing,
        "preprocessing_hash": preprocessing_hash,
    }
    write_json(new / "zarr.json", _group(root))
    new.rename(path)


def _group(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


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
    from brainfm.store.read import open_store

    # The lock is on a file that never changes, so that nothing foreign lies in the root group.
    with (path / QUARANTINE / "zarr.json").open("r+") as lock:
        _lock(lock, path)
        before, changed = open_store(path), _changed(path)
        listed = before.attributes.get("table")
        _ = before.table  # read while one file tells it
        _set_table(path, None)
        _sweep(path)
        held = Held(before, uuid4().hex)
        (path / PARTIAL / held.run).mkdir(parents=True)
        yield held
        _sweep(path)
        if listed is not None and _changed(path) == changed:
            _set_table(path, listed)
        else:
            write_table(path)


def is_held(path: Path, run: str) -> bool:
    """Whether the ingest of that name still holds the store."""
    return (path / PARTIAL / run).is_dir()


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


def write_table(path: Path) -> None:
    """List all recordings in the root's attributes, so that opening reads one file."""
    from brainfm.store.read import list_entries

    rows = list_entries(LocalFiles(path))
    _set_table(path, {c: [row[c] for row in rows] for c in COLUMNS})


def _set_table(path: Path, table: dict[str, list[Any]] | None) -> None:
    root = read_json(path / "zarr.json")
    root["attributes"].pop("table", None)
    if table is not None:
        root["attributes"]["table"] = table
    write_json(path / "zarr.json", root)


def write_recording(
    path: Path,
    recording: Recording,
    source_sha256: str,
    *,
    source_stat: str = "",
    encoding: str = "int16",
    run: str = "",
) -> Entry:
    """Write one recording under a temporary name, flush it to disk, then give it its own.

    What the store had of the same source is replaced. The recording is read block by block, and a
    second time where integers turn out too coarse for it and it is written as floats.

    Parameters
    ----------
    path
        of the store.
    recording
        the recording.
    source_sha256
        of its files' bytes.
    source_stat
        of its files' sizes and times, see `Entry`.
    encoding
        ``int16`` or ``float32``, see `brainfm.store.encoding`.
    run
        name of the ingest that holds the store; nothing is written when another has taken over.

    Raises
    ------
    Refused
        If the recording turns out bad on the way; the store is as it was.
    """
    temporary = path / PARTIAL / run / uuid4().hex
    temporary.mkdir(parents=not run)
    try:
        try:
            written, findings = _write_signal(temporary, recording, ENCODINGS[encoding])
        except TooCoarse:
            shutil.rmtree(temporary / "signal")
            written, findings = _write_signal(temporary, recording, ENCODINGS["float32"])
        entry = _entry(recording, findings, written, source_sha256, source_stat)
        write_json(temporary / "zarr.json", _group(entry_attributes(entry)))
        _flush(temporary)
        final = path / RECORDINGS / entry.id
        if final.exists():
            remove_recording(path, entry.id)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush_folder(final.parent)
    return entry


def _write_signal(
    folder: Path, recording: Recording, encoding: Encoding
) -> tuple[Written, Findings]:
    writer = SignalWriter(
        folder,
        n_channels=len(recording.sensors),
        n_times=recording.n_times,
        sfreq=recording.sfreq,
        encoding=encoding,
    )
    findings = consume(recording.blocks(), writer.take)
    return writer.finish(), findings


def remove_recording(path: Path, id: str) -> None:
    """Take a recording out of the store, at once."""
    aside = path / f"{PARTIAL}.{uuid4().hex}"
    (path / RECORDINGS / id).rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def note_stat(path: Path, id: str, source_stat: str) -> None:
    """Note that the source of a recording has other times, but the bytes that it had."""
    file = path / RECORDINGS / id / "zarr.json"
    group = read_json(file)
    group["attributes"] |= {"source_stat": source_stat}
    write_json(file, group)
    os.utime(path / RECORDINGS)  # the table has to be made anew


def write_quarantine(
    path: Path,
    source: str,
    *,
    reason: str,
    detail: str,
    sha256: str,
    recipe_hash: str,
    stat: str = "",
    version: str = "",
) -> None:
    """Note that a source did not come in, why, and which version of brainfm said so."""
    value = {
        "source": source,
        "reason": reason,
        "detail": detail,
        "source_key": source_key(source),
        "source_sha256": sha256,
        "source_stat": stat,
        "recipe_hash": recipe_hash,
        "version": version,
    }
    write_json(path / QUARANTINE / f"{source_key(source)}.json", value)


def clear_quarantine(path: Path, source: str) -> None:
    """Forget that a source did not come in."""
    (path / QUARANTINE / f"{source_key(source)}.json").unlink(missing_ok=True)


def _entry(
    recording: Recording,
    findings: Findings,
    written: Written,
    source_sha256: str,
    source_stat: str,
) -> Entry:
    who = {
        "subject": recording.subject,
        "session": recording.session,
        "run": recording.run,
        "task": recording.task,
        "source": recording.source,
        "source_sha256": source_sha256,
    }
    annotations = join_annotations(recording.annotations, findings.annotations)
    sensors = _marked(recording.sensors, findings.bads)
    return Entry(
        id=recording_id(**who),
        **who,
        dataset=str(recording.provenance.get("recipe", "")),
        recipe_hash=str(recording.provenance.get("recipe_hash", "")),
        source_key=source_key(recording.source),
        source_stat=source_stat,
        sfreq=recording.sfreq,
        n_times=recording.n_times,
        n_channels=len(sensors),
        n_bad=sum(sensors.bad),
        kinds=",".join(sorted(set(sensors.kind))),
        dtype=written.dtype,
        checksum=written.checksum,
        fingerprint=written.fingerprint,
        sensors=sensors_to_json(sensors),
        annotations=annotations_to_json(annotations),
        provenance=recording.provenance | findings.provenance,
    )


def _marked(sensors: Sensors, bads: Sequence[str]) -> Sensors:
    """Return the sensors with ``bads`` marked beside those that were."""
    pairs = zip(sensors.names, sensors.bad, strict=True)
    return replace(sensors, bad=tuple(bad or name in bads for name, bad in pairs))


def _flush(folder: Path) -> None:
    for where, _, files in os.walk(folder, topdown=False):
        for name in files:
            with open(os.path.join(where, name), "rb") as file:
                os.fsync(file.fileno())
        _flush_folder(Path(where))


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
