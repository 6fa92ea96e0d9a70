"""Recordings into a store: each appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from jaxtyping import Float32
from zarr.codecs import BloscCodec

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.recording import Findings, Recording, consume, join_annotations
from brainfm.store.fingerprint import fingerprint
from brainfm.store.schema import (
    CHUNK_SECONDS,
    COLUMNS,
    PARTIAL,
    QUARANTINE,
    RECORDINGS,
    SHARD_BYTES,
    VERSION,
    Entry,
    annotations_to_json,
    entry_attributes,
    read_json,
    recording_id,
    sensors_to_json,
    signal_checksum,
    source_key,
    write_json,
)


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
        attributes = read_root(path)
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


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Hold the store for one ingest: sweep what a killed one left, list the recordings at the end.

    Raises
    ------
    WorkError
        If another ingest holds it.
    """
    # The lock is on a file that never changes, so that nothing foreign lies in the root group.
    with (path / QUARANTINE / "zarr.json").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WorkError(
                f"Another ingest is writing to {path}; wait for its end and call again."
            ) from error
        _set_table(path, None)
        _sweep(path)
        (path / PARTIAL).mkdir()
        yield
        shutil.rmtree(path / PARTIAL, ignore_errors=True)
        write_table(path)


def _sweep(path: Path) -> None:
    shutil.rmtree(path / PARTIAL, ignore_errors=True)
    for folder in (path, path / QUARANTINE):
        for file in folder.glob(".*.json.*"):
            file.unlink(missing_ok=True)


def write_table(path: Path) -> None:
    """List all recordings in the root's attributes, so that opening reads one file."""
    from brainfm.store.read import list_entries

    rows = list_entries(path)
    _set_table(path, {c: [row[c] for row in rows] for c in COLUMNS})


def _set_table(path: Path, table: dict[str, list[Any]] | None) -> None:
    root = read_json(path / "zarr.json")
    root["attributes"].pop("table", None)
    if table is not None:
        root["attributes"]["table"] = table
    write_json(path / "zarr.json", root)


def write_recording(
    path: Path, recording: Recording, source_sha256: str, *, source_stat: str = ""
) -> Entry:
    """Write one recording under a temporary name, flush it to disk, then give it its own.

    What the store had of the same source is replaced.

    Raises
    ------
    Refused
        If the recording turns out bad on the way; the store is as it was.
    """
    parts: list[Float32[np.ndarray, "channel time"]] = []
    findings = consume(recording.blocks(), parts.append)
    signal = np.concatenate(parts, axis=1)
    entry = _entry(recording, signal, findings, source_sha256, source_stat)
    temporary = path / PARTIAL / f"{entry.id}.{uuid4().hex[:8]}"
    temporary.parent.mkdir(exist_ok=True)
    group = zarr.open_group(temporary, mode="w", zarr_format=3, attributes=entry_attributes(entry))
    _write_signal(group, signal, recording.sfreq)
    _flush(temporary)
    final = path / RECORDINGS / entry.id
    if final.exists():
        remove_recording(path, entry.id)
    temporary.rename(final)
    _flush_folder(final.parent)
    return entry


def remove_recording(path: Path, id: str) -> None:
    """Take a recording out of the store, at once."""
    aside = path / PARTIAL / f"{id}.{uuid4().hex[:8]}.old"
    aside.parent.mkdir(exist_ok=True)
    (path / RECORDINGS / id).rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def note_stat(path: Path, id: str, source_stat: str) -> None:
    """Note that the source of a recording has other times, but the bytes that it had."""
    file = path / RECORDINGS / id / "zarr.json"
    group = read_json(file)
    group["attributes"] |= {"source_stat": source_stat}
    write_json(file, group)


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
    signal: Float32[np.ndarray, "channel time"],
    findings: Findings,
    source_sha256: str,
    source_stat: str,
) -> Entry:
    bads = {"bads": list(findings.bads)} if findings.bads else {}
    who = {
        "subject": recording.subject,
        "session": recording.session,
        "run": recording.run,
        "task": recording.task,
        "source": recording.source,
        "source_sha256": source_sha256,
    }
    return Entry(
        id=recording_id(**who),
        **who,
        dataset=str(recording.provenance.get("recipe", "")),
        recipe_hash=str(recording.provenance.get("recipe_hash", "")),
        source_key=source_key(recording.source),
        source_stat=source_stat,
        sfreq=recording.sfreq,
        n_times=signal.shape[1],
        n_channels=signal.shape[0],
        kinds=",".join(sorted(set(recording.sensors.kind))),
        checksum=signal_checksum(signal),
        fingerprint=fingerprint(signal),
        sensors=sensors_to_json(recording.sensors),
        annotations=annotations_to_json(
            join_annotations(recording.annotations, findings.annotations)
        ),
        provenance=recording.provenance | findings.provenance | bads,
    )


def _write_signal(
    group: zarr.Group, signal: Float32[np.ndarray, "channel time"], sfreq: float
) -> None:
    n_channels, n_times = signal.shape
    chunk = max(1, min(round(CHUNK_SECONDS * sfreq), n_times))
    chunks = max(1, min(SHARD_BYTES // (4 * n_channels * chunk), -(-n_times // chunk)))
    array = group.create_array(
        "signal",
        shape=signal.shape,
        dtype="float32",
        chunks=(n_channels, chunk),
        shards=(n_channels, chunk * chunks),
        compressors=BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
        # A shard that is lost must not be read as silence.
        fill_value=float("nan"),
        dimension_names=("channel", "time"),
    )
    array[:] = signal


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
