"""The shards of zarr v3: many compressed chunks in one file, and an index of them at its end.

Source: the zarr v3 sharding codec's specification (zarr-specs, ``sharding_indexed`` 1.0). A chunk is
compressed by blosc and followed by its crc32c, so that damage is seen when it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Shaped
from numcodecs import blosc

MISSING = 2**64 - 1
NOWHERE = (0, 0)
CRC_BYTES = 4
LENGTH_AT = 4
"""Where blosc's header says how many bytes there are when decompressed."""

FILL_VALUES = {"int16": -32768, "float32": "NaN"}
"""What other readers of zarr give for chunks that are not there: nothing that is ever written."""

BLOSC = {"cname": "lz4", "clevel": 3, "shuffle": "bitshuffle", "blocksize": 0}


class Damaged(Exception):
    """Bytes of a store that are not what was written; the message is the end of a sentence."""


def inner_codecs(dtype: str) -> list[dict[str, Any]]:
    """Return the codecs of a chunk as zarr's metadata name them."""
    size = np.dtype(dtype).itemsize
    return [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "blosc", "configuration": {"typesize": size, **BLOSC}},
        {"name": "crc32c"},
    ]


def index_codecs() -> list[dict[str, Any]]:
    """Return the codecs of a shard's index as zarr's metadata name them."""
    return [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "crc32c"},
    ]


def array_metadata(*, shape: tuple[int, int], chunk: int, shard: int, dtype: str) -> dict[str, Any]:
    """Return the ``zarr.json`` of a signal: (channel, time), all channels in a chunk.

    Parameters
    ----------
    shape
        channels and samples.
    chunk, shard
        samples of a chunk and of a shard.
    dtype
        ``int16`` or ``float32``.
    """
    sharding = {
        "chunk_shape": [shape[0], chunk],
        "codecs": inner_codecs(dtype),
        "index_codecs": index_codecs(),
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shape[0], shard]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": FILL_VALUES[dtype],
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "dimension_names": ["channel", "time"],
    }


def with_crc(data: bytes) -> bytes:
    """Return bytes followed by their crc32c, as zarr's codec of that name does."""
    return data + struct.pack("<I", google_crc32c.value(data))


def without_crc(data: bytes, what: str) -> bytes:
    """Return what `with_crc` was given; `Damaged` where it was not that."""
    if len(data) < CRC_BYTES or with_crc(data[:-CRC_BYTES]) != data:
        raise Damaged(f"{what} does not have its checksum")
    return data[:-CRC_BYTES]


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
    with path.open("xb") as file:
        for number, start in enumerate(range(0, values.shape[1], chunk)):
            part = values[:, start : start + chunk]
            block[:, : part.shape[1]] = part
            block[:, part.shape[1] :] = 0
            data = with_crc(blosc.compress(block, b"lz4", BLOSC["clevel"], blosc.BITSHUFFLE))
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
        first byte of each chunk and the one after its last; `NOWHERE` where the chunk is missing.
    checked
        which chunks were compared with their crc32c already; the same for as long as this lives.
    """

    spans: Sequence[tuple[int, int]]
    checked: bytearray

    def span(self, chunks: range) -> tuple[int, int]:
        """Return the bytes of chunks that stand side by side; `Damaged` where one is missing."""
        for chunk in chunks:
            if self.spans[chunk] == NOWHERE:
                raise Damaged(f"chunk {chunk} is missing")
        return self.spans[chunks[0]][0], self.spans[chunks[-1]][1]

    def decode(
        self,
        chunk: int,
        data: memoryview,
        into: Shaped[np.ndarray, "channel time"],
    ) -> None:
        """Decompress a chunk; `Damaged` where it is not what was written."""
        if not self.checked[chunk]:
            without_crc(bytes(data), f"chunk {chunk}")
            if struct.unpack_from("<I", data, LENGTH_AT)[0] != into.nbytes:
                raise Damaged(f"chunk {chunk} has another length")
            self.checked[chunk] = 1
        try:
            blosc.decompress(data[:-CRC_BYTES], into)
        except (RuntimeError, ValueError) as error:
            raise Damaged(f"chunk {chunk} cannot be decompressed") from error


def index_of(data: bytes, n_chunks: int) -> Index:
    """Return the index that the last bytes of a shard hold; `Damaged` where they are none."""
    if len(data) != index_bytes(n_chunks):
        raise Damaged("a shard is cut short")
    pairs = np.frombuffer(without_crc(data, "the index of a shard"), "<u8").reshape(-1, 2)
    spans = [NOWHERE if MISSING in pair else (pair[0], sum(pair)) for pair in pairs.tolist()]
    ends = [0, *(stop for _, stop in spans)]
    if any(span not in (NOWHERE, (end, span[1])) for span, end in zip(spans, ends, strict=False)):
        raise Damaged("the index of a shard names chunks in another order than they are written in")
    return Index(spans, bytearray(n_chunks))
