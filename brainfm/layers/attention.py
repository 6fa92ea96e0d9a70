"""Attention of one sequence to another.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017, equation 1 with several heads.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head attention of one sequence to another.

    Parameters
    ----------
    dim
        width of the tokens that ask.
    context
        width of the tokens that are asked.
    heads
        number of heads. Inside, tokens are as wide as the next multiple of it.
    """

    def __init__(self, dim: int, context: int, *, heads: int):
        super().__init__()
        self.heads = heads
        width = dim + -dim % heads
        self.query, self.out = nn.Linear(dim, width), nn.Linear(width, dim)
        self.key, self.value = nn.Linear(context, width), nn.Linear(context, width)

    def forward(
        self,
        x: Float[Tensor, "row token dim"],
        context: Float[Tensor, "row other width"],
        mask: Bool[Tensor, "row other"] | None = None,
    ) -> Float[Tensor, "row token dim"]:
        """Attend to what ``mask`` calls real."""
        pairs = (self.query, x), (self.key, context), (self.value, context)
        q, k, v = (rearrange(f(y), "r t (h d) -> r h t d", h=self.heads) for f, y in pairs)
        where = None if mask is None else mask[:, None, None]
        y = scaled_dot_product_attention(q, k, v, attn_mask=where)
        return self.out(rearrange(y, "r h t d -> r t (h d)"))
