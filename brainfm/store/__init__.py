"""Recordings in a zarr store: written whole or not at all, read by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brainfm.store.read import Store, open_store

__all__ = ["Store", "open_store"]


def __getattr__(name: str) -> Any:
    # Imported when first used: a worker that writes does without the table, and so without pandas.
    if name in __all__:
        from brainfm.store import read

        return getattr(read, name)
    raise AttributeError(f"module 'brainfm.store' has no attribute {name!r}")
