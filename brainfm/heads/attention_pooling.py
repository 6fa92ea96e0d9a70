"""Learned queries look for what matters among the tokens; a linear map of what they find.

Lee et al., "Set Transformer", ICML 2019: pooling by multi-head attention (equation 11), here without its
feed-forward.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from brainfm.contracts import Features, Head
from brainfm.errors import UsageError
from brainfm.layers.attention import Attention


class AttentionPooling(Head):
    """Norm, attention of ``n_queries`` learned queries to all real tokens, linear map of the answers.

    Any number of tokens in any order will do.

    Parameters
    ----------
    dim
        width of the features.
    n_outputs
        scores a window.
    n_queries
        learned queries.
    width
        of a query and of its answer.
    heads
        attention heads, which share ``width``.
    """

    undecayed = ("queries",)

    def __init__(
        self, dim: int, n_outputs: int, *, n_queries: int = 4, width: int = 128, heads: int = 4
    ):
        super().__init__()
        self.dim, self.n_outputs = dim, n_outputs
        self.n_queries, self.width, self.heads = n_queries, width, heads
        if width % heads:
            raise UsageError(
                f"A width of {width} cannot be split into {heads} heads; choose a multiple of {heads}."
            )
        self.queries = nn.Parameter(0.02 * torch.randn(n_queries, width))
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(width, dim, heads=heads)
        self.linear = nn.Linear(n_queries * width, n_outputs)

    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window."""
        queries = repeat(self.queries, "q w -> b q w", b=len(features.value))
        found = self.attention(queries, self.norm(features.value), features.mask)
        return self.linear(rearrange(found, "b q w -> b (q w)"))
