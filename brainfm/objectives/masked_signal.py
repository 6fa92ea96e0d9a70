"""Hide parts of the signal and draw them from the rest.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, arXiv 2111.06377, on the signal of
any sensors; for EEG as in LaBraM (Jiang et al., ICLR 2024) and REVE (El Ouahidi et al., 2025).
"""

from __future__ import annotations

import torch
from einops import repeat
from jaxtyping import Shaped
from torch import Tensor

from brainfm.contracts import Backbone, Batch, Mask, Tokenizer
from brainfm.objectives.masks import RandomMask
from brainfm.objectives.reconstruction import Attempt, Reconstruction, Where


class MaskedSignal(Reconstruction):
    """Smooth L1 between drawn and normalised signal, on hidden samples of real channels only.

    Hidden samples become 0 before the tokenizer sees them. What is hidden is a union of the
    tokenizer's cells: patches of one channel, or FEMBA's rectangles.

    Parameters
    ----------
    tokenizer
        gives continuous tokens on a grid; what it learns is trained too.
    backbone
        the model that is trained.
    mask
        says what is hidden: `RandomMask`, `BlockMask`, `RectangleMask`, `ChannelMask`; half of all
        cells at random where None.
    """

    def __init__(
        self, tokenizer: Tokenizer, backbone: Backbone | None, *, mask: Mask | None = None
    ):
        super().__init__(tokenizer, backbone)
        self.mask = RandomMask() if mask is None else mask

    def hidden(self, batch: Batch, generator: torch.Generator) -> Where:
        """Return which samples are hidden."""
        height, width = self.tokenizer.cell
        real = batch.mask.unflatten(1, (-1, height)).all(-1)
        cells = self.mask(real, batch.signal.shape[-1] // width, generator)
        return repeat(cells, "b h k -> b (h p) (k q)", p=height, q=width)

    def attempt(self, batch: Batch, generator: torch.Generator) -> Attempt:
        """Draw windows of which the model sees a part."""
        signal = self.tokenizer.normalise(batch)
        hidden = self.hidden(batch, generator)
        return Attempt(self.drawn(signal.masked_fill(hidden, 0.0), batch), signal, hidden)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss and, to look at only, the error on what was visible."""
        made = self.attempt(batch, generator)
        wrong, visible = made.error, batch.mask.unsqueeze(-1) & ~made.asked
        return {"loss": wrong[made.asked].mean(), "visible": wrong.detach()[visible].mean()}
