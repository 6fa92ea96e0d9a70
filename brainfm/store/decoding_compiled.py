"""`brainfm.store.decoding.decode` compiled by numba: no Python between the chunks of a window.

The C function of blosc is called at its address in numcodecs' library, where the system shows it. Then
a sample is turned into a float, scaled and put in its place in one go, while it is in the cache.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from inspect import unwrap
from typing import Any

import numpy as np
from jaxtyping import Float32
from numcodecs import blosc

from brainfm.store.decoding import Decode, Stretch, decode
from brainfm.store.shards import CRC_BYTES, HEADER, Damaged

WORTH_COMPILING = 20_000
"""Windows after which a process compiles: about as many as the compiler's second or two would read."""


def decoder(n_windows: int) -> Decode:
    """Return the way to decode that suits a process that has read so many windows.

    Both ways give the same bits: `decode`, and, where the extra ``fast`` is installed and enough is read
    to be worth it, `compiled`.
    """
    if n_windows < WORTH_COMPILING:
        return decode
    return compiled() or decode


@cache
def compiled() -> Decode | None:
    """Return the compiled way to decode; None without numba, or where numcodecs hides blosc's functions.

    The first call compiles, for a second or two; nothing is written to disk.
    """
    if find_spec("numba") is None:
        return None
    try:
        decompress = ctypes.CDLL(blosc.__file__).blosc_decompress_ctx
    except (AttributeError, OSError):
        return None
    # Addresses and sizes as numbers, which the compiler passes on as they are.
    decompress.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    decompress.restype = ctypes.c_int
    kernel = _kernel(decompress)

    def fill(stretch: Stretch, out: Float32[np.ndarray, "row time"]) -> None:
        """Decode all chunks of a stretch."""
        rows = np.arange(len(stretch.block))[stretch.rows]
        scale = stretch.scale
        if scale is None:
            scale = np.ones((len(rows), 1), np.float32)
        data = np.frombuffer(stretch.data, np.uint8)
        if not kernel(data, stretch.spans, stretch.block, stretch.first, rows, scale, out):
            raise Damaged("a chunk cannot be decompressed")

    return fill


def _kernel(decompress: Any) -> Any:
    from numba import njit

    header = HEADER.size

    def fill(data, spans, block, first, rows, scale, out):
        at, low = 0, first
        n_bytes = block.size * block.itemsize
        for chunk in range(len(spans)):
            start, stop = spans[chunk, 0] - spans[0, 0], spans[chunk, 1] - spans[0, 0] - CRC_BYTES
            # As in the readable way: blosc believes its header, which ends with the chunk's length.
            if stop - start < header or stop + CRC_BYTES > len(data):
                return False
            length = 0
            for byte in range(4):
                length |= int(data[start + header - 4 + byte]) << (8 * byte)
            if length != stop - start:
                return False
            source = data.ctypes.data + start
            if decompress(source, block.ctypes.data, n_bytes, 1) != n_bytes:
                return False
            n = min(block.shape[1] - low, out.shape[1] - at)
            for row in range(len(rows)):
                values, to = block[rows[row], low : low + n], out[row, at : at + n]
                step = scale[row, 0]
                for t in range(n):
                    to[t] = np.float32(values[t]) * step
            at, low = at + n, 0
        return True

    return njit(nogil=True)(unwrap(fill))  # as it is written, without the tests' type checks
