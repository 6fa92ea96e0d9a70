"""A transformer whose attention is linear in the length of the sequence.

Shen et al., "Efficient Attention: Attention with Linear Complexities", WACV 2021, eq. 4: the softmax
of the queries runs over features and that of the keys over the sequence, so that keys and values
meet in one (feature, feature) matrix before any query sees them. It is what TFM-Tokenizer uses
throughout (pre-norm, feed-forward of width 4, dropout on the attention's output only).
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


class LinearAttention(nn.Module):
    """Multi-head attention at a cost linear in the number of tokens.

    Parameters
    ----------
    dim
        width of a token; must be a multiple of ``heads``.
    heads
        number of heads.
    dropout
        probability of dropping an output value.
    """

    def __init__(self, dim: int, *, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "row token dim"],
        mask: Bool[Tensor, "row token"] | None = None,
    ) -> Float[Tensor, "row token dim"]:
        """Attend from every token to every token that ``mask`` calls real."""
        key = self.key(x)
        if mask is not None:
            key = key.masked_fill(~mask.unsqueeze(-1), torch.finfo(key.dtype).min)
        # Time stands last: a softmax over the few features of a head is ten times slower where they do.
        q, k, v = (
            rearrange(y, "r t (h d) -> r h d t", h=self.heads)
            for y in (self.query(x), key.softmax(1), self.value(x))
        )
        context = torch.einsum("rhdt,rhet->rhde", k * k.shape[2] ** -0.5, v)
        y = torch.einsum("rhde,rhdt->rhet", context, q.softmax(2))
        return self.dropout(self.out(rearrange(y, "r h e t -> r t (h e)")))


class Block(nn.Module):
    """Attention, then a feed-forward of four times the width, each after a norm and added.

    Parameters
    ----------
    dim, heads, dropout
        as of `LinearTransformer`.
    """

    def __init__(self, dim: int, *, heads: int, dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = LinearAttention(dim, heads=heads, dropout=dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(
        self,
        x: Float[Tensor, "row token dim"],
        mask: Bool[Tensor, "row token"] | None = None,
    ) -> Float[Tensor, "row token dim"]:
        """Transform a sequence."""
        x = x + self.attention(self.norm1(x), mask)
        return x + self.feed(self.norm2(x))


class LinearTransformer(nn.Module):
    """Pre-norm transformer blocks with `LinearAttention` and no position code of its own.

    Parameters
    ----------
    dim
        width of a token.
    depth
        number of blocks.
    heads
        attention heads a block.
    dropout
        dropout on each attention's output.
    """

    def __init__(self, dim: int, *, depth: int, heads: int = 8, dropout: float = 0.2):
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads=heads, dropout=dropout) for _ in range(depth))

    def forward(
        self,
        x: Float[Tensor, "row token dim"],
        mask: Bool[Tensor, "row token"] | None = None,
    ) -> tuple[Float[Tensor, "row token dim"], ...]:
        """Return every block's output, first to last."""
        outputs = []
        for block in self.blocks:
            x = block(x, mask)
            outputs.append(x)
        return tuple(outputs)
