"""The files of a store, wherever it is: on this machine, or on an object store that fsspec knows."""

from __future__ import annotations

import mmap
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from brainfm.errors import UsageError, WorkError

PARTIAL = ".partial"
"""Folder, and begin of the names of folders, of what is being written or removed."""

OPEN_FILES = 256
"""Files that stay mapped, which holds them open; systems allow a process 1024 or more."""

REFUSALS = {*range(400, 500), 501} - {408, 429}
"""Answers of HTTP that mean no; the others of 400 and more mean not now."""


class Span(NamedTuple):
    """Some bytes of a file.

    Attributes
    ----------
    key
        the file, relative to the store, with slashes.
    start, stop
        the first byte and the one after the last. A negative start, with 0 to stop at, counts from
        the end of the file.
    """

    key: str
    start: int
    stop: int


class NoRanges(WorkError):
    """A server sends whole files where a part of one is wanted."""


class Unlisted(WorkError):
    """A server gives files, and does not say what a folder holds."""


class Unreached(WorkError):
    """A server cannot be reached, or fails to answer."""


class Files(ABC):
    """What reading a store needs of the place where it is."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return a whole file; an `OSError` where there is none."""

    @abstractmethod
    def fetch(self, spans: Sequence[Span]) -> Sequence[bytes | memoryview]:
        """Return the bytes of every span; an `OSError` where a file is not there."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none where there is no folder, `Unlisted` if unknown."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes of all files; `Unlisted` if unknown."""


class LocalFiles(Files):
    """Files of this machine: the first `OPEN_FILES` are mapped into memory, others read in parts.

    Parameters
    ----------
    root
        folder of the store.
    """

    def __init__(self, root: Path):
        self.root = root
        self._maps: dict[str, memoryview] = {}

    def __reduce__(self) -> tuple[type[LocalFiles], tuple[Path]]:
        # Maps stay behind: a process that gets the store opens its own.
        return type(self), (self.root,)

    def _map(self, key: str) -> memoryview:
        with open(self.root / key, "rb") as file:
            if not file.seek(0, 2):
                return memoryview(b"")  # there is nothing that could be mapped
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def read(self, key: str) -> bytes:
        """Return a whole file."""
        return (self.root / key).read_bytes()

    def fetch(self, spans: Sequence[Span]) -> list[bytes | memoryview]:
        """Return the bytes of every span: of the mapped files views, for which nothing is copied."""
        return [self._part(span) for span in spans]

    def _part(self, span: Span) -> bytes | memoryview:
        mapped = self._maps.get(span.key)
        if mapped is None:
            # Windows at random places of many recordings would map nearly every file anew, which
            # takes four times as long as reading what one of them wants.
            if len(self._maps) >= OPEN_FILES:
                return self._read_part(span)
            mapped = self._maps[span.key] = self._map(span.key)
        return mapped[span.start : span.stop or None]

    def _read_part(self, span: Span) -> bytes:
        file = os.open(os.path.join(self.root, span.key), os.O_RDONLY)
        try:
            size = os.fstat(file).st_size if span.start < 0 else 0
            start = max(size + span.start, 0)
            return os.pread(file, (span.stop or size) - start, start)
        finally:
            os.close(file)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted."""
        place = self.root / folder
        return sorted(f.name for f in place.iterdir()) if place.is_dir() else []

    def size(self) -> int:
        """Return the bytes of all files but those of recordings that are not whole yet."""
        return sum(map(_size, _below(self.root)))


def _below(root: Path) -> Iterator[str]:
    """Yield the files of a store, of which an ingest may take some away meanwhile."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(PARTIAL)]
        yield from (os.path.join(folder, name) for name in names)


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:
        return 0


class RemoteFiles(Files):
    """Files behind a URL; the spans of one call are fetched at the same time where fsspec can.

    Parameters
    ----------
    url
        of the store, such as ``s3://bucket/s.zarr``.

    Raises
    ------
    UsageError
        If fsspec, or its part for this kind of URL, is not installed.
    """

    def __init__(self, url: str):
        self.url = url
        try:
            import fsspec

            self._system, self._root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"The store {url} cannot be reached ({error}); pip install 'brainfm[remote]' and what "
                "fsspec needs for such a URL (s3fs for s3, gcsfs for gs)."
            ) from error

    def __reduce__(self) -> tuple[type[RemoteFiles], tuple[str]]:
        # Connections belong to the process that made them.
        return type(self), (self.url,)

    def read(self, key: str) -> bytes:
        """Return a whole file; an `OSError` where the server gives none, `Unreached` if it fails."""
        with self._asking():
            return self._system.cat_file(self._path(key))

    def fetch(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of every span.

        Raises
        ------
        NoRanges
            If the server answers a request for a span with something else.
        Unreached
            If it does not answer.
        """
        paths = [self._path(s.key) for s in spans]
        starts, stops = [s.start for s in spans], [s.stop or None for s in spans]
        with self._asking():
            found: list[bytes] = self._system.cat_ranges(paths, starts, stops, on_error="raise")
        for span, data in zip(spans, found, strict=True):
            if len(data) > span.stop - span.start:
                raise NoRanges(
                    f"The server of {self.url} sent {len(data)} bytes where {span.stop - span.start} "
                    "were wanted; use one that answers range requests, or copy the store here."
                )
        return found

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; `Unlisted` where the server lists none at all."""
        if not self._lists:
            raise Unlisted(
                f"The server of {self.url} lists no folders, and what the store holds beside its table "
                "is unknown; use one that lists them, or copy the store here."
            )
        return self._list(folder)

    def size(self) -> int:
        """Return the bytes of all files; `Unlisted` where the server lists none."""
        self.names("")
        with self._asking():
            return int(self._system.du(self._root))

    @cached_property
    def _lists(self) -> bool:
        # What else a server may send for a folder, such as a page of its own, names no such file.
        return "zarr.json" in self._list("")

    def _list(self, folder: str) -> list[str]:
        try:
            with self._asking():
                found: list[Any] = self._system.ls(self._path(folder), detail=False)
        except OSError:
            return []
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in found)

    @contextmanager
    def _asking(self) -> Generator[None]:
        """Tell a server that refuses, an `OSError`, from one that fails, whatever fsspec makes of it."""
        try:
            yield
        except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError):
            raise
        except Exception as error:
            if getattr(error, "status", None) in REFUSALS:
                raise OSError(str(error)) from error
            raise Unreached(
                f"{self.url} cannot be reached ({type(error).__name__}: {error}); see that its server "
                "answers, and call again."
            ) from error

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"


def files_at(place: Path | str) -> Files:
    """Return the files of a store at a path of this machine or behind a URL."""
    url = as_url(place)
    return LocalFiles(Path(place)) if url is None else RemoteFiles(url)


def check_local(place: Path) -> None:
    """Raise a `UsageError` where ``place``, which is to be written, is a URL."""
    if (url := as_url(place)) is not None:
        raise UsageError(
            f"{url} is a URL, and a store is written to a folder of this machine; give its path, and "
            "copy the finished store there."
        )


def as_url(place: Path | str) -> str | None:
    """Return the URL that ``place`` is, or None where it is a path of this machine."""
    # A URL that went through a Path has lost a slash: no path begins with two letters and a colon.
    match = re.match(r"^([a-z][a-z0-9+]+):/+(.*)$", str(place))
    return f"{match[1]}://{match[2]}" if match else None
