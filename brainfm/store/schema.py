"""How a store is laid out.

::

    S.zarr/
      zarr.json                     root group; attributes: version, preprocessing, its hash,
                                    `people_of` (by data set, whose codes its subjects have) and,
                                    after a complete ingest, `table`: a list a column
      recordings/<id>/zarr.json     group of one recording; attributes: `Entry` and, as
                                    `described`, `hash_of_description`
      recordings/<id>/signal/       (channel, time), int16 or float32; a chunk is all channels × 4 s,
                                    a shard as many chunks as are 32 MB of float32; shards are the
                                    files c.0.<shard>, beside the array's zarr.json
      recordings/<id>/scale/        float32 (shard, channel): SI units of one count of an int16
                                    signal; a float32 signal has none, it is in SI units
      quarantine/<source key>.json  a file that did not come in, with its reason
      .partial/                     what is being written; never listed, swept by the next ingest

Opening reads one file: the table stands in the root's attributes, a summary far smaller than zarr's
own consolidated metadata would be. An ingest takes it away before it changes anything and puts it
back when done, so after a kill the recordings themselves are listed and nothing is missed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.disk import write_whole
from brainfm.recordings.recording import Annotations, Sensors

VERSION = 4
"""Raised when an older brainfm could not read the store."""

READABLE = (2, 3, VERSION)
"""The versions that are read; an ingest into an older store makes it one of this version."""

CHUNK_SECONDS = 4.0
SHARD_BYTES = 32_000_000
"""Of float32: what writing a recording holds in memory a few times over."""

LONGEST = 243
"""Characters of an id before its hash; file systems take 255 in all."""

RECORDINGS = "recordings"
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Entry:
    """What a recording's group says of it, as attributes.

    Attributes
    ----------
    id
        name of the group.
    dataset
        name of the recipe.
    subject, session, run, task
        as in `brainfm.recordings.Recording`.
    source
        path as it was given to the ingest.
    source_key
        hash of the absolute path; the path itself would name people's folders.
    source_sha256, recipe_hash
        of the file's bytes and of what was done to them; they tell whether the recording is still
        that of its source.
    source_stat
        hash of the sizes and times of the source's files, empty where they prove nothing; while it
        is the same, the bytes need not be read.
    sfreq, n_times, n_channels
        of the signal.
    n_bad
        how many channels the file, its side files or the ingest found bad.
    kinds
        the kinds of sensors, sorted, joined by commas.
    dtype
        how the signal is stored: ``int16`` or ``float32``, see `brainfm.store.encoding`.
    checksum
        of the signal, see `brainfm.store.checksum`.
    fingerprint
        see `brainfm.store.fingerprint`.
    sensors, annotations, provenance
        values that JSON can hold.
    """

    id: str
    dataset: str
    subject: str
    session: str | None
    run: str | None
    task: str | None
    source: str
    source_key: str
    source_sha256: str
    source_stat: str
    recipe_hash: str
    sfreq: float
    n_times: int
    n_channels: int
    n_bad: int
    kinds: str
    dtype: str
    checksum: str
    fingerprint: str
    sensors: dict[str, Any]
    annotations: dict[str, Any]
    provenance: dict[str, Any]


LONG = ("sensors", "annotations", "provenance", "checksum")
COLUMNS = tuple(f.name for f in fields(Entry) if f.name not in LONG)
"""The fields of `Entry` that stand in the table of the root."""


_NUMBERS = ("sfreq", "n_times", "n_channels", "n_bad")


def whole_table(attributes: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Return the table in a root's attributes, None where there is none or it is damaged."""
    table = attributes.get("table")
    if not isinstance(table, dict) or not all(isinstance(table.get(c), list) for c in COLUMNS):
        return None
    same = len({len(table[c]) for c in COLUMNS}) == 1
    named = all(isinstance(value, str) for value in table["id"])
    counted = all(isinstance(value, int | float) for c in _NUMBERS for value in table[c])
    return table if same and named and counted else None


