"""The order of tokens that describe one channel each: through time first, then through channels."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from brainfm.contracts import Batch, Tokens


def tokens_by_channel(
    value: Float[Tensor, "batch channel piece dim"], batch: Batch, *, step: float
) -> Tokens:
    """Return pieces of every channel as continuous tokens, with what the batch says of the channels.

    Parameters
    ----------
    value
        of each piece.
    batch
        the windows that the pieces are of.
    step
        seconds from one piece to the next.
    """
    n_windows, n_channels, n_pieces = value.shape[:3]
    start = torch.arange(n_pieces, device=value.device) * step
    index = torch.arange(n_channels, device=value.device)
    return Tokens(
        value=rearrange(value, "b c t d -> b (c t) d"),
        code=None,
        time=repeat(start, "t -> b (c t)", b=n_windows, c=n_channels),
        channel=repeat(index, "c -> b (c t)", b=n_windows, t=n_pieces),
        position=repeat(batch.position, "b c p -> b (c t) p", t=n_pieces),
        kind=repeat(batch.kind, "b c -> b (c t)", t=n_pieces),
        mask=repeat(batch.mask, "b c -> b (c t)", t=n_pieces),
    )
