"""Windows out of compressed shards: the hot path of every training.

A shard's index is read once and stays in memory; a window is the few chunks that it touches, each
decompressed and scaled straight into the caller's array.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped

from brainfm.errors import UsageError, WorkError
from brainfm.store.decoding import Stretch, decompress
from brainfm.store.decoding_compiled import decoder
from brainfm.store.files import Files, Span
from brainfm.store.schema import RECORDINGS
from brainfm.store.shards import (
    LAYOUTS,
    Damaged,
    Index,
    Layout,
    array_metadata,
    index_bytes,
    index_of,
    without_crc,
)

KEPT = 32_768
"""Recordings, and shards, of which the metadata stay in memory: 3 kB a shard of 64 channels, 9 of 19."""


class Wanted(NamedTuple):
    """A window that is wanted, and where it is to go.

    Attributes
    ----------
    id
        of the recording.
    start, stop
        the first sample and the one after the last.
    rows
        channels, in the order that is wanted.
    out
        (channel, time) takes the samples.
    """

    id: str
    start: int
    stop: int
    rows: slice | Sequence[int]
    out: Float32[np.ndarray, "channel time"]


@dataclass(frozen=True, eq=False)
class Signal:
    """How the signal of one recording is laid out.

    Attributes
    ----------
    n_channels, n_times
        its shape.
    dtype
        ``int16`` or ``float32``.
    chunk, n_chunks
        samples of a chunk, and chunks of a shard.
    scale
        (shard, channel, 1) SI units of one count, or None where values are in SI units.
    layout
        of its files.
    """

    n_channels: int
    n_times: int
    dtype: str
    chunk: int
    n_chunks: int
    scale: Float32[np.ndarray, "shard channel 1"] | None
    layout: Layout

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(-(-self.n_times // (self.chunk * self.n_chunks)))


class _Part(NamedTuple):
    """What one shard gives to one window; there are many, and a dataclass takes long to make."""

    wanted: Wanted
    signal: Signal
    index: Index
    shard: int
    chunks: range  # of the shard

    @property
    def first(self) -> int:
        """Where the window starts within the first chunk, or before it, in samples."""
        chunk = self.shard * self.signal.n_chunks + self.chunks[0]
        return self.wanted.start - chunk * self.signal.chunk

    @property
    def out(self) -> Float32[np.ndarray, "channel time"]:
        """What of the window's array this shard fills."""
        at = max(-self.first, 0)
        return self.wanted.out[:, at : len(self.chunks) * self.signal.chunk - self.first]

    def stretch(self, data: bytes | memoryview, block: np.ndarray) -> Stretch:
        """Return what is to be decoded."""
        scale, rows = self.signal.scale, self.wanted.rows
        return Stretch(
            data,
            self.index.spans[self.chunks.start : self.chunks.stop],
            block,
            max(self.first, 0),
            rows,
            None if scale is None else scale[self.shard, rows],
        )


