"""Which files a recording is made of: a header with its data, markers, positions and continuations.

Each function takes the path of the recording, a file or a folder, and returns the files that are
there, the first being the one that is opened. What a header names and is not there is the reader's
concern.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from brainfm.recordings.formats.fif import next_file

Parts = Callable[[Path], tuple[Path, ...]]

_NAMED = re.compile(rb"^\s*(?:DataFile|MarkerFile|File)[ \t]*=[ \t]*(\S.*?)\s*$", re.MULTILINE)
_HEADER_BYTES = 20_000


def alone(path: Path) -> tuple[Path, ...]:
    """Return the file itself."""
    return (path,)


def inside(path: Path) -> tuple[Path, ...]:
    """Return all files of a folder that is a recording: CTF's ``.ds``, EGI's ``.mff``."""
    names = (Path(where) / name for where, _, files in os.walk(path) for name in files)
    return tuple(sorted(names))


def beside(*endings: str) -> Parts:
    """Return what finds the files of the same stem with one of ``endings``, in any case."""

    def find(path: Path) -> tuple[Path, ...]:
        return (path, *_same_stem(path, path.stem, endings))

    return find


def after(*endings: str) -> Parts:
    """Return what finds the files whose name is the recording's with one of ``endings`` behind."""

    def find(path: Path) -> tuple[Path, ...]:
        return (path, *_same_stem(path, path.name, endings))

    return find


def named(path: Path) -> tuple[Path, ...]:
    """Return a text header and the files it names: BrainVision's and Persyst's."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError:
        return (path,)
    wanted = dict.fromkeys(_beside(path, name) for name in _NAMED.findall(head))
    return (path, *(p for p in wanted if p != path and p.is_file()))


def _beside(path: Path, name: bytes) -> Path:
    # BrainVision writes $b for the stem; some writers put a whole path of their own machine.
    text = name.decode("utf-8", "surrogateescape").replace("$b", path.stem)
    return path.with_name(re.split(r"[\\/]", text)[-1] or path.name)


def fixed(*names: str) -> Parts:
    """Return what finds files of fixed names in the recording's folder: 4D's config."""

    def find(path: Path) -> tuple[Path, ...]:
        return (path, *_existing(path.with_name(name) for name in names))

    return find


def split(path: Path) -> tuple[Path, ...]:
    """Return a FIF file and its continuations, which the format makes of every 2 GB."""
    found = [path]
    # Following the chain means walking the file, so only where a continuation's name is there.
    while _following(found[-1], len(found)).is_file():
        following = next_file(found[-1])
        if following is None or not following.is_file() or following in found:
            break
        found.append(following)
    return tuple(found)


def is_continuation(path: Path) -> bool:
    """Say whether a FIF file's name is that of a second or later part."""
    return _previous(path) is not None


def first_part(path: Path) -> Path:
    """Return the first of the files that a FIF file's name makes it a continuation of."""
    while (before := _previous(path)) is not None and before.is_file():
        path = before
    return path


def _following(path: Path, n: int) -> Path:
    bids = re.search(r"_split-(\d+)", path.name)
    if bids is not None:
        width = len(bids[1])
        number = f"_split-{int(bids[1]) + 1:0{width}d}"
        return path.with_name(path.name.replace(bids[0], number))
    stem, suffix = _stem(path)
    base = stem if n == 1 else re.sub(r"-\d+$", "", stem)
    return path.with_name(f"{base}-{n}{suffix}")


def _previous(path: Path) -> Path | None:
    bids = re.search(r"_split-(\d+)", path.name)
    if bids is not None:
        number = int(bids[1]) - 1
        text = f"_split-{number:0{len(bids[1])}d}"
        return path.with_name(path.name.replace(bids[0], text)) if number > 0 else None
    stem, suffix = _stem(path)
    found = re.fullmatch(r"(.+)-([1-9]\d?)", stem)
    if found is None:
        return None
    number = int(found[2]) - 1
    before = found[1] if number == 0 else f"{found[1]}-{number}"
    return path.with_name(f"{before}{suffix}")


def _stem(path: Path) -> tuple[str, str]:
    found = re.fullmatch(r"(.*?)(\.fif(?:\.gz)?)", path.name, re.IGNORECASE)
    return (found[1], found[2]) if found is not None else (path.stem, path.suffix)


def _same_stem(path: Path, stem: str, endings: Iterable[str]) -> list[Path]:
    cases = (path.with_name(stem + case(e)) for e in endings for case in (str.lower, str.upper))
    return [p for p in dict.fromkeys(_existing(cases)) if p != path]


def _existing(paths: Iterable[Path]) -> list[Path]:
    return [p for p in paths if p.is_file()]
