"""A store of discrete tokens: what a tokenizer made of every window of a store.

::

    T.zarr/
      zarr.json        root attributes: vocabulary and its hash, window and token lengths in seconds,
                       codebook health (perplexity, used and dead codes), where they come from
      usage/           int64 (vocabulary,) how often each code occurs
      <recording id>/  codes: int32 (window, channel, frame); onsets: float64 (window,) seconds
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float64, Int32, Int64

from brainfm.errors import UsageError

VERSION = 1


@dataclass(frozen=True, eq=False)
class TokenStore:
    """A token store that is open for reading.

    Attributes
    ----------
    path
        of the token store.
    attributes
        of its root.
    """

    path: Path
    attributes: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        """The recordings that were tokenized, sorted."""
        return sorted(zarr.open_group(self.path, mode="r").group_keys())

    @property
    def usage(self) -> Int64[np.ndarray, " vocabulary"]:
        """How often each code occurs."""
        return np.asarray(zarr.open_array(self.path / "usage", mode="r")[:])

    def codes(self, recording: str) -> Int32[np.ndarray, "window channel frame"]:
        """Return the codes of a recording."""
        return np.asarray(zarr.open_array(self.path / recording / "codes", mode="r")[:])

    def onsets(self, recording: str) -> Float64[np.ndarray, " window"]:
        """Return where each window starts, in seconds."""
        return np.asarray(zarr.open_array(self.path / recording / "onsets", mode="r")[:])


def open_tokens(path: Path | str) -> TokenStore:
    """Open a token store.

    Raises
    ------
    UsageError
        If there is none, or another version wrote it.
    """
    path = Path(path)
    if not (path / "zarr.json").is_file():
        raise UsageError(f"There is no token store at {path}; make one with `brainfm tokenize`.")
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    if attributes.get("tokens_version") != VERSION:
        raise UsageError(
            f"{path} is no token store of version {VERSION} (it says "
            f"{attributes.get('tokens_version')!r}); make it anew with `brainfm tokenize`."
        )
    return TokenStore(path, attributes)


@dataclass(frozen=True, eq=False)
class TokenWriter:
    """Writes a token store beside its final place and moves it there when all is written.

    Attributes
    ----------
    path
        the final place.
    header
        what the tokens are of; a partial store with another header is begun anew.
    """

    path: Path
    header: dict[str, Any]

    @property
    def partial(self) -> Path:
        """Where the store stands until it is whole."""
        return self.path.with_name(self.path.name + ".partial")

    def begin(self) -> set[str]:
        """Create the partial store, or go on with one; return the recordings it holds already."""
        if self.partial.exists():
            try:
                group = zarr.open_group(self.partial, mode="r")
                if dict(group.attrs) == self.header:
                    return {k for k in group.group_keys() if group[k].attrs.get("whole")}
            except (OSError, ValueError, KeyError):
                pass  # cut short before its header was whole
            shutil.rmtree(self.partial)
        zarr.create_group(self.partial, attributes=self.header)
        return set()

    def write(
        self,
        recording: str,
        codes: Int32[np.ndarray, "window channel frame"],
        onsets: Float64[np.ndarray, " window"],
    ) -> None:
        """Write the tokens of one recording."""
        shutil.rmtree(self.partial / recording, ignore_errors=True)
        group = zarr.open_group(self.partial, mode="r+").create_group(recording)
        group.create_array("codes", data=codes)
        group.create_array("onsets", data=onsets)
        group.attrs["whole"] = True

    def finish(self) -> TokenStore:
        """Add usage and codebook health, and move the store to its place."""
        group = zarr.open_group(self.partial, mode="r+")
        usage = np.zeros(self.header["vocabulary"], np.int64)
        for recording in group.group_keys():
            codes = zarr.open_array(self.partial / recording / "codes", mode="r")[:]
            usage += np.bincount(np.asarray(codes).ravel(), minlength=len(usage))
        group.create_array("usage", data=usage, overwrite=True)
        group.attrs.update(codebook_health(usage))
        self.partial.rename(self.path)
        return open_tokens(self.path)


def header(**facts: Any) -> dict[str, Any]:
    """Return the attributes of a token store before its health is known."""
    return {"tokens_version": VERSION, **facts}


def codebook_health(usage: Int64[np.ndarray, " vocabulary"]) -> dict[str, float | int]:
    """Return perplexity (exp of the entropy of the codes' frequencies), used and dead codes."""
    share = usage[usage > 0] / max(1, usage.sum())
    used = int((usage > 0).sum())
    return {
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
        "used": used,
        "dead": len(usage) - used,
    }
