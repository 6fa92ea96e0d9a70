"""FEMBA's pretraining: hide rectangles of the normalised signal and draw them again.

Tegon et al., FEMBA, 2025, arXiv 2502.06438.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from brainfm.contracts import Backbone, Signal, Tokenizer
from brainfm.errors import UsageError
from brainfm.objectives.masked_signal import MaskedSignal
from brainfm.objectives.masks import Pattern, RandomMask
from brainfm.objectives.reconstruction import name_of
from brainfm.tokenizers import MontagePatches


class RectangleDecoder(nn.Module):
    """Features → signal: a smoothing over (feature, token), then a rectangle for each place.

    Parameters
    ----------
    width, patch
        as of `MontagePatches`.
    """

    def __init__(self, width: int, patch: tuple[int, int]):
        super().__init__()
        self.height = patch[0]
        self.smooth = nn.Conv2d(1, 1, 31, padding=15, bias=False)
        self.draw = nn.ConvTranspose2d(width, 1, patch, stride=patch)

    def forward(self, value: Float[Tensor, "batch token dim"], n_channels: int) -> Signal:
        """Draw windows of so many channels."""
        image = self.smooth(rearrange(value, "b k d -> b 1 d k"))
        rows = n_channels // self.height
        return self.draw(rearrange(image, "b 1 (e h) k -> b e h k", h=rows)).squeeze(1)


class MaskedRectangles(MaskedSignal):
    """`MaskedSignal` with random rectangles and the paper's convolutional decoder.

    Parameters
    ----------
    tokenizer
        cuts windows into the rectangles that are hidden; it is trained too.
    backbone
        the model that is trained.
    ratio
        share of the rectangles that is hidden, rounded down: 528 of 880 in the paper.
    pattern
        ``"batch"`` hides the same rectangles in all windows of a batch, as the released code does
        (the paper does not say); ``"window"`` draws them for each window.
    """

    tokenizer: MontagePatches

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None,
        *,
        ratio: float = 0.6,
        pattern: Pattern = "batch",
    ):
        if not isinstance(tokenizer, MontagePatches) or backbone is None:
            raise UsageError(
                f"MaskedRectangles trains MontagePatches together with a backbone, and was given "
                f"{type(tokenizer).__name__} and {name_of(backbone)}; choose those."
            )
        backbone.check_tokenizer(tokenizer)
        if backbone.dim != tokenizer.dim:
            raise UsageError(
                f"MaskedRectangles draws from features as wide as the tokens ({tokenizer.dim}) and the "
                f"backbone's have {backbone.dim}; give both the same width."
            )
        super().__init__(tokenizer, backbone, mask=RandomMask(ratio, pattern=pattern))
        self.ratio = ratio
        self.pattern: Pattern = pattern

    def _decoder(self) -> nn.Module:
        return RectangleDecoder(self.tokenizer.width, self.tokenizer.patch)
