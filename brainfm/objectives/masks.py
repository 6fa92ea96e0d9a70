"""What is hidden from a model, drawn from an explicit generator."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from brainfm.contracts import Mask
from brainfm.errors import UsageError

Pattern = Literal["window", "batch"]


def keep_some(n: int, hidden: int, generator: torch.Generator) -> Bool[Tensor, " item"]:
    """Return True for all of ``n`` items but ``hidden`` randomly chosen ones."""
    keep = torch.ones(n, dtype=torch.bool)
    keep[torch.randperm(n, generator=generator)[:hidden]] = False
    return keep


def frequency_time_mask(
    n_bins: int,
    n_frames: int,
    *,
    generator: torch.Generator,
    band: int = 5,
    frequency_ratio: float = 0.5,
    time_ratio: float = 0.5,
) -> Bool[Tensor, "bin frame"]:
    """Return which cells of a spectrogram stay visible (TFM-Tokenizer, §"masking").

    Exactly ``int(ratio * count)`` frequency bands, the same in every frame, and as many frames are
    hidden; a cell is visible where both its band and its frame are. The complement of the mask is the
    symmetric view.
    """
    bands = keep_some(n_bins // band, int(n_bins // band * frequency_ratio), generator)
    frames = keep_some(n_frames, int(n_frames * time_ratio), generator)
    return bands.repeat_interleave(band)[:, None] & frames[None, :]


def token_mask(
    real: Bool[Tensor, "batch token"], ratio: float, generator: torch.Generator
) -> Bool[Tensor, "batch token"]:
    """Return which real tokens are hidden, each independently with probability ``ratio``."""
    hidden = torch.rand(real.shape, generator=generator) < ratio
    return hidden.to(real.device) & real


class TileMask(Mask):
    """Covers the grid of a window with tiles of one size and hides some of them.

    Exactly ``int(ratio * tiles)`` are hidden, and at least one. Tiles lie edge to edge from the first
    channel and the window's start; where they do not fill the grid, the last ones are cut.

    Parameters
    ----------
    ratio
        share of the tiles that are hidden.
    pattern
        ``"window"`` draws for each window, ``"batch"`` once for all windows of a batch.
    """

    def __init__(self, ratio: float = 0.5, *, pattern: Pattern = "window"):
        super().__init__()
        if not 0 < ratio < 1:
            raise UsageError(f"A mask hides a share between 0 and 1 of a window, not {ratio:g}.")
        self.ratio = ratio
        self.pattern: Pattern = pattern

    @abstractmethod
    def tile(self, rows: int, columns: int) -> tuple[int, int]:
        """Return rows and columns of a tile on a grid of ``rows`` and ``columns``."""

    def forward(
        self, real: Bool[Tensor, "batch row"], columns: int, generator: torch.Generator
    ) -> Bool[Tensor, "batch row {columns}"]:
        """Return which cells are hidden."""
        where, hidden = real.cpu(), real.new_zeros(*real.shape, columns, device="cpu")
        if self.pattern == "batch":
            drawn = self._draw(real.shape[1], columns, generator)
            return (where.unsqueeze(-1) & drawn).to(real.device)
        for window, rows in zip(hidden, where, strict=True):
            window[rows] = self._draw(int(rows.sum()), columns, generator)
        return hidden.to(real.device)

    def _draw(
        self, rows: int, columns: int, generator: torch.Generator
    ) -> Bool[Tensor, "{rows} {columns}"]:
        height, length = self.tile(rows, columns)
        down, along = -(-rows // height), -(-columns // length)
        count = max(1, int(self.ratio * down * along))
        hidden = ~keep_some(down * along, count, generator).unflatten(0, (down, along))
        hidden = hidden.repeat_interleave(height, 0).repeat_interleave(length, 1)
        return hidden[:rows, :columns]


class RandomMask(TileMask):
    """Hides single cells, as He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022.

    Parameters
    ----------
    ratio, pattern
        as of `TileMask`.
    """

    def tile(self, rows: int, columns: int) -> tuple[int, int]:
        """Return one cell."""
        return 1, 1


class ChannelMask(TileMask):
    """Hides whole channels, which are to be told from the others.

    Parameters
    ----------
    ratio, pattern
        as of `TileMask`.
    """

    def tile(self, rows: int, columns: int) -> tuple[int, int]:
        """Return a row."""
        return 1, columns


class BlockMask(TileMask):
    """Hides stretches of time in all channels, which are to be told from before and after.

    Parameters
    ----------
    ratio, pattern
        as of `TileMask`.
    length
        cells of a stretch.
    """

    def __init__(self, ratio: float = 0.5, *, length: int = 2, pattern: Pattern = "window"):
        super().__init__(ratio, pattern=pattern)
        self.length = _at_least_one(length)

    def tile(self, rows: int, columns: int) -> tuple[int, int]:
        """Return all channels for a while."""
        return max(1, rows), self.length


class RectangleMask(TileMask):
    """Hides neighbouring channels for a while; neighbours in the order of the recording's channels.

    Parameters
    ----------
    ratio, pattern
        as of `TileMask`.
    height
        rows of cells of a rectangle.
    length
        cells along time.
    """

    def __init__(
        self, ratio: float = 0.5, *, height: int = 3, length: int = 2, pattern: Pattern = "window"
    ):
        super().__init__(ratio, pattern=pattern)
        self.height, self.length = _at_least_one(height), _at_least_one(length)

    def tile(self, rows: int, columns: int) -> tuple[int, int]:
        """Return a rectangle."""
        return self.height, self.length


def _at_least_one(size: int) -> int:
    if size < 1:
        raise UsageError(f"A tile of a mask has one cell or more a side, not {size}.")
    return size
