"""A general model of single time series, frozen, as a backbone: each patch of each channel by itself.

As Shook et al., "STAMP", ML4H 2025, arXiv 2511.10848, use MOMENT, Chronos and TSPulse under their adapter.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from brainfm.contracts import Backbone, Component, Features, Tokens
from brainfm.errors import UsageError


class SeriesEmbedder(Component):
    """What a model of time series has to do to be a backbone here; yours stands in your own package.

    It finds its weights in its constructor, which keeps its arguments under their own names, and pads or
    scales as it needs. A checkpoint holds its weights, and names its class.

    Attributes
    ----------
    dim
        width of an embedding.
    """

    dim: int

    @abstractmethod
    def forward(self, series: Float[Tensor, "series time"]) -> Float[Tensor, "series dim"]:
        """Embed each series, of samples as the tokenizer gives them, by itself."""


class SeriesBackbone(Backbone):
    """Embeds every token, which is a patch of a channel's samples, with a frozen model.

    Tokens know nothing of each other: what a window means has to be told by the head (`StampHead`).

    Parameters
    ----------
    patch
        samples a token.
    embedder
        the model; never trained, always in evaluation mode.
    chunk
        patches that are embedded at a time.
    """

    needs_samples = True

    def __init__(self, patch: int, *, embedder: SeriesEmbedder, chunk: int = 1024):
        super().__init__()
        self.patch, self.embedder, self.chunk = patch, embedder, chunk
        self.dim = embedder.dim
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> SeriesBackbone:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; there is one layer.

        Raises
        ------
        UsageError
            If patches have another length than the backbone was built for.
        """
        if (found := tokens.value.shape[-1]) != self.patch:
            raise UsageError(
                f"The tokens have {found} samples and SeriesBackbone was built for {self.patch}; set its "
                "`patch` to match."
            )
        series = rearrange(tokens.value, "b t s -> (b t) s").split(self.chunk)
        value = torch.cat([self.embedder(part) for part in series])
        value = rearrange(value, "(b t) d -> b t d", b=len(tokens.value))
        return Features(
            value=value,
            mask=tokens.mask,
            time=tokens.time,
            channel=tokens.channel,
            layers=(value,) if layers else (),
        )
