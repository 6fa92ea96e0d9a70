"""Features of single channels and moments → a grid of channels and steps in time."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from brainfm.contracts import Features
from brainfm.errors import UsageError


def on_grid(
    features: Features, *, n_channels: int, n_steps: int, seconds: float, asker: str
) -> Float[Tensor, "batch {n_steps} {n_channels} dim"]:
    """Return each feature vector at its step and channel, in whatever order they come.

    Parameters
    ----------
    features
        with times and channels.
    n_channels, n_steps
        size of the grid.
    seconds
        length of a step.
    asker
        who needs the grid, for the refusal.

    Raises
    ------
    UsageError
        If the backbone says no times or channels, or there is not one token a step and channel.
    """
    if features.time is None or features.channel is None:
        raise UsageError(
            f"{asker} puts tokens on a grid of times and channels and this backbone does not say "
            "theirs; choose another head."
        )
    # A start that float32 puts just below a border belongs behind it.
    step = (features.time / seconds + 1e-4).floor().long()
    cell = step * n_channels + features.channel
    inside = (features.channel < n_channels) & (step < n_steps)
    n_cells = n_steps * n_channels
    order = torch.where(features.mask, cell, n_cells).argsort(dim=1)[:, :n_cells]
    every = torch.arange(n_cells, device=cell.device)
    fits = (features.mask.sum(1) == n_cells).all() and inside[features.mask].all()
    if not fits or not torch.equal(cell.gather(1, order), every.expand(len(cell), -1)):
        raise UsageError(
            f"{asker} was built for one token for each of {n_channels} channels and {n_steps} steps of "
            f"{seconds:g} s, and the windows have {int(features.mask.sum(1).max())} tokens placed "
            "otherwise; set `n_channels`, `n_steps` and `seconds` to match, or choose another head."
        )
    value = features.value.gather(1, order.unsqueeze(-1).expand(-1, -1, features.value.shape[-1]))
    return rearrange(value, "b (t s) d -> b t s d", t=n_steps)
