"""Whether every recording is still what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from brainfm.store.read import Store
from brainfm.store.schema import signal_checksum


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
        entry = store.entry(id)
        signal = store.read(id, 0, entry.n_times)
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if signal.shape != (entry.n_channels, entry.n_times):
        return f"has shape {signal.shape}, written was {(entry.n_channels, entry.n_times)}"
    return None if signal_checksum(signal) == entry.checksum else "does not have its checksum"
