"""Are the files of a recording whole? Checks of what headers promise, where MNE takes what it finds.

One function a format; EDF, BDF and FIF have files of their own. All raise `Refused`.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from brainfm.recordings.quarantine import Reason, Refused

_VHDR = re.compile(r"^\s*(\w+)[ \t]*=[ \t]*(.*?)\s*$", re.MULTILINE)
_BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
_POSITION = re.compile(r"^Mk\d+=[^,\n]*,[^,\n]*,(\d+)", re.MULTILINE)

PATIENCE = 120
"""Seconds after which a reader that is tried in a process of its own is taken to hang."""


PAUSE = 0.5
"""Seconds between two stretches from which they are no one recording; less is a clock put right."""


def check_brainvision(path: Path) -> None:
    """Check the data against the channels, the samples that some headers state, and the last marker.

    Markers need not be there where the header names none.
    """
    fields = dict(_VHDR.findall(_text(path)))
    data, named = _beside(path, fields.get("DataFile", "")), fields.get("MarkerFile", "")
    markers = _text(_beside(path, named)) if named else ""
    if fields.get("DataFormat", "").upper() != "BINARY":
        return
    frame = _whole(fields, "NumberOfChannels") * _BYTES.get(fields.get("BinaryFormat", ""), 0)
    if frame <= 0:
        raise Refused(
            Reason.damaged,
            f"Its header names no channels, or a BinaryFormat that is none of {', '.join(_BYTES)}; "
            "get the original.",
        )
    samples, rest = divmod(data.stat().st_size, frame)
    last = max(map(int, _POSITION.findall(markers)), default=0)
    if rest or not samples or last > samples:
        raise _cut(data.stat().st_size, f"its last marker stands at sample {last}", samples)
    if "DataPoints" in fields:
        _expect(data, frame * _whole(fields, "DataPoints"))


def check_nicolet(path: Path) -> None:
    """Check the data against the header's channels and samples."""
    text = _text(path.with_suffix(".head"))
    fields = dict(_VHDR.findall(text))
    samples, channels = _whole(fields, "num_samples"), _whole(fields, "num_channels")
    names = re.search(r"^elec_names=\[(.*)\]", text, re.MULTILINE)
    if names is None or names.group(1).count(",") + 1 != channels:
        raise Refused(Reason.damaged, f"Its .head does not name its {channels} channels.")
    _expect(path, 2 * samples * channels)


def check_persyst(path: Path) -> None:
    """Check the data against the layout's channels, its last comment and the times of its stretches."""
    text = _text(path)
    fields = dict(_VHDR.findall(text))
    width = {"0": 2, "7": 4}.get(fields.get("DataType", ""), 0)
    frame = _whole(fields, "WaveformCount") * width
    data = _beside(path, fields.get("File", ""))
    if frame <= 0:
        raise Refused(Reason.damaged, "Its layout names no channels or no type of its numbers.")
    size = data.stat().st_size - _whole(fields, "HeaderLength")
    # A comment is "onset in s, duration, …"; a stretch is "first sample=time of day in s".
    onsets = [float(onset) for onset in _rows(text, "Comments", r"^(\d+\.\d+),")]
    stretches = [(int(a), float(b)) for a, b in _rows(text, "SampleTimes", r"^(\d+)=([\d.]+)")]
    samples, rate = size // frame, _rate(fields)
    last = max([*(onset * rate for onset in onsets), *(first for first, _ in stretches)], default=0)
    if size % frame or not samples or last > samples:
        raise _cut(size, f"its layout speaks of sample {last:,.0f}", samples)
    for (first, begin), (following, resumed) in pairwise(stretches):
        # At midnight the clock begins anew.
        pause = (resumed - begin) % 86_400 - (following - first) / rate
        if abs(pause) > PAUSE:
            raise Refused(
                Reason.discontinuous,
                f"It was interrupted for {pause:g} s; cut it into its continuous parts.",
            )


def _rows(text: str, section: str, pattern: str) -> list[Any]:
    """Return what ``pattern`` finds in one section of a layout."""
    return re.findall(pattern, text.partition(f"[{section}]")[2].partition("\n[")[0], re.MULTILINE)


def check_eximia(path: Path) -> None:
    """Check that the file ends with a whole sample of its 64 channels."""
    if path.stat().st_size % 128:
        raise _cut(path.stat().st_size, "64 channels of 2 bytes are a sample")


def check_ctf(path: Path) -> None:
    """Check the data against the resources' trials."""
    samples, channels, trials = ctf_trials(path)
    parts = [*path.glob("*.meg4"), *path.glob("*.[0-9]_meg4")]
    if not parts:
        raise Refused(Reason.incomplete, "It has no .meg4; get the whole folder.")
    # Each file begins with eight bytes that say what it is.
    size = sum(part.stat().st_size - 8 for part in parts)
    _expect_size(size, 4 * samples * channels * trials)


