"""Is a FIF file whole, and where does it go on? Its tags are walked from the first to the last."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from brainfm.recordings.quarantine import Reason, Refused

_FILE_ID = 100  # FIFF.FIFF_FILE_ID, the first tag of every FIF file
_REF_ROLE, _REF_FILE_NAME = 115, 118  # FIFF.FIFF_REF_ROLE, FIFF.FIFF_REF_FILE_NAME
_PREVIOUS_FILE, _NEXT_FILE = 1, 2  # FIFF.FIFFV_ROLE_PREV_FILE, FIFF.FIFFV_ROLE_NEXT_FILE
_TAG = struct.Struct(">iiii")  # kind, type, size in bytes, position of the next tag


def check_fif(path: Path) -> None:
    """Raise `Refused` unless the chain of tags ends inside the file and nothing goes before it."""
    _check_end(path)
    if _named(path, _PREVIOUS_FILE) is not None:
        raise Refused(
            Reason.incomplete,
            "It is a later part of a recording, and no part here names it as the next; "
            "get all parts, named as they were written.",
        )


def _check_end(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        position, first = 0, True
        while position + _TAG.size <= size:
            file.seek(position)
            kind, _, length, following = _TAG.unpack(file.read(_TAG.size))
            if first and kind != _FILE_ID:
                raise Refused(Reason.unknown_format, "It does not begin as a FIF file does.")
            end = position + _TAG.size + length
            if length < 0 or following < -1 or 0 < following <= position:
                raise Refused(Reason.damaged, f"Its tag at byte {position} leads nowhere.")
            if end > size:
                break
            if following == -1 or (end == size and following == 0):
                return
            position, first = following or end, False
    raise Refused(
        Reason.truncated,
        f"It ends after {size:,} bytes, before its last tag does; get the whole file.",
    )


def next_file(path: Path) -> Path | None:
    """Return the file that goes on where this one ends, None where it names none."""
    return _named(path, _NEXT_FILE)


def _named(path: Path, wanted: int) -> Path | None:
    """Return the last file that this one names in a role, beside it, None where it names none."""
    role, named = None, None
    with path.open("rb") as file:
        for kind, position, length in _tags(file):
            if kind == _REF_ROLE:
                file.seek(position)
                role = int.from_bytes(file.read(4), "big")
            elif kind == _REF_FILE_NAME and role == wanted:
                file.seek(position)
                name = file.read(min(length, 4096)).decode("latin1")
                named = path.with_name(Path(name).name)
    return named


def _tags(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield kind, position of the data and length of each tag, to the end or the first bad one."""
    position, size = 0, file.seek(0, 2)
    while position >= 0 and position + _TAG.size <= size:
        file.seek(position)
        kind, _, length, following = _TAG.unpack(file.read(_TAG.size))
        if length < 0 or following < -1 or 0 < following <= position:
            return
        yield kind, position + _TAG.size, length
        if following == -1:
            return
        position = following or position + _TAG.size + length
