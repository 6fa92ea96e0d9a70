"""Draw the signal again that the features were made of: an autoencoder.

Rumelhart, Hinton & Williams, "Learning Internal Representations by Error Propagation", 1986. What every
objective that draws a signal shares: normalised signal → tokens → features → signal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from brainfm.contracts import (
    Backbone,
    Batch,
    Objective,
    Observation,
    Signal,
    SignalTokenizer,
    Tokenizer,
)
from brainfm.errors import UsageError
from brainfm.layers.spectrum import misfit

Where = Bool[Tensor, "batch channel time"]


@dataclass(frozen=True, eq=False)
class Attempt:
    """A drawn signal beside the real one.

    Attributes
    ----------
    drawn, signal
        (batch, channel, time), both normalised.
    asked
        (batch, channel, time) True where the loss asks for it.
    """

    drawn: Signal
    signal: Signal
    asked: Where

    @property
    def error(self) -> Signal:
        """The smooth L1 of each sample: squares up to 1, and no more than linear for artefacts."""
        return smooth_l1_loss(self.drawn, self.signal, reduction="none")


class TokenDecoder(nn.Module):
    """Features → signal: one linear map from a token's features to the samples that it covers.

    Parameters
    ----------
    dim
        width of the features.
    span
        channels and samples that a token covers.
    """

    def __init__(self, dim: int, span: tuple[int, int]):
        super().__init__()
        self.span = span
        self.draw = nn.Linear(dim, span[0] * span[1])

    def forward(self, value: Float[Tensor, "batch token dim"], n_channels: int) -> Signal:
        """Draw windows of so many channels."""
        height, width = self.span
        return rearrange(
            self.draw(value),
            "b (h k) (p q) -> b (h p) (k q)",
            h=n_channels // height, p=height, q=width,
        )  # fmt: skip


class Reconstruction(Objective):
    """Smooth L1 between drawn and normalised signal, nothing being hidden.

    Parameters
    ----------
    tokenizer
        gives continuous tokens on a grid; what it learns is trained too.
    backbone
        the model that is trained.
    """

    tokenizer: SignalTokenizer
    backbone: Backbone

    def __init__(self, tokenizer: Tokenizer, backbone: Backbone | None):
        own = type(self).__name__
        if not isinstance(tokenizer, SignalTokenizer) or backbone is None:
            raise UsageError(
                f"{own} draws the signal of a continuous tokenizer that it trains with a backbone, and was "
                f"given {type(tokenizer).__name__} and {name_of(backbone)}; choose Patches, MuLawPatches, "
                "MontagePatches or another SignalTokenizer, not frozen, and a backbone."
            )
        super().__init__(tokenizer, backbone)
        self.decoder = self._decoder()

    def _decoder(self) -> nn.Module:
        return TokenDecoder(self.backbone.dim, self.tokenizer.span)

    def drawn(self, signal: Signal, batch: Batch) -> Signal:
        """Draw windows from the features of a normalised signal, whole or with parts hidden."""
        features = self.backbone(self.tokenizer.tokens(signal, batch))
        return self.decoder(features.value, signal.shape[1])

    def attempt(self, batch: Batch, generator: torch.Generator) -> Attempt:
        """Draw windows that the model sees in full."""
        signal = self.tokenizer.normalise(batch)
        everywhere = batch.mask.unsqueeze(-1).expand_as(signal)
        return Attempt(self.drawn(signal, batch), signal, everywhere)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss over all real channels."""
        made = self.attempt(batch, generator)
        return {"loss": made.error[made.asked].mean()}

    @torch.no_grad()
    def observe(self, batch: Batch, generator: torch.Generator) -> Observation:
        """Add how wrong the drawn signal is, where the loss asks for it."""
        made = self.attempt(batch, generator)
        wrong = misfit(made.drawn, made.signal, made.asked, batch.sfreq)
        return replace(super().observe(batch, generator), misfit=wrong)


def name_of(part: Backbone | None) -> str:
    """Return what a refusal calls a backbone, or the lack of one."""
    return "no backbone" if part is None else type(part).__name__
