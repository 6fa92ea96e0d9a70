"""Fuses what all layers say about all channels into a few learned tokens (EEGDM's head).

Puah et al., "EEGDM: EEG Representation Learning via Generative Diffusion Model", 2025: the latent
fusion transformer, 6.90 million parameters.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from brainfm.contracts import Features, Head
from brainfm.errors import UsageError
from brainfm.layers.attention import Attention


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
    )


class FusionBlock(nn.Module):
    """Learned tokens attend to each other, then to the channels of one layer; then a feed-forward.

    Norms come first; the channels are taken without one, as in the paper.
    """

    def __init__(self, dim: int, *, heads: int):
        super().__init__()
        self.norm1, self.among = nn.LayerNorm(dim), Attention(dim, dim, heads=heads)
        self.norm2, self.across = nn.LayerNorm(dim), Attention(dim, dim, heads=heads)
        self.feed = _feed_forward(dim)

    def forward(
        self,
        x: Float[Tensor, "row token dim"],
        channels: Float[Tensor, "row other dim"],
        mask: Bool[Tensor, "row other"],
    ) -> Float[Tensor, "row token dim"]:
        """Take one layer's channels in."""
        y = self.norm1(x)
        x = x + self.among(y, y)
        x = x + self.across(self.norm2(x), channels, mask)
        return x + self.feed(x)


class EncoderBlock(nn.Module):
    """A standard transformer block, norms first."""

    def __init__(self, dim: int, *, heads: int):
        super().__init__()
        self.norm, self.among = nn.LayerNorm(dim), Attention(dim, dim, heads=heads)
        self.feed = _feed_forward(dim)

    def forward(self, x: Float[Tensor, "row token dim"]) -> Float[Tensor, "row token dim"]:
        """Transform tokens."""
        y = self.norm(x)
        x = x + self.among(y, y)
        return x + self.feed(x)


class LatentFusionHead(Head):
    """Latent fusion transformer: ``n_tokens`` learned tokens for each ``seconds`` of a window.

    They read the channels of that time, layer after layer, from features in which the layers
    stand side by side; a transformer over all of them, their mean and a linear map follow. There is
    no code of the channel: their order does not matter, and what a channel is must be in its features.

    Parameters
    ----------
    dim
        width of the features.
    n_outputs
        scores a window.
    n_layers
        layers that stand side by side in a feature vector (20 in EEGDM; 1 for a backbone that gives
        one layer).
    n_pools
        stretches of time in a window (5 or 10 in the paper).
    seconds
        length of such a stretch.
    n_tokens
        learned tokens for each.
    depth
        blocks of the transformer.
    heads
        attention heads; a layer's width need be no multiple of them.
    """

    undecayed = ("tokens",)

    def __init__(
        self,
        dim: int,
        n_outputs: int,
        *,
        n_layers: int = 20,
        n_pools: int = 5,
        seconds: float = 1.0,
        n_tokens: int = 16,
        depth: int = 8,
        heads: int = 8,
    ):
        super().__init__()
        self.dim, self.n_outputs, self.n_layers, self.n_pools = dim, n_outputs, n_layers, n_pools
        self.seconds, self.n_tokens, self.depth, self.heads = seconds, n_tokens, depth, heads
        if dim % n_layers:
            raise UsageError(
                f"Features of width {dim} are no {n_layers} layers side by side; set the head's `n_layers` "
                "to the layers that the backbone gives, 1 for most."
            )
        width = dim // n_layers
        # Uniform in [0, 1), as released.
        self.tokens = nn.Parameter(torch.rand(n_pools, n_tokens, width))
        self.place = nn.Parameter(torch.rand(n_pools * n_tokens, width))
        self.fuse = nn.ModuleList(FusionBlock(width, heads=heads) for _ in range(n_layers))
        self.encoder = nn.ModuleList(EncoderBlock(width, heads=heads) for _ in range(depth))
        self.linear = nn.Linear(width, n_outputs)

    def pools(self, features: Features) -> Bool[Tensor, "batch pool token"]:
        """Return which tokens are of which stretch of time.

        Raises
        ------
        UsageError
            If the backbone says no times, or the windows are shorter or longer than the head is for.
        """
        if features.time is None:
            raise UsageError(
                "LatentFusionHead groups tokens by time and this backbone does not say theirs; choose "
                "another head."
            )
        # A start that float32 puts just below a border belongs behind it.
        pool = (features.time / self.seconds + 1e-4).floor().long()
        index = torch.arange(self.n_pools, device=pool.device)
        member = (pool.unsqueeze(1) == index[:, None]) & features.mask.unsqueeze(1)
        outside = (features.mask & (pool >= self.n_pools)).any()
        if outside or not member.any(-1).all():
            raise UsageError(
                f"LatentFusionHead was built for {self.n_pools} stretches of {self.seconds:g} s and the "
                "windows have tokens outside or stretches without any; set `n_pools` to the windows' length."
            )
        return member

    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window."""
        member = rearrange(self.pools(features), "b p n -> (b p) n")
        x = repeat(self.tokens, "p t d -> (b p) t d", b=len(features.value))
        for block, layer in zip(self.fuse, features.value.chunk(self.n_layers, -1), strict=True):
            x = block(x, layer.repeat_interleave(self.n_pools, 0), member)
        x = rearrange(x, "(b p) t d -> b (p t) d", p=self.n_pools) + self.place
        for block in self.encoder:
            x = block(x)
        return self.linear(x.mean(1))
