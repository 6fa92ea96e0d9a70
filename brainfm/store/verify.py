"""Whether every recording is still what was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from brainfm.store.checksum import Checksum
from brainfm.store.encoding import Encoded
from brainfm.store.files import NoRanges, Unreached
from brainfm.store.read import Store, open_store, read_attributes
from brainfm.store.schema import (
    COLUMNS,
    QUARANTINE,
    RECORDINGS,
    Entry,
    group_json,
    hash_of_description,
    whole_table,
)
from brainfm.store.shards import scale_metadata


@dataclass(frozen=True)
class Check:
    """What was found of one recording.

    Attributes
    ----------
    id
        of the recording.
    problem
        what is wrong with it, or None.
    """

    id: str
    problem: str | None


def verify_store(store: Store) -> Iterator[Check]:
    """Read every recording and compare it with its checksums and its row in the store's table.

    Where something is wrong it is looked at again at the end, in the store as it is then: an ingest
    may have replaced a recording while it was read, or taken it out.
    """
    wrong = []
    for check in _checks(store, store.table["id"]):
        if check.problem is None:
            yield check
        else:
            wrong.append(check.id)
    if wrong:
        now = open_store(store.path)
        there = set(now.table["id"])
        yield from (Check(id, None) for id in wrong if id not in there)
        yield from _checks(now, [id for id in wrong if id in there])


def find_broken(store: Store) -> list[str]:
    """Return what is not as it was written of the files that belong to no recording."""
    keys = [f"{folder}/zarr.json" for folder in (RECORDINGS, QUARANTINE)]
    broken = [key for key in keys if _json(store, key) != group_json({})]
    if "table" in store.attributes and whole_table(store.attributes) is None:
        broken.append("the table in zarr.json")
    return broken


def _json(store: Store, key: str) -> Any:
    try:
        return json.loads(store.files.read(key))
    except (OSError, ValueError):
        return None


def _checks(store: Store, ids: Iterable[str]) -> Iterator[Check]:
    listed, lost = _listed(store), set(store.lost)
    for id in ids:
        gone = "is listed, and its folder is not there" if id in lost else None
        yield Check(id, gone or _problem(store, id, listed.get(id, {})))


def _listed(store: Store) -> dict[str, dict[str, Any]]:
    """Return the rows of the root's table by id; none where there is no table, as after a kill."""
    columns = whole_table(store.attributes)
    if columns is None:
        return {}
    # The source's times may be renewed while this reads.
    kept = {c: columns[c] for c in COLUMNS if c != "source_stat"}
    rows = (dict(zip(kept, row, strict=True)) for row in zip(*kept.values(), strict=True))
    return {row["id"]: row for row in rows}


def _problem(store: Store, id: str, row: dict[str, Any]) -> str | None:
    # Whatever a damaged file makes a decoder raise, the other recordings are still to be checked.
    try:
        entry = store.entry(id)
        attributes = read_attributes(store.files, id)
        return (
            _misdescribed(attributes)
            or _mislisted(store, attributes, row)
            or _difference(store, entry)
        )
    except (NoRanges, Unreached):  # says nothing of the recording
        raise
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _misdescribed(attributes: dict[str, Any]) -> str | None:
    written = attributes.get("described")  # an older brainfm wrote none
    if written and hash_of_description(attributes) != written:
        return "has a zarr.json that does not have its checksum"
    return None


def _mislisted(store: Store, attributes: dict[str, Any], row: dict[str, Any]) -> str | None:
    other = [column for column, value in row.items() if attributes[column] != value]
    # An ingest that began since may have replaced the recording.
    if not other or open_store(store.path).attributes.get("table") != store.attributes.get("table"):
        return None
    return f"is listed with another {other[0]} than its zarr.json has"


def _difference(store: Store, entry: Entry) -> str | None:
    signal = store.signals.signal(entry.id)
    if signal.scale is not None:
        shape = (len(signal.scale), entry.n_channels)
        if _json(store, f"{RECORDINGS}/{entry.id}/scale/zarr.json") != scale_metadata(
            shape, layout=signal.layout
        ):
            return "has a scale whose zarr.json is not what was written"
    if (signal.n_channels, signal.n_times) != (entry.n_channels, entry.n_times):
        return (
            f"has shape {(signal.n_channels, signal.n_times)}, written was "
            f"{(entry.n_channels, entry.n_times)}"
        )
    checksum = Checksum(like=entry.checksum)
    for shard in signal.shards:
        scale = None if signal.scale is None else signal.scale[shard, :, 0]
        checksum.take(Encoded(store.signals.stored(entry.id, shard), scale))
    return None if checksum.text() == entry.checksum else "does not have its checksum"
