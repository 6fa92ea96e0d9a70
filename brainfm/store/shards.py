"""The shards of zarr v3: many compressed chunks in one file, and an index of them at its end.

Source: the zarr v3 sharding codec's specification (zarr-specs, ``sharding_indexed`` 1.0). A chunk is
compressed by blosc and followed by its crc32c, so that damage is seen when it is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Int64, Shaped, UInt8
from numcodecs import blosc

MISSING = 2**64 - 1
CRC_BYTES = 4
HEADER = struct.Struct("<4xI4xI")
"""Of blosc: bytes when decompressed, and bytes as they are."""

FILL_VALUES = {"int16": -32768, "float32": "NaN"}
"""What other readers of zarr give for chunks that are not there: nothing that is ever written."""

BUFFER = 1 << 20
"""Bytes handed to the system at once; chunk by chunk takes twice as long."""

BLOSC = {"cname": "lz4", "clevel": 3, "blocksize": 0}


class Damaged(Exception):
    """Bytes of a store that are not what was written; the message is the end of a sentence."""


@dataclass(frozen=True)
class Layout:
    """What versions of the store differ in.

    Attributes
    ----------
    separator
        between the numbers in the name of a shard: with a dot it lies beside its ``zarr.json``.
    shuffle
        how blosc sorts a chunk before it compresses, by bytes (``shuffle``) or by bits.
    """

    separator: str
    shuffle: str

    def key(self, first: int, second: int) -> str:
        """Return the name of a shard, or of any chunk, within the folder of its array."""
        return self.separator.join(["c", str(first), str(second)])


LAYOUT = Layout(separator=".", shuffle="shuffle")
LAYOUTS = (LAYOUT, Layout(separator="/", shuffle="bitshuffle"))
"""That of now, and that of version 2."""


def inner_codecs(dtype: str, shuffle: str) -> list[dict[str, Any]]:
    """Return the codecs of a chunk as zarr's metadata name them."""
    size = np.dtype(dtype).itemsize
    return [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "blosc", "configuration": {"typesize": size, "shuffle": shuffle, **BLOSC}},
        {"name": "crc32c"},
    ]


def index_codecs() -> list[dict[str, Any]]:
    """Return the codecs of a shard's index as zarr's metadata name them."""
    return [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "crc32c"},
    ]


def key_encoding(layout: Layout) -> dict[str, Any]:
    """Return how zarr's metadata name the names of chunks."""
    return {"name": "default", "configuration": {"separator": layout.separator}}


def array_metadata(
    *,
    shape: tuple[int, int],
    chunk: int,
    shard: int,
    dtype: str,
    layout: Layout = LAYOUT,
) -> dict[str, Any]:
    """Return the ``zarr.json`` of a signal: (channel, time), all channels in a chunk.

    Parameters
    ----------
    shape
        channels and samples.
    chunk, shard
        samples of a chunk and of a shard.
    dtype
        ``int16`` or ``float32``.
    layout
        one of `LAYOUTS`.
    """
    sharding = {
        "chunk_shape": [shape[0], chunk],
        "codecs": inner_codecs(dtype, layout.shuffle),
        "index_codecs": index_codecs(),
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shape[0], shard]}},
        "chunk_key_encoding": key_encoding(layout),
        "fill_value": FILL_VALUES[dtype],
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "dimension_names": ["channel", "time"],
    }


def scale_metadata(shape: tuple[int, int], *, layout: Layout = LAYOUT) -> dict[str, Any]:
    """Return the ``zarr.json`` of the scale of a signal, of shape (shard, channel)."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
        "chunk_key_encoding": key_encoding(layout),
        "fill_value": "NaN",
        "codecs": index_codecs(),
        "attributes": {},
        "dimension_names": ["shard", "channel"],
    }


def with_crc(data: bytes) -> bytes:
    """Return bytes followed by their crc32c, as zarr's codec of that name does."""
    return data + struct.pack("<I", google_crc32c.value(data))