class Signals:
    """The signals of a store.

    Parameters
    ----------
    files
        of the store.
    """

    def __init__(self, files: Files):
        self.files = files
        self.signal = lru_cache(KEPT)(self._signal)
        self._index = lru_cache(KEPT)(self._read_index)
        self._n_read = 0

    def __reduce__(self) -> tuple[type[Signals], tuple[Files]]:
        return type(self), (self.files,)

    def read(self, windows: Sequence[Wanted]) -> None:
        """Fill the windows' arrays with samples in SI units.

        Raises
        ------
        UsageError
            If a recording does not have all of them: nothing is padded.
        WorkError
            Naming the recording, where something of it is missing or is not what was written.
        """
        parts = [part for wanted in windows for part in self._parts(wanted)]
        blocks: dict[tuple[int, int, str], np.ndarray] = {}
        self._n_read += len(windows)
        decode = decoder(self._n_read)
        for part, data in zip(parts, self._fetch(parts), strict=True):
            s = part.signal
            shape = (s.n_channels, s.chunk, s.dtype)
            if shape not in blocks:
                blocks[shape] = np.empty(shape[:2], s.dtype)
            try:
                part.index.check(part.chunks, memoryview(data))
                decode(part.stretch(data, blocks[shape]), part.out)
            except Damaged as error:
                raise _damaged(part.wanted.id, error) from error

    def stored(self, id: str, shard: int) -> Shaped[np.ndarray, "channel time"]:
        """Return what stands on the disk in one shard, decompressed.

        Raises
        ------
        WorkError
            As `read`.
        """
        signal = self.signal(id)
        start = shard * signal.chunk * signal.n_chunks
        stop = min(start + signal.chunk * signal.n_chunks, signal.n_times)
        values = np.empty((signal.n_channels, stop - start), signal.dtype)
        block = np.empty((signal.n_channels, signal.chunk), signal.dtype)
        try:
            index = self._index(id, shard)
            for number, first in enumerate(range(0, stop - start, signal.chunk)):
                a, b = index.span(range(number, number + 1))
                (data,) = self.files.fetch([Span(_shard_key(id, signal, shard), a, b)])
                index.check(range(number, number + 1), memoryview(data))
                decompress(memoryview(data), block)
                part = values[:, first : first + signal.chunk]
                part[:] = block[:, : part.shape[1]]
        except (Damaged, OSError) as error:
            raise _damaged(id, error) from error
        return values

    def _parts(self, wanted: Wanted) -> list[_Part]:
        id, start, stop = wanted.id, wanted.start, wanted.stop
        signal = self.signal(id)
        if not 0 <= start <= stop <= signal.n_times:
            raise UsageError(
                f"Samples {start} to {stop} of {id} are wanted; it has {signal.n_times}."
            )
        n, first, last = signal.n_chunks, start // signal.chunk, -(-stop // signal.chunk)
        parts = []
        for shard in range(first // n, -(-last // n) if stop > start else 0):
            chunks = range(max(first - shard * n, 0), min(last - shard * n, n))
            try:
                parts.append(_Part(wanted, signal, self._index(id, shard), shard, chunks))
            except (Damaged, OSError) as error:
                raise _damaged(id, error) from error
        return parts

    def _fetch(self, parts: list[_Part]) -> Sequence[bytes | memoryview]:
        spans = []
        for part in parts:
            try:
                a, b = part.index.span(part.chunks)
            except Damaged as error:
                raise _damaged(part.wanted.id, error) from error
            spans.append(Span(_shard_key(part.wanted.id, part.signal, part.shard), a, b))
        try:
            return self.files.fetch(spans)
        except OSError as error:
            raise _damaged(" or ".join(sorted({p.wanted.id for p in parts})), error) from error

    def _signal(self, id: str) -> Signal:
        try:
            return self._read_signal(id)
        except (Damaged, OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(id, error) from error

    def _read_signal(self, id: str) -> Signal:
        said = json.loads(self.files.read(f"{RECORDINGS}/{id}/signal/zarr.json"))
        n_channels, n_times = said["shape"]
        shard = said["chunk_grid"]["configuration"]["chunk_shape"][1]
        chunk = said["codecs"][0]["configuration"]["chunk_shape"][1]
        dtype = said["data_type"]
        shape = (n_channels, n_times)
        for layout in LAYOUTS:
            expected = array_metadata(
                shape=shape, chunk=chunk, shard=shard, dtype=dtype, layout=layout
            )
            if said == expected:
                scale = None if dtype == "float32" else self._read_scale(id, n_channels, layout)
                return Signal(n_channels, n_times, dtype, chunk, shard // chunk, scale, layout)
        raise Damaged("its signal is laid out as no brainfm writes it")

    def _read_scale(
        self, id: str, n_channels: int, layout: Layout
    ) -> Float32[np.ndarray, "shard channel 1"]:
        key = f"{RECORDINGS}/{id}/scale/{layout.key(0, 0)}"
        data = without_crc(self.files.read(key), "its scale")
        return np.frombuffer(data, "<f4").reshape(-1, n_channels, 1)

    def _read_index(self, id: str, shard: int) -> Index:
        signal = self.signal(id)
        n_chunks, key = signal.n_chunks, _shard_key(id, signal, shard)
        (data,) = self.files.fetch([Span(key, -index_bytes(n_chunks), 0)])
        return index_of(bytes(data), n_chunks)


def _shard_key(id: str, signal: Signal, shard: int) -> str:
    return f"{RECORDINGS}/{id}/signal/{signal.layout.key(0, shard)}"


def _damaged(id: str, error: Exception) -> WorkError:
    said = error if isinstance(error, Damaged) else f"{type(error).__name__}: {error}"
    return WorkError(
        f"The recording {id} of the store is damaged ({said}); find all that are with brainfm verify, "
        "remove their folders and ingest them again."
    )
