"""Is a FIF file whole? Its tags are walked from the first to the last."""

from __future__ import annotations

import struct
from pathlib import Path

from brainfm.recordings.quarantine import Reason, Refused

_FILE_ID = 100  # FIFF.FIFF_FILE_ID, the first tag of every FIF file
_TAG = struct.Struct(">iiii")  # kind, type, size in bytes, position of the next tag


def check_fif(path: Path) -> None:
    """Raise `Refused` unless the chain of tags ends inside the file."""
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