def entry_attributes(entry: Entry) -> dict[str, Any]:
    """Return the attributes that hold ``entry``, with the hash of them."""
    attributes = asdict(entry)
    return attributes | {"described": hash_of_description(attributes)}


def hash_of_description(attributes: dict[str, Any]) -> str:
    """Return the sha256 of a recording's attributes but ``source_stat``, which an ingest may renew."""
    kept = {k: v for k, v in attributes.items() if k not in ("source_stat", "described")}
    # Through JSON and back: tuples, and keys that are numbers, are sorted as they will be read.
    text = json.dumps(json.loads(json.dumps(kept)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def entry_of(attributes: dict[str, Any]) -> Entry:
    """Return the entry that attributes hold; keys of later versions are passed over."""
    return Entry(**{f.name: attributes[f.name] for f in fields(Entry)})


def recording_id(
    *,
    subject: str,
    session: str | None,
    task: str | None,
    run: str | None,
    source: str,
    source_sha256: str,
) -> str:
    """Return a readable name that is unique, and safe on any file system.

    The hash at its end is of the path as given and of the file's bytes: the same on every machine,
    another for every other file.
    """
    entities = (("sub", subject), ("ses", session), ("task", task), ("run", run))
    parts = [f"{key}-{_safe(value)}" for key, value in entities if value is not None]
    if sum(map(len, parts)) > LONGEST:
        parts = [part[:50] for part in parts]
    name = Path(os.path.normpath(source)).as_posix()
    tag = hashlib.sha256(f"{name}\0{source_sha256}".encode("utf-8", "surrogateescape")).hexdigest()
    return "_".join([*parts, tag[:8]])


def _safe(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9+.]+", "-", value).strip("-.")[:60] or "x"


def source_key(source: str) -> str:
    """Return the hash of a file's absolute path; what is no path (``moabb:…``) stands for itself."""
    path = source if source.startswith("moabb:") else os.path.abspath(source)
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def sensors_to_json(sensors: Sensors) -> dict[str, Any]:
    """Return sensors as lists; an unknown place is null."""
    return {
        "names": list(sensors.names),
        "kind": list(sensors.kind),
        "position": _rows_to_json(sensors.position),
        "orientation": _rows_to_json(sensors.orientation),
        "position_source": list(sensors.position_source),
        "reference": list(sensors.reference),
        "bad": list(sensors.bad),
    }


def sensors_of(value: dict[str, Any]) -> Sensors:
    """Return what `sensors_to_json` was given."""
    return Sensors(
        names=tuple(value["names"]),
        kind=tuple(value["kind"]),
        position=_rows_of(value["position"]),
        orientation=_rows_of(value["orientation"]),
        position_source=tuple(value["position_source"]),
        reference=tuple(value.get("reference", ())),
        bad=tuple(value.get("bad", ())),
    )


def annotations_to_json(annotations: Annotations) -> dict[str, Any]:
    """Return annotations as lists."""
    return {
        "onset": annotations.onset.tolist(),
        "duration": annotations.duration.tolist(),
        "description": list(annotations.description),
        "channels": [list(names) for names in annotations.channels],
    }


def annotations_of(value: dict[str, Any]) -> Annotations:
    """Return what `annotations_to_json` was given."""
    return Annotations(
        onset=np.array(value["onset"], dtype=float),
        duration=np.array(value["duration"], dtype=float),
        description=tuple(value["description"]),
        channels=tuple(tuple(names) for names in value.get("channels", ())),
    )


def _rows_to_json(rows: np.ndarray) -> list[list[float] | None]:
    return [row.tolist() if np.isfinite(row).all() else None for row in np.asarray(rows, float)]


def _rows_of(rows: list[list[float] | None]) -> np.ndarray:
    return np.array([[np.nan] * 3 if row is None else row for row in rows], float).reshape(-1, 3)


def group_json(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def as_json(value: Any) -> bytes:
    """Return JSON as the store's files hold it."""
    return json.dumps(value).encode()


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    write_whole(path, as_json(value))


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