def ctf_trials(path: Path) -> tuple[int, int, int]:
    """Return the samples of a trial, channels and trials that a CTF folder's resources state."""
    resources = sorted(path.glob("*.res4"))
    if len(resources) != 1:
        raise Refused(
            Reason.incomplete,
            f"It has {len(resources)} .res4 files; one is wanted, get the folder.",
        )
    with resources[0].open("rb") as file:
        head = file.read(1320)
    if len(head) < 1320 or not head.startswith(b"MEG4"):
        raise Refused(Reason.truncated, "Its .res4 ends early or is none; get the original.")
    samples, channels = struct.unpack(">ih", head[1288:1294])
    return samples, channels, struct.unpack(">h", head[1312:1314])[0]


def check_gdf(path: Path) -> None:
    """Check the records against the header (GDF 1.x and 2.x)."""
    with path.open("rb") as file:
        head = file.read(256)
        if len(head) < 256 or not head.startswith(b"GDF "):
            raise Refused(Reason.unknown_format, "It does not begin as a GDF file does.")
        version = float(head[4:8].strip() or b"0")
        channels = struct.unpack(
            "<i" if version < 1.9 else "<h", head[252:256][: 4 if version < 1.9 else 2]
        )[0]
        records = struct.unpack("<q", head[236:244])[0]
        if not 0 < channels < 10_000:
            raise Refused(Reason.damaged, f"Its header states {channels} channels.")
        rest = file.read(256 * channels)
    if len(rest) < 256 * channels:
        raise Refused(Reason.truncated, "It ends inside its header; get the whole file.")
    samples = struct.unpack(f"<{channels}i", rest[216 * channels : 220 * channels])
    types = struct.unpack(f"<{channels}i", rest[220 * channels : 224 * channels])
    widths = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 16: 4, 17: 8, 255 + 24: 3, 511 + 24: 3}
    if not set(types) <= set(widths) or min(samples) < 0 or records < 0:
        raise Refused(Reason.damaged, "Its header states types or lengths that do not exist.")
    record = sum(n * widths[t] for n, t in zip(samples, types, strict=True))
    if path.stat().st_size < 256 * (channels + 1) + records * record:
        raise _cut(path.stat().st_size, f"{records:,} records of {record:,} bytes are promised")


def check_cnt(path: Path) -> None:
    """Check that Neuroscan's event table, behind the samples, lies inside the file."""
    with path.open("rb") as file:
        file.seek(886)
        table = int.from_bytes(file.read(4), "little")
    size = path.stat().st_size
    if not 900 < table < size:
        raise _cut(size, f"its event table is promised at byte {table:,}")


def check_ant(path: Path) -> None:
    """Check the chunks of the RIFF file, then that ANT's library reads it and does not hang.

    The library is C and ends neither at a cut nor at a damaged block: it is tried in a process of
    its own.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
    width, order = (8, "<Q") if head.startswith(b"RF64") else (4, "<I")
    promised = struct.unpack(order, head[4 : 4 + width])[0] if len(head) == 12 else size
    if promised + 4 + width > size + 1:
        raise _cut(size, f"{promised + 4 + width:,} bytes are promised")
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY_ANT, str(path)],
            timeout=PATIENCE,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(Reason.timed_out, "ANT's library hangs on it; get the original.") from error
    if tried.returncode:
        raise Refused(Reason.damaged, "ANT's library cannot read it to its end; get the original.")


_TRY_ANT = """
import importlib.util, sys
if importlib.util.find_spec("antio") is None:
    sys.exit(0)
from antio import read_cnt
cnt = read_cnt(sys.argv[1])
n = cnt.get_sample_count()
assert n > 0
for start in range(0, n, 10_000):
    cnt.get_samples(start, min(start + 10_000, n))
"""


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise Refused(
            Reason.incomplete, f"It has no {path.suffix or 'other file'}; get all of its files."
        ) from error


def _beside(path: Path, name: str) -> Path:
    found = path.with_name(re.split(r"[\\/]", name.replace("$b", path.stem))[-1] or "-")
    if not found.is_file():
        raise Refused(
            Reason.incomplete,
            "Its header names a file that is not beside it; get all of its files.",
        )
    return found


def _whole(fields: dict[str, str], key: str) -> int:
    try:
        return int(fields.get(key, ""))
    except ValueError as error:
        raise Refused(
            Reason.damaged, f"Its header has no whole number for {key}; get the original."
        ) from error


def _rate(fields: dict[str, str]) -> float:
    try:
        return float(fields.get("SamplingRate", ""))
    except ValueError as error:
        raise Refused(Reason.damaged, "Its header has no number for SamplingRate.") from error


def _expect(path: Path, wanted: int) -> None:
    _expect_size(path.stat().st_size, wanted)


def _expect_size(size: int, wanted: int) -> None:
    if size < wanted:
        raise _cut(size, f"{wanted:,} bytes are promised")
    if size > wanted:
        raise Refused(
            Reason.damaged,
            f"It has {size:,} bytes of data where its header promises {wanted:,}; get the original.",
        )


def _cut(size: int, why: str, samples: int | None = None) -> Refused:
    held = f"{size:,} bytes" + (f", {samples:,} samples," if samples is not None else "")
    return Refused(Reason.truncated, f"It has {held} where {why}; get the whole file.")
