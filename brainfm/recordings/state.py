"""What a source was when it was read: its bytes, and what tells without reading that they are the same.

The second is as in git's index: sizes and times of change. Times alone do not prove that a file of the
last moments is unchanged (two changes within one tick of the clock share a time), so a young file is
known by its bytes only.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brainfm.recordings.bids.sidecars import PARTICIPANTS, entities, named_path
from brainfm.recordings.recording import Source

SETTLED_SECONDS = 2.0
"""Age from which a file's times count; the coarsest clocks of network disks tick every second."""


@dataclass(frozen=True)
class State:
    """What a source was.

    Attributes
    ----------
    sha256
        of its one file, or of the names and hashes of all its files; empty where it was not read
        for a reason that may pass.
    stat
        hash of its files' sizes and times; empty where they prove nothing.
    """

    sha256: str
    stat: str

    def is_same(self, other: State) -> bool:
        """Whether both are of the same bytes, as far as one of the two proves it."""
        return "" != self.sha256 == other.sha256 or "" != self.stat == other.stat


UNKNOWN = State("", "")


def stat_of(source: Source) -> str:
    """Return the hash of the sizes and times of all files, empty where one is young or not there.

    The time of the inode's change counts too: `cp -p` and `rsync -t` set the other back.
    """
    try:
        stats = [os.stat(file) for file in sorted(source.files)]
    except OSError:
        return ""
    newest = max(max(stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats)
    if time.time_ns() - newest < SETTLED_SECONDS * 1e9:
        return ""
    return _digest(f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for s in stats)


def hash_of(source: Source) -> str:
    """Return the hash of the bytes of all files; of a table of participants, of its own row.

    Raises
    ------
    OSError
        If one cannot be read.
    """
    if len(source.files) == 1:
        return _hash_file(source.files[0])
    folder = os.path.dirname(source.path if os.path.exists(source.path) else source.files[0])
    return _digest(
        f"{os.path.relpath(file, folder)} {_hash_part(file, source.path)}"
        for file in sorted(source.files)
    )


def size_of(source: Source) -> int:
    """Return the bytes of all files that are there."""
    return sum(os.path.getsize(file) for file in source.files if os.path.exists(file))


def times_of(source: Source) -> tuple[tuple[int, int, int], ...]:
    """Return size and times of every file, to be compared with themselves a moment later."""
    stats = map(os.stat, source.files)
    return tuple((s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


def _hash_file(file: str) -> str:
    if os.path.isdir(file):
        os.listdir(
            file
        )  # says that it may not be looked into, where opening says that it is a folder
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _hash_part(file: str, recording: str) -> str:
    # Who joins a data set is no news of the others.
    if os.path.basename(file) != PARTICIPANTS:
        return _hash_file(file)
    named = named_path(Path(recording))
    who = "" if named is None else f"sub-{entities(named.name).get('sub')}"
    with open(file, "rb") as opened:
        head, *rows = opened.read().splitlines() or [b""]
    own = [row for row in rows if who.encode() in (part.strip(b' "') for part in row.split(b"\t"))]
    return hashlib.sha256(b"\n".join([head, *own])).hexdigest()


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