def without_crc(data: bytes, what: str) -> bytes:
    """Return what `with_crc` was given; `Damaged` where it was not that."""
    check_crc(np.frombuffer(data, np.uint8), what)
    return data[:-CRC_BYTES]


def check_crc(data: UInt8[np.ndarray, " byte"], what: str) -> None:
    """Raise `Damaged` where bytes do not end with the crc32c of those before; nothing is copied."""
    crc = struct.pack("<I", google_crc32c.value(data[:-CRC_BYTES]))
    if data[-CRC_BYTES:].tobytes() != crc:
        raise Damaged(f"{what} does not have its checksum")


def write_shard(
    path: Path, values: Shaped[np.ndarray, "channel time"], *, chunk: int, n_chunks: int
) -> None:
    """Write the samples of one shard.

    Parameters
    ----------
    path
        of the new file.
    values
        at most ``chunk * n_chunks`` samples; chunks that they do not reach are left out.
    chunk
        samples of a chunk.
    n_chunks
        chunks that a full shard has.
    """
    index = np.full((n_chunks, 2), MISSING, "<u8")
    block = np.zeros((len(values), chunk), values.dtype)
    with path.open("xb", buffering=BUFFER) as file:
        for number, start in enumerate(range(0, values.shape[1], chunk)):
            part = values[:, start : start + chunk]
            block[:, : part.shape[1]] = part
            block[:, part.shape[1] :] = 0
            data = with_crc(blosc.compress(block, b"lz4", BLOSC["clevel"], blosc.SHUFFLE))
            index[number] = file.tell(), len(data)
            file.write(data)
        file.write(with_crc(index.tobytes()))


def index_bytes(n_chunks: int) -> int:
    """Return the length of a shard's index."""
    return 16 * n_chunks + CRC_BYTES


@dataclass(frozen=True, eq=False)
class Index:
    """Where the chunks of one shard stand in its file.

    Attributes
    ----------
    spans
        (chunk, 2) first byte of each chunk and the one after its last; both 0 where it is missing.
    checked
        which chunks were compared with their crc32c already; the same for as long as this lives.
    """

    spans: Int64[np.ndarray, "chunk 2"]
    checked: bytearray

    def span(self, chunks: range) -> tuple[int, int]:
        """Return the bytes of chunks that stand side by side; `Damaged` where one is missing."""
        for chunk in chunks:
            if not self.spans[chunk, 1]:
                raise Damaged(f"chunk {chunk} is missing")
        return int(self.spans[chunks[0], 0]), int(self.spans[chunks[-1], 1])

    def check(self, chunks: range, data: memoryview) -> None:
        """Compare chunks that were not yet with their crc32c.

        Parameters
        ----------
        chunks
            numbers of chunks that stand side by side.
        data
            their bytes.

        Raises
        ------
        Damaged
            Where one is not what was written.
        """
        base, values = int(self.spans[chunks[0], 0]), np.frombuffer(data, np.uint8)
        for chunk in chunks:
            if not self.checked[chunk]:
                start, stop = (self.spans[chunk] - base).tolist()
                check_crc(values[start:stop], f"chunk {chunk}")
                self.checked[chunk] = 1


def index_of(data: bytes, n_chunks: int) -> Index:
    """Return the index that the last bytes of a shard hold; `Damaged` where they are none."""
    if len(data) != index_bytes(n_chunks):
        raise Damaged("a shard is cut short")
    pairs = np.frombuffer(without_crc(data, "the index of a shard"), "<u8").reshape(-1, 2)
    there = (pairs != MISSING).all(axis=1)
    spans = np.where(there[:, None], pairs.cumsum(axis=1, dtype="<u8"), 0).astype(np.int64)
    # Chunks stand side by side from the first byte on, so that some of them are read in one go.
    ends = np.concatenate([[0], spans[:-1, 1]])
    if (there & ((spans[:, 0] != ends) | (spans[:, 1] < ends))).any():
        raise Damaged("the index of a shard names chunks in another order than they are written in")
    return Index(spans, bytearray(n_chunks))
