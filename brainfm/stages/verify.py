"""Is a store still what was written."""

from __future__ import annotations

import json
from pathlib import Path

from brainfm.errors import WorkError
from brainfm.progress import watched
from brainfm.store.files import Unlisted
from brainfm.store.read import Store, open_store, read_quarantine
from brainfm.store.schema import RECORDINGS, group_json
from brainfm.store.verify import find_broken, verify_store


def verify(store: Path) -> None:
    """Check every recording of a store against its checksums, and that all else can be read.

    Where a server lists no folders it says that the quarantine was not looked at.

    Parameters
    ----------
    store
        the store.

    Raises
    ------
    UsageError
        If there is no store.
    WorkError
        If a recording, an entry of the quarantine, or what stands beside them is damaged; each is
        named.
    """
    opened = open_store(store)
    checks = list(watched(verify_store(opened), "Recordings", len(opened.table)))
    damaged = [check for check in checks if check.problem is not None]
    for check in damaged:
        print(f"{check.id} {check.problem}")
    broken = _broken(opened)
    for key in broken:
        print(f"{key} cannot be read")
    told = []
    if damaged:
        told.append(
            f"{len(damaged)} of {len(checks)} recordings of {opened.path} are damaged "
            f"({', '.join(check.id for check in damaged)}); remove their folders below "
            f"{opened.path}/{RECORDINGS} and ingest again."
        )
    if broken:
        told.append(
            f"{len(broken)} entries of the quarantine of {opened.path} cannot be read "
            f"({', '.join(broken)}); remove these files and ingest again."
        )
    if beside := find_broken(opened):
        told.append(
            f"Of {opened.path} {', '.join(beside)} is not as it was written; ingest again for a table, "
            f"and write {json.dumps(group_json({}))} into such a file."
        )
    if told:
        raise WorkError(" ".join(told))
    print(f"{opened.path}: {len(checks)} recordings, every one as it was written")


def _broken(store: Store) -> list[str]:
    """Return the entries of the quarantine that cannot be read."""
    try:
        return [key for key, row in read_quarantine(store.files).items() if row is None]
    except Unlisted:
        print(f"The server of {store.path} lists no folders: its quarantine was not looked at")
        return []
