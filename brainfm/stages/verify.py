"""Is a store still what was written."""

from __future__ import annotations

from pathlib import Path

from brainfm.errors import WorkError
from brainfm.store.read import open_store
from brainfm.store.verify import verify_store


def verify(store: Path) -> None:
    """Check every recording of a store against its checksum.

    Parameters
    ----------
    store
        the store.

    Raises
    ------
    UsageError
        If there is no store.
    WorkError
        If a recording is damaged; each is named.
    """
    checks = list(verify_store(open_store(store)))
    damaged = [check for check in checks if check.problem is not None]
    for check in damaged:
        print(f"{check.id} {check.problem}")
    if damaged:
        raise WorkError(
            f"{len(damaged)} of {len(checks)} recordings of {store} are damaged "
            f"({', '.join(check.id for check in damaged)}); remove their folders and ingest again."
        )
    print(f"{store}: {len(checks)} recordings, every one as it was written")
