"""Is a file whole whose reader does not ask? Samples lie there as rows of one number a channel.

What a header promises must be there; where it promises no length, at least the last row is complete and
every marker lies on a sample. A cut between two rows of such a file, behind the last marker, leaves a
file that nothing tells from a shorter recording.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from brainfm.recordings.parts import beside, named
from brainfm.recordings.quarantine import Reason, Refused

_BRAINVISION_BYTES = {b"INT_16": 2, b"UINT_16": 2, b"INT_32": 4, b"IEEE_FLOAT_32": 4}
_PERSYST_BYTES = {b"0": 2, b"7": 4}
_EXIMIA_ROW = 64 * 2


def check_brainvision(path: Path) -> None:
    """Raise `Refused` unless the data of a header are whole rows, as many as it and the markers say."""
    header = path.read_bytes()
    width = _BRAINVISION_BYTES.get(_value(header, b"BinaryFormat") or b"")
    n_channels = int(_value(header, b"NumberOfChannels") or 0)
    others = [p for p in named(path)[1:] if p.suffix.lower() not in (".vmrk", ".amrk")]
    if not (width and n_channels and others):
        return  # text, or a header that its reader refuses
    rows = _rows(others[0], width * n_channels)
    promised = int(_value(header, b"DataPoints") or rows)
    if promised != rows:
        raise _cut(f"Its header promises {promised:,} samples, {rows:,} are there")
    last = max((_last_marker(p) for p in named(path) if p.suffix.lower() == ".vmrk"), default=0)
    if last > rows:
        raise _cut(f"A marker stands at sample {last:,}, {rows:,} are there")


def check_persyst(path: Path) -> None:
    """Raise `Refused` unless the data of a ``.lay`` file are whole rows."""
    header = path.read_bytes()
    width = _PERSYST_BYTES.get(_value(header, b"DataType") or b"")
    n_channels = int(_value(header, b"WaveformCount") or 0)
    others = named(path)[1:]
    if width and n_channels and others:
        _rows(others[0], width * n_channels)


def check_nicolet(path: Path) -> None:
    """Raise `Refused` unless the file holds what the ``.head`` beside it promises."""
    header = b"".join(p.read_bytes() for p in beside(".head")(path)[1:2])
    keys = (b"num_samples", b"num_channels", b"sample_bytes")
    samples, channels, width = (int(_value(header, key) or 0) for key in keys)
    size = path.stat().st_size
    if samples * channels * width != size:
        raise _cut(
            f"Its .head promises {samples:,} samples of {channels} channels and {width} bytes each, "
            f"the file has {size:,} bytes"
        )


def check_eximia(path: Path) -> None:
    """Raise `Refused` unless the file is whole rows."""
    _rows(path, _EXIMIA_ROW)


def _rows(path: Path, row: int) -> int:
    size = os.path.getsize(path)
    if size % row:
        raise _cut(f"Its last sample is cut: {size:,} bytes are no multiple of {row}")
    return size // row


def _cut(met: str) -> Refused:
    return Refused(Reason.truncated, f"{met}; get the file again.")


def _value(header: bytes, key: bytes) -> bytes | None:
    match = re.search(rb"^\s*" + key + rb"\s*=\s*(\w+)", header, re.MULTILINE)
    return match and match.group(1)


def _last_marker(path: Path) -> int:
    places = re.findall(rb"^Mk\d+=[^,]*,[^,]*,\s*(\d+)\s*,", path.read_bytes(), re.MULTILINE)
    return max(map(int, places), default=0)
