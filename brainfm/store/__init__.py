"""Recordings in a zarr store: written whole or not at all, read by window."""

from brainfm.store.read import Store, open_store

__all__ = ["Store", "open_store"]
