"""Attention that knows how far apart two tokens are in time.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, arXiv 2104.09864. Each pair
of a query's or key's features is turned by an angle that grows with the token's time, so that their product
depends on the difference of the times alone. Times are seconds and need not be evenly spaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from brainfm.errors import UsageError

LONGEST = 10_000.0  # the slowest pair turns once in 2π·10,000 steps, as in the paper


@dataclass(frozen=True, eq=False)
class Turn:
    """The angles of a sequence, as what they do to a pair of features.

    Attributes
    ----------
    cos, sin
        (batch, 1, token, pair), for all heads alike.
    """

    cos: Float[Tensor, "batch 1 token pair"]
    sin: Float[Tensor, "batch 1 token pair"]

    @classmethod
    def of(cls, time: Float[Tensor, "batch token"], features: int, *, step: float) -> Turn:
        """Return the turn of tokens at ``time`` seconds, for heads of so many features.

        Parameters
        ----------
        time
            seconds from the start of the window.
        features
            of a head; even.
        step
            seconds that count as one place of the paper's.
        """
        pairs = torch.arange(0, features, 2, device=time.device, dtype=torch.float32)
        frequency = torch.exp(pairs * (-math.log(LONGEST) / features))
        angle = (time.float() / step).unsqueeze(-1) * frequency
        return cls(angle.cos().unsqueeze(1), angle.sin().unsqueeze(1))

    def __call__(
        self, x: Float[Tensor, "batch head token feature"]
    ) -> Float[Tensor, "batch head token feature"]:
        """Turn queries or keys, in single precision whatever autocast says."""
        first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        turned = (first * self.cos - second * self.sin, first * self.sin + second * self.cos)
        return torch.stack(turned, -1).flatten(-2).to(x.dtype)


class RotaryAttention(nn.Module):
    """Multi-head self-attention, its queries and keys turned by their times.

    Parameters
    ----------
    dim
        width of a token; a multiple of twice ``heads``, because features are turned in pairs.
    heads
        number of heads.
    """

    def __init__(self, dim: int, *, heads: int):
        super().__init__()
        if dim % (2 * heads):
            raise UsageError(
                f"Tokens of width {dim} cannot be split into {heads} heads of an even number of features; "
                f"choose a width that is a multiple of {2 * heads}."
            )
        self.heads = heads
        self.enter, self.out = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch token dim"],
        turn: Turn,
        mask: Bool[Tensor, "batch 1 1 token"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:
        """Attend from every token to every token that ``mask`` calls real; None where all are."""
        q, k, v = rearrange(self.enter(x), "b t (n h d) -> n b h t d", n=3, h=self.heads)
        y = scaled_dot_product_attention(turn(q), turn(k), v, attn_mask=mask)
        return self.out(rearrange(y, "b h t d -> b t (h d)"))
