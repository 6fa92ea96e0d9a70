"""Recordings into a store: each appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from brainfm.disk import flush
from brainfm.recordings.recording import (
    Findings,
    Recording,
    Sensors,
    consume,
    join_annotations,
)
from brainfm.store.encoding import ENCODINGS, Encoding, TooCoarse
from brainfm.store.files import PARTIAL
from brainfm.store.schema import (
    QUARANTINE,
    RECORDINGS,
    Entry,
    annotations_to_json,
    as_json,
    entry_attributes,
    group_json,
    hash_of_description,
    read_json,
    recording_id,
    sensors_to_json,
    source_key,
    write_json,
)
from brainfm.store.stream import SignalWriter, Written


def is_held(path: Path, run: str) -> bool:
    """Whether the ingest of that name still holds the store, see `brainfm.store.hold.writing`."""
    return (path / PARTIAL / run).is_dir()


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
    second time where integers turn out too coarse for it and it is written as floats. The new name itself
    is flushed once for all recordings, by `brainfm.store.hold.writing`: where the machine fails before, a
    recording is missing, which the next ingest sees, and never half.

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
        (temporary / "zarr.json").write_bytes(as_json(group_json(entry_attributes(entry))))
        flush(temporary)
        final = path / RECORDINGS / entry.id
        if final.exists():
            remove_recording(path, entry.id, run=run)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
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


def remove_recording(path: Path, id: str, *, run: str = "") -> None:
    """Take a recording out of the store, at once."""
    aside = path / PARTIAL / run / uuid4().hex
    (path / RECORDINGS / id).rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def note_stat(path: Path, id: str, source_stat: str, *, run: str = "") -> None:
    """Note that the source of a recording has other times, but the bytes that it had."""
    file = path / RECORDINGS / id / "zarr.json"
    group = read_json(file)
    group["attributes"] |= {"source_stat": source_stat}
    _put_json(path, file, group, run=run)
    os.utime(path / RECORDINGS)  # the table has to be made anew


def note_place(path: Path, id: str, *, source: str, source_stat: str, run: str = "") -> None:
    """Note that the source of a recording lies elsewhere, by the same path as given."""
    file = path / RECORDINGS / id / "zarr.json"
    group = read_json(file)
    attributes = group["attributes"]
    attributes |= {"source_key": source_key(source), "source_stat": source_stat}
    if "described" in attributes:
        attributes["described"] = hash_of_description(attributes)
    _put_json(path, file, group, run=run)
    os.utime(path / RECORDINGS)  # the table has to be made anew


def _put_json(path: Path, file: Path, value: Any, *, run: str) -> None:
    """Write JSON whole or not at all, and not where another ingest has taken over."""
    staged = path / PARTIAL / run / uuid4().hex
    write_json(staged, value)
    staged.replace(file)


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
    run: str = "",
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
    _put_json(path, path / QUARANTINE / f"{value['source_key']}.json", value, run=run)


def clear_quarantine(path: Path, key: str) -> None:
    """Forget that the source of that key did not come in."""
    (path / QUARANTINE / f"{key}.json").unlink(missing_ok=True)


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
