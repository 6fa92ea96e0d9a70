"""A stream of blocks onto the disk, holding one shard in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from brainfm.recordings.quarantine import Reason, Refused
from brainfm.store.checksum import Checksum
from brainfm.store.encoding import Encoding, NotFinite
from brainfm.store.fingerprint import Fingerprint
from brainfm.store.schema import CHUNK_SECONDS, SHARD_BYTES, as_json
from brainfm.store.shards import (
    LAYOUT,
    array_metadata,
    scale_metadata,
    with_crc,
    write_shard,
)


@dataclass(frozen=True)
class Written:
    """What is known of a signal when all of it is written.

    Attributes
    ----------
    dtype, checksum, fingerprint
        as in `brainfm.store.schema.Entry`.
    """

    dtype: str
    checksum: str
    fingerprint: str


class SignalWriter:
    """Writes the arrays of one recording.

    Parameters
    ----------
    folder
        of the recording.
    n_channels, n_times
        shape of the whole signal.
    sfreq
        in Hz.
    encoding
        how samples are stored.
    """

    def __init__(
        self, folder: Path, *, n_channels: int, n_times: int, sfreq: float, encoding: Encoding
    ):
        self.folder, self.n_times, self.encoding = folder, n_times, encoding
        self.chunk = max(1, min(round(CHUNK_SECONDS * sfreq), n_times))
        fitting = SHARD_BYTES // (4 * n_channels * self.chunk)
        self.n_chunks = max(1, min(fitting, -(-n_times // self.chunk)))
        length = min(self.chunk * self.n_chunks, n_times)
        self._shard = np.empty((n_channels, length), np.float32)
        self._n_held = self._n_taken = self._n_shards = 0
        self._scales: list[np.ndarray] = []
        self._checksum, self._fingerprint = Checksum(), Fingerprint(n_channels, n_times)
        (folder / "signal").mkdir(parents=True)

    def take(self, block: Float32[np.ndarray, "channel time"]) -> None:
        """Take the next samples.

        Raises
        ------
        Refused
            If they are more than there should be, or not finite.
        TooCoarse
            If the encoding cannot hold them.
        """
        self._n_taken += block.shape[1]
        if self._n_taken > self.n_times:
            raise self._wrong_length("more")
        self._fingerprint.take(block)
        while block.shape[1]:
            part = block[:, : self._shard.shape[1] - self._n_held]
            self._shard[:, self._n_held : self._n_held + part.shape[1]] = part
            self._n_held += part.shape[1]
            block = block[:, part.shape[1] :]
            if self._n_held == self._shard.shape[1]:
                self._write_shard()

    def finish(self) -> Written:
        """Write what is left.

        Raises
        ------
        Refused
            If samples are missing.
        TooCoarse
            If the encoding cannot hold them.
        """
        if self._n_taken < self.n_times:
            raise self._wrong_length(f"only {self._n_taken}")
        if self._n_held:
            self._write_shard()
        (self.folder / "signal" / "zarr.json").write_bytes(as_json(self._metadata()))
        if self._scales:
            _write_scale(self.folder / "scale", np.stack(self._scales))
        checksum = self._checksum.text()
        return Written(self.encoding.dtype, checksum, self._fingerprint.digest(checksum))

    def _write_shard(self) -> None:
        try:
            encoded = self.encoding.encode(self._shard[:, : self._n_held])
        except NotFinite as error:
            raise Refused(
                Reason.not_finite,
                "The cleaned signal has values that are no finite numbers; look at the file.",
            ) from error
        path = self.folder / "signal" / LAYOUT.key(0, self._n_shards)
        write_shard(path, encoded.values, chunk=self.chunk, n_chunks=self.n_chunks)
        self._checksum.take(encoded)
        if encoded.scale is not None:
            self._scales.append(encoded.scale)
        self._n_held, self._n_shards = 0, self._n_shards + 1

    def _metadata(self) -> dict[str, Any]:
        return array_metadata(
            shape=(len(self._shard), self.n_times),
            chunk=self.chunk,
            shard=self.chunk * self.n_chunks,
            dtype=self.encoding.dtype,
        )

    def _wrong_length(self, met: str) -> Refused:
        return Refused(
            Reason.damaged,
            f"The file announces {self.n_times} samples and gives {met}; look at the file.",
        )


def _write_scale(folder: Path, scale: Float32[np.ndarray, "shard channel"]) -> None:
    # Without parents: where a new ingest has swept this one's folder, nothing may come back.
    folder.mkdir()
    (folder / LAYOUT.key(0, 0)).write_bytes(with_crc(scale.astype("<f4").tobytes()))
    n_shards, n_channels = scale.shape
    metadata = scale_metadata((n_shards, n_channels))
    (folder / "zarr.json").write_bytes(as_json(metadata))
