"""The transformer over motif tokens ("64×4").

Pradeepkumar et al., ICLR 2026, arXiv 2502.16060: 725,014 numbers with a head for 6 classes, of which
16 are an index that no training changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainfm.contracts import Backbone, Features, Tokens
from brainfm.errors import UsageError
from brainfm.layers.linear_attention import LinearTransformer


def sinusoid(index: Float[Tensor, "batch token"], dim: int) -> Float[Tensor, "batch token dim"]:
    """Return sines (even places) and cosines (odd places) at wavelengths of 2π to 10,000·2π."""
    frequency = torch.exp(
        torch.arange(0, dim, 2, device=index.device) * (-math.log(10_000.0) / dim)
    )
    angle = index.unsqueeze(-1) * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


class MotifEncoder(Backbone):
    """Linear transformer over discrete tokens with a CLS token.

    A token is the sum of a learned code vector, a learned vector of its channel and a fixed code
    of its time. The channel table has as many rows as it was built with: that is the paper's
    design, and the reason why windows with more channels are refused.

    Parameters
    ----------
    dim
        width of a token.
    vocabulary
        number of codes; one more row stands for a hidden token.
    n_channels
        rows of the channel table (16 bipolar derivations in the paper).
    depth
        number of blocks.
    heads
        attention heads.
    step
        seconds from one token to the next, the unit of the time code.
    dropout
        dropout on each attention's output.
    embedding_dropout
        dropout on the embedded tokens.
    """

    needs_codes = True

    def __init__(
        self,
        dim: int,
        vocabulary: int = 8192,
        *,
        n_channels: int = 16,
        depth: int = 4,
        heads: int = 8,
        step: float = 0.5,
        dropout: float = 0.2,
        embedding_dropout: float = 0.1,
    ):
        super().__init__()
        self.dim, self.vocabulary, self.n_channels, self.depth = dim, vocabulary, n_channels, depth
        self.heads, self.step, self.dropout = heads, step, dropout
        self.embedding_dropout = embedding_dropout
        self.code = nn.Embedding(vocabulary + 1, dim)
        self.channel = nn.Embedding(n_channels, dim)
        # The released encoder holds the rows' numbers as a parameter without gradient, and the
        # published count of 725,014 includes them.
        self.row = nn.Parameter(torch.arange(n_channels), requires_grad=False)
        self.cls = nn.Parameter(torch.zeros(dim))
        self.drop = nn.Dropout(embedding_dropout)
        self.transformer = LinearTransformer(dim, depth=depth, heads=heads, dropout=dropout)

    def adopt(self, codebook: Float[Tensor, "code dim"]) -> None:
        """Start the code vectors from the tokenizer's, and the hidden token from zero."""
        if codebook.shape != (self.vocabulary, self.dim):
            raise UsageError(
                f"The tokenizer has {tuple(codebook.shape)} code vectors and the backbone wants "
                f"{(self.vocabulary, self.dim)}; set the backbone's `vocabulary` to match."
            )
        with torch.no_grad():
            self.code.weight[:-1] = codebook
            self.code.weight[-1] = 0

    def stages(self) -> Sequence[nn.Module]:
        """Return the transformer's blocks."""
        return list(self.transformer.blocks)

    def sequence(self, tokens: Tokens) -> Float[Tensor, "batch token_and_cls dim"]:
        """Return the embedded tokens with CLS in front.

        Raises
        ------
        UsageError
            If tokens carry no codes, or channels beyond the channel table.
        """
        embedded = self.code(self._codes(tokens)) + self.channel(self.row[tokens.channel])
        embedded = self.drop(embedded + sinusoid(tokens.time / self.step, self.dim))
        return torch.cat([self.cls.expand(len(embedded), 1, -1), embedded], 1)

    def _codes(self, tokens: Tokens) -> Int[Tensor, "batch token"]:
        if tokens.code is None:
            raise UsageError(
                "MotifEncoder reads discrete codes and the tokenizer gives continuous tokens; "
                "choose a tokenizer with a vocabulary."
            )
        if (n_channels := int(tokens.channel.max()) + 1) > self.n_channels:
            raise UsageError(
                f"The windows have {n_channels} channels and the backbone's table has "
                f"{self.n_channels}; set its `n_channels` to at least {n_channels}."
            )
        return tokens.code

    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; the summary is the CLS token."""
        x = self.sequence(tokens)
        mask = torch.cat([tokens.mask.new_ones(len(x), 1), tokens.mask], 1)
        outputs = self.transformer(x, mask)
        return Features(
            value=outputs[-1][:, 1:],
            mask=tokens.mask,
            time=tokens.time,
            channel=tokens.channel,
            summary=outputs[-1][:, 0],
            layers=tuple(y[:, 1:] for y in outputs) if layers else (),
        )
