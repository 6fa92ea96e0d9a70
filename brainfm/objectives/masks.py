"""What is hidden from a model, drawn from an explicit generator."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


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
