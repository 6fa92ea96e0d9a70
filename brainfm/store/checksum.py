"""One checksum of all samples of a recording, cheap enough to be taken while it is written.

A shard is summed up by its scale and the crc32c of each channel's samples, and all shards by a sha256 of
that. It tells damage and mistaken files; who forges a recording can forge its checksum too. Up to version
3 of the store it was sha256 of all samples, which took an ingest as long as decoding the source.
"""

from __future__ import annotations

import hashlib
import struct

import google_crc32c
import numpy as np

from brainfm.store.encoding import Encoded

NAME = "crc32c:"
"""How a checksum begins; those of version 3 and older begin with nothing."""


class Checksum:
    """Takes the shards of one recording, from the first to the last.

    Parameters
    ----------
    like
        a checksum that this one is to be compared with.
    """

    def __init__(self, like: str = NAME):
        self._name = NAME if like.startswith(NAME) else ""
        self._sha256 = hashlib.sha256()

    def take(self, encoded: Encoded) -> None:
        """Take the next shard."""
        if encoded.scale is not None:
            self._sha256.update(np.ascontiguousarray(encoded.scale, "<f4").data)
        little = encoded.values.dtype.newbyteorder("<")
        for row in encoded.values:
            samples = row.astype(little, copy=False).tobytes()
            crc = struct.pack("<I", google_crc32c.value(samples))
            self._sha256.update(crc if self._name else samples)

    def text(self) -> str:
        """Return the checksum of all that was taken."""
        return self._name + self._sha256.hexdigest()
