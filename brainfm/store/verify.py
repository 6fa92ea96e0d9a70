"""Whether every recording is still what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from brainfm.store.encoding import Encoded
from brainfm.store.read import Store
from brainfm.store.schema import Entry
from brainfm.store.stream import update_checksum


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
    """Read every recording and compare it with its checksum."""
    for id in store.table["id"]:
        yield Check(id, _problem(store, id))


def _problem(store: Store, id: str) -> str | None:
    # Whatever a damaged file makes a decoder raise, the other recordings are still to be checked.
    try:
        return _difference(store, store.entry(id))
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _difference(store: Store, entry: Entry) -> str | None:
    signal = store.signals.signal(entry.id)
    if (signal.n_channels, signal.n_times) != (entry.n_channels, entry.n_times):
        return (
            f"has shape {(signal.n_channels, signal.n_times)}, written was "
            f"{(entry.n_channels, entry.n_times)}"
        )
    checksum = hashlib.sha256()
    for shard in signal.shards:
        scale = None if signal.scale is None else signal.scale[shard, :, 0]
        update_checksum(checksum, Encoded(store.signals.stored(entry.id, shard), scale))
    return None if checksum.hexdigest() == entry.checksum else "does not have its checksum"
