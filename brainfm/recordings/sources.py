"""What was given to the ingest, as recordings: files, folders, globs and BIDS roots.

A recording may be several files, or a folder. Every file that was named is part of exactly one
source; a folder gives what it holds, each recording once, links followed and loops ended.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from glob import glob
from itertools import chain
from pathlib import Path

from brainfm.errors import UsageError
from brainfm.recordings import moabb
from brainfm.recordings.bids.sidecars import (
    ROOT,
    Listing,
    find_root,
    find_sidecars,
    is_recording,
    list_sidecars,
)
from brainfm.recordings.formats.added import recipe_formats
from brainfm.recordings.formats.known import (
    FORMATS,
    Format,
    find_format,
    is_pipe,
    looks_like_recording,
)
from brainfm.recordings.formats.parts import first_part, is_continuation
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Source

_Formats = Sequence[Format]

APART = ("derivatives", "sourcedata", "code", "stimuli")
"""Folders of a BIDS root that hold no raw recordings of it."""


def find_sources(given: Sequence[str], recipe: Recipe | None = None) -> list[Source]:
    """Return the recordings that files, folders and globs name, each once, in a stable order.

    A file that no reader is known for is a source of its own, to be refused with the reason; of a
    folder, only what looks like a recording is taken. ``moabb:NAME`` is a data set of MOABB, see
    `brainfm.recordings.moabb`.

    Parameters
    ----------
    given
        paths and globs.
    recipe
        whose reader, if it names one, knows a format more.

    Raises
    ------
    UsageError
        If a source is not there, or a folder holds no recording.
    """
    formats = _formats(recipe)
    found: dict[Path, Source] = {}
    for name in given:
        for source in _sources(name, formats, cache(list_sidecars)):
            found.setdefault(_place(source.path), source)
    owned = {_place(file) for source in found.values() for file in source.files[1:]}
    return [source for place, source in found.items() if place not in owned]


def _sources(given: str, formats: _Formats, listed: Listing) -> Iterator[Source]:
    if given.startswith(moabb.PREFIX):
        yield from moabb.find_runs(given)
        return
    try:
        yield from (_source(path, formats, listed) for path in _expand(given, formats))
    except PermissionError as error:
        raise UsageError(
            f"{error.filename} may not be read; ask for the permission, or name what may."
        ) from error


def _place(path: str | Path) -> Path:
    # Not the target of a link: git-annex links files of equal bytes to one, yet they are two.
    path = Path(path)
    return path.parent.resolve() / path.name


def source_of(path: str | Path, recipe: Recipe | None = None) -> Source:
    """Return the recording that a file or folder is, or is part of."""
    return _source(Path(path), _formats(recipe), list_sidecars)


def is_there(source: str) -> bool:
    """Say whether what a recording was read from can be found; of MOABB's data sets MOABB knows."""
    return source.startswith(moabb.PREFIX) or os.path.exists(source)


def _formats(recipe: Recipe | None) -> _Formats:
    return FORMATS if recipe is None else (*recipe_formats(recipe), *FORMATS)


def _source(path: Path, formats: _Formats, listed: Listing) -> Source:
    if _is_closed(path):
        return Source(str(path), (str(path),))
    owner = _owner(path, formats, listed)
    form = find_format(owner, formats)
    files = form.parts(owner) if form is not None else (owner,)
    files = (*(files or (owner,)), *_beside(owner, listed))
    return Source(str(owner), tuple(map(str, files)))


def _owner(path: Path, formats: _Formats, listed: Listing) -> Path:
    """Return the recording that a file belongs to; the file itself where it is no part."""
    for folder in path.parents:
        if any(form.folder and form.fits(folder) for form in formats):
            return folder
    form = find_format(path, formats)
    if form is not None:
        first = first_part(path) if form.name == "FIF" and is_continuation(path) else path
        return first if path in form.parts(first) else path
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    for other in beside:
        form = find_format(other, formats) if other != path else None
        if form is not None and path in (*form.parts(other), *_beside(other, listed)):
            return other
    return path


def _beside(path: Path, listed: Listing) -> Iterator[Path]:
    return chain.from_iterable(find_sidecars(path, listed).values())


def _expand(given: str, formats: _Formats) -> Iterator[Path]:
    # As a shell leaves of a variable that is not set; a path of nothing would be the folder here.
    if not given:
        raise UsageError("A source is empty; a file, a folder or a glob is wanted.")
    path = Path(given)
    if path.is_dir() and find_format(path, formats) is None:
        yield from _in_folder(path, formats)
    elif is_pipe(path):
        raise UsageError(f"{given!r} is a pipe or a device; a file or a folder is wanted.")
    elif os.path.lexists(path):
        yield path
    else:
        matches = sorted(glob(given, recursive=True))
        if not matches:
            raise UsageError(f"There is no file, folder or match for {given!r}; check the path.")
        found = [path for match in matches for path in _matched(Path(match), given, formats)]
        if not found:
            raise UsageError(
                f"{given!r} matches only pipes, devices, and folders that `**` passes over; a match "
                "for files is wanted."
            )
        yield from found


def _matched(path: Path, given: str, formats: _Formats) -> Iterator[Path]:
    if is_pipe(path):
        return
    if _is_closed(path) or not path.is_dir() or find_format(path, formats) is not None:
        yield path
    # `**` matches folders and their files; only a glob that ends at a folder means its content.
    elif "**" not in given:
        yield from _in_folder(path, formats)


def _in_folder(folder: Path, formats: _Formats) -> Iterator[Path]:
    found = list(_walk(folder, set(), formats))
    if not found:
        raise UsageError(
            f"The folder {folder} holds no recording; files of "
            f"{', '.join(form.name for form in formats)} are wanted."
        )
    yield from found


def _walk(folder: Path, seen: set[tuple[int, int]], formats: _Formats) -> Iterator[Path]:
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    apart = _apart(folder)
    root = folder if apart is not None else find_root(folder)
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        path = folder / entry.name
        if not path.is_dir():  # False, too, where a link names itself
            # macOS leaves a ._name beside files that it copies to foreign disks.
            named = not entry.name.startswith("._") and (root is None or is_recording(path))
            if named and not is_pipe(path) and looks_like_recording(path, formats):
                yield path
        elif _is_closed(path) or find_format(path, formats) is not None:
            yield path
        # Hidden folders are git's and DataLad's; a store is no source.
        elif (
            not entry.name.startswith(".")
            and entry.name not in (apart or ())
            and not _is_zarr(path)
        ):
            yield from _walk(path, seen, formats)


def _is_closed(folder: Path) -> bool:
    """Say whether a folder may not be looked into; it is set aside, as an unreadable file is."""
    return os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK)


def _is_zarr(folder: Path) -> bool:
    return (folder / "zarr.json").is_file() or (folder / ".zgroup").is_file()


def _apart(folder: Path) -> list[str] | None:
    """Return the folders of a BIDS root that are passed over, and say so; None where it is no root."""
    if not (folder / ROOT).is_file():
        return None
    names = [name for name in APART if (folder / name).is_dir()]
    if names:
        print(
            f"{folder} is a BIDS data set: its {', '.join(names)} are passed over; "
            "name them as sources to take them.",
            file=sys.stderr,
        )
    return names
