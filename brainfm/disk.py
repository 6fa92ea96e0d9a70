"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, then give it its own.

    Whatever interrupts it leaves the old file, or none, in place; two that write at once do not mix.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def flush(folder: Path) -> None:
    """Flush a folder and all that is in it to the disk, together: one by one takes twice as long."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(_flush, [folder, *folder.rglob("*")]):
            pass


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can open folders."""
    if os.name == "posix":
        _flush(folder)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder, and below it, that no other process writes into."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{32}", path.name):
            path.unlink()
