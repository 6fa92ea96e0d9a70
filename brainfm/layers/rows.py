"""Tokens of many channels as rows of one channel each, and back.

For models that look at one channel at a time. A row holds the real tokens of one channel of one window in
the order of time; padding takes part in nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from brainfm.contracts import Tokens


@dataclass(frozen=True, eq=False)
class Rows:
    """One row a channel of a window, sorted by window and channel.

    Attributes
    ----------
    value
        (row, place, dim) the tokens' values, zero at places that a shorter row leaves empty.
    real
        (row, place) True where there is a token.
    window
        (row,) of the batch.
    channel
        (row,) of the window.
    source
        (token,) where each real token stood in the flattened batch.
    n_windows
        windows of the batch.
    n_tokens
        tokens a window, padding included.
    """

    value: Float[Tensor, "row place dim"]
    real: Bool[Tensor, "row place"]
    window: Int[Tensor, " row"]
    channel: Int[Tensor, " row"]
    source: Int[Tensor, " token"]
    n_windows: int
    n_tokens: int

    @property
    def even(self) -> bool:
        """Whether all rows are equally long, so that ``real`` says nothing."""
        return len(self.source) == self.real.numel()

    def back(self, value: Float[Tensor, "row place width"]) -> Float[Tensor, "batch token width"]:
        """Return values of rows in the tokens' own order, zero for padding."""
        flat = value.new_zeros(self.n_windows * self.n_tokens, value.shape[-1])
        flat = flat.index_copy(0, self.source, value[self.real])
        return flat.unflatten(0, (self.n_windows, self.n_tokens))


def rows_of(tokens: Tokens) -> Rows:
    """Sort the real tokens of a batch into rows."""
    n_windows, n_tokens = tokens.mask.shape
    source = tokens.mask.flatten().nonzero().squeeze(1)
    n_channels = int(tokens.channel.max()) + 1
    window = torch.div(source, n_tokens, rounding_mode="floor")
    key = window * n_channels + tokens.channel.flatten()[source]
    order = tokens.time.flatten()[source].argsort(stable=True)
    order = order[key[order].argsort(stable=True)]
    source, key = source[order], key[order]
    key, row, length = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    place = torch.arange(len(row), device=row.device) - (length.cumsum(0) - length)[row]
    longest = int(length.max())
    value = tokens.value.new_zeros(len(key), longest, tokens.value.shape[-1])
    value = value.index_put((row, place), tokens.value.flatten(0, 1)[source])
    real = torch.arange(longest, device=row.device) < length.unsqueeze(1)
    return Rows(
        value=value,
        real=real,
        window=torch.div(key, n_channels, rounding_mode="floor"),
        channel=key % n_channels,
        source=source,
        n_windows=n_windows,
        n_tokens=n_tokens,
    )
