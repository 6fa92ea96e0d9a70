"""A transformer over patches of any sensors: rotary time, places from 3-D positions, norms first.

Dosovitskiy et al., ICLR 2021 (patches), Su et al., 2021 (rotary position), El Ouahidi et al., "REVE", 2025
(positions of electrodes in Fourier features), Xiong et al., ICML 2020 (norms first).
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from brainfm.contracts import Backbone, Features, Kind, Tokens
from brainfm.layers.place import Place
from brainfm.layers.rotary import RotaryAttention, Turn


class PatchBlock(nn.Module):
    """Attention, then a feed-forward, each after a norm and added.

    Parameters
    ----------
    width, heads, dropout
        as of `PatchTransformer`.
    """

    def __init__(self, width: int, *, heads: int, dropout: float):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), RotaryAttention(width, heads=heads)
        self.norm2, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self,
        x: Float[Tensor, "batch token width"],
        turn: Turn,
        mask: Bool[Tensor, "batch 1 1 token"] | None,
    ) -> Float[Tensor, "batch token width"]:
        """Transform a sequence."""
        x = x + self.drop(self.attention(self.norm1(x), turn, mask))
        return x + self.drop(self.feed(self.norm2(x)))


class PatchTransformer(Backbone):
    """Full attention among all tokens of a window, whatever their number, channels and kinds.

    A token enters as a linear map of its value plus the vector of its place (`Place`) plus that of its
    sensor's kind; its time turns queries and keys. There is no summary, so that heads take the mean.
    Sensors whose position is unknown differ by what they measure alone.

    Parameters
    ----------
    token_dim
        width of a token.
    width
        of the transformer and its features; that of a token where None.
    depth
        number of blocks.
    heads
        attention heads.
    step
        seconds that count as one place in the rotary code, about the length of a patch.
    waves
        sines and cosines an axis of the place.
    dropout
        dropout on what a block adds.
    """

    def __init__(
        self,
        token_dim: int,
        *,
        width: int | None = None,
        depth: int = 8,
        heads: int = 8,
        step: float = 0.5,
        waves: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.token_dim, self.width, self.depth, self.heads = token_dim, width, depth, heads
        self.step, self.waves, self.dropout = step, waves, dropout
        self.dim = token_dim if width is None else width
        self.enter = nn.Linear(token_dim, self.dim)
        self.place = Place(self.dim, waves=waves)
        self.kind = nn.Embedding(len(Kind), self.dim)
        nn.init.normal_(self.kind.weight, std=0.02)
        self.blocks = nn.ModuleList(
            PatchBlock(self.dim, heads=heads, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; with ``layers`` also each block's, the last after the closing norm."""
        x = self.enter(tokens.value) + self.place(tokens.position) + self.kind(tokens.kind)
        turn = Turn.of(tokens.time, self.dim // self.heads, step=self.step)
        mask = None if bool(tokens.mask.all()) else tokens.mask[:, None, None]
        outputs = []
        for block in self.blocks:
            x = block(x, turn, mask)
            outputs.append(x)
        value = self.norm(x)
        return Features(
            value=value,
            mask=tokens.mask,
            layers=(*outputs[:-1], value) if layers else (),
            time=tokens.time,
            channel=tokens.channel,
        )
