"""STAMP's adapter over frozen embeddings of single channels, of any model of time series.

Shook et al., "STAMP: Spatial-Temporal Adapter with Multi-Head Pooling", ML4H 2025, arXiv 2511.10848. Where
the paper and its released code differ (the pooling's residual), this is the code.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from brainfm.contracts import Features, Head
from brainfm.errors import UsageError
from brainfm.layers.grid import on_grid

RESIDUAL = 0.1  # share of the tokens' mean that is added to the pooled vector
START = 0.02  # spread of learned tables and queries before training


class SpatialGate(nn.Module):
    """Half the features, times a linear mixture of the other half along one axis of the grid.

    At the start the mixture is 1 everywhere, so that the first half passes as it is.

    Parameters
    ----------
    dim
        width of what goes out, half of what comes in.
    length
        of the axis.
    axis
        ``1`` mixes steps in time, ``2`` channels.
    """

    def __init__(self, dim: int, length: int, *, axis: int):
        super().__init__()
        self.axis = axis
        self.norm, self.mix = nn.LayerNorm(dim), nn.Linear(length, length)
        nn.init.normal_(self.mix.weight, std=1e-6)
        nn.init.ones_(self.mix.bias)

    def forward(
        self, x: Float[Tensor, "batch step channel two_dim"]
    ) -> Float[Tensor, "batch step channel dim"]:
        """Gate a grid of features."""
        kept, gate = x.chunk(2, -1)
        gate = self.mix(self.norm(gate).transpose(self.axis, -1)).transpose(self.axis, -1)
        return kept * gate


class CrissCross(nn.Module):
    """Criss-cross gated MLP: a gate along time and one along channels, side by side, then added.

    Parameters
    ----------
    dim
        width of a token.
    n_channels, n_steps
        size of the grid.
    dropout
        of what is added.
    """

    def __init__(self, dim: int, *, n_channels: int, n_steps: int, dropout: float):
        super().__init__()
        self.enter = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU())
        self.along_time = SpatialGate(dim, n_steps, axis=1)
        self.along_channels = SpatialGate(dim, n_channels, axis=2)
        self.leave = nn.Sequential(nn.Linear(2 * dim, dim), nn.Dropout(dropout))

    def forward(
        self, x: Float[Tensor, "batch step channel dim"]
    ) -> Float[Tensor, "batch step channel dim"]:
        """Mix a grid of tokens."""
        y = self.enter(x)
        return x + self.leave(torch.cat([self.along_time(y), self.along_channels(y)], -1))


class MultiHeadPooling(nn.Module):
    """Several learned queries a head, each token being key and value at once.

    The answers of a head's queries are added, weighted by the softmax of the attention that each gave
    in all. That is 1 for every query, so without dropout the answers are simply averaged.

    Parameters
    ----------
    dim
        width of a token and of the pooled vector.
    heads
        number of heads.
    n_queries
        queries a head.
    dropout
        of keys and of attention.
    """

    undecayed = ("queries",)

    def __init__(self, dim: int, *, heads: int, n_queries: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(START * torch.randn(heads, n_queries, dim // heads))
        with torch.no_grad():  # all but the first are further apart, as released
            self.queries[:, 1:] += 0.1 * torch.randn_like(self.queries[:, 1:])
        self.key = nn.Linear(dim, dim, bias=False)
        self.out, self.drop = nn.Linear(dim, dim), nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch dim"]:
        """Pool tokens."""
        key = rearrange(self.drop(self.key(x)), "b t (h d) -> b h t d", h=self.heads)
        score = einsum(self.queries, key, "h q d, b h t d -> b h q t") / key.shape[-1] ** 0.5
        attention = self.drop(score.softmax(-1))
        weight = attention.sum(-1).softmax(-1)
        found = einsum(weight, attention, key, "b h q, b h q t, b h t d -> b h d")
        return self.out(rearrange(found, "b h d -> b (h d)")) + RESIDUAL * x.mean(1)


class StampHead(Head):
    """Instance norm, projection, learned places, criss-cross gated MLPs, multi-head pooling, linear map.

    Reads features of single channels and steps in time, one of each: those of our own backbones over
    tokens of one channel, or frozen embeddings of a general model of time series.

    Parameters
    ----------
    dim
        width of the features (1024 in the paper).
    n_outputs
        scores a window; the paper uses 1 for two classes, `brainfm.Finetuned` one a class.
    n_channels
        channels of a window.
    n_steps
        steps in time of a window.
    seconds
        length of a step.
    width
        of a token inside (8 to 512 in the paper).
    depth
        number of gated MLPs.
    heads
        heads of the pooling.
    n_queries
        queries a head.
    dropout
        everywhere.
    """

    undecayed = ("place", "place_of_channel", "place_in_time")

    def __init__(
        self,
        dim: int,
        n_outputs: int,
        *,
        n_channels: int,
        n_steps: int,
        seconds: float = 1.0,
        width: int = 128,
        depth: int = 8,
        heads: int = 4,
        n_queries: int = 8,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.dim, self.n_outputs, self.n_channels, self.n_steps = (
            dim,
            n_outputs,
            n_channels,
            n_steps,
        )
        self.seconds, self.width, self.depth, self.heads = seconds, width, depth, heads
        self.n_queries, self.dropout = n_queries, dropout
        self._check()
        self.norm = nn.InstanceNorm1d(dim, affine=True)
        self.enter = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, width))
        self.place = nn.Parameter(START * torch.randn(n_steps, n_channels, width))
        self.place_of_channel = nn.Parameter(START * torch.randn(n_channels, width))
        self.place_in_time = nn.Parameter(START * torch.randn(n_steps, 1, width))
        self.blocks = nn.Sequential(
            *(
                CrissCross(width, n_channels=n_channels, n_steps=n_steps, dropout=dropout)
                for _ in range(depth)
            )
        )
        self.pool = MultiHeadPooling(width, heads=heads, n_queries=n_queries, dropout=dropout)
        self.linear = nn.Linear(width, n_outputs)

    def _check(self) -> None:
        if self.width % self.heads:
            raise UsageError(
                f"A width of {self.width} cannot be split into {self.heads} heads; choose a multiple of "
                f"{self.heads}."
            )
        if self.n_channels * self.n_steps < 2:
            raise UsageError(
                "StampHead normalises over the tokens of a window and was built for one; choose shorter "
                "steps or more channels."
            )

    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window."""
        size = {"n_channels": self.n_channels, "n_steps": self.n_steps}
        grid = on_grid(features, **size, seconds=self.seconds, asker="StampHead")
        tokens = rearrange(self.norm(rearrange(grid, "b t s d -> b d (t s)")), "b d n -> b n d")
        x = rearrange(self.enter(tokens), "b (t s) d -> b t s d", t=self.n_steps)
        x = x + self.place + self.place_of_channel + self.place_in_time
        return self.linear(self.pool(rearrange(self.blocks(x), "b t s d -> b (t s) d")))
