"""Compressed chunks into a window's array, in SI units."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, Shaped
from numcodecs import blosc

from brainfm.store.shards import CRC_BYTES, HEADER, Damaged


class Stretch(NamedTuple):
    """Chunks that stand side by side in a shard, and what is wanted of them.

    Attributes
    ----------
    data
        their bytes, which have been compared with their checksums.
    spans
        (chunk, 2) first byte of each and the one after its last, counted from anywhere.
    block
        (channel, time) takes one chunk as it is stored.
    first
        the sample of the first chunk at which the window starts.
    rows
        channels, in the order that is wanted.
    scale
        (row, 1) SI units of one count, or None where values are in SI units.
    """

    data: bytes | memoryview
    spans: Int64[np.ndarray, "chunk 2"]
    block: Shaped[np.ndarray, "channel chunk_time"]
    first: int
    rows: slice | Sequence[int]
    scale: Float32[np.ndarray, "row 1"] | None


Decode = Callable[[Stretch, Float32[np.ndarray, "row time"]], None]
"""Fills an array with the samples of a stretch; `Damaged` where a chunk cannot be decompressed."""


def decode(stretch: Stretch, out: Float32[np.ndarray, "row time"]) -> None:
    """Decode chunk after chunk."""
    data, block, first, at = memoryview(stretch.data), stretch.block, stretch.first, 0
    spans = stretch.spans.tolist()
    base = spans[0][0]
    for start, stop in spans:
        decompress(data[start - base : stop - base], block)
        part = block[stretch.rows, first : first + out.shape[1] - at]
        out[:, at : at + part.shape[1]] = part
        at, first = at + part.shape[1], 0
    if stretch.scale is not None:
        np.multiply(out, stretch.scale, out=out)


def decompress(data: memoryview, block: Shaped[np.ndarray, "channel chunk_time"]) -> None:
    """Decompress one chunk, which its crc32c follows; `Damaged` where it cannot be."""
    try:
        # blosc believes its header; what a server sends again is not compared with its crc32c again.
        if HEADER.unpack_from(data) != (block.nbytes, len(data) - CRC_BYTES):
            raise ValueError("the header speaks of another chunk")
        blosc.decompress(data[:-CRC_BYTES], block)
    except (RuntimeError, ValueError, struct.error) as error:
        raise Damaged("a chunk cannot be decompressed") from error
