"""FEMBA's pretraining: hide rectangles of the normalised signal and draw them again.

Tegon et al., FEMBA, 2025, arXiv 2502.06438.
"""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from brainfm.contracts import Backbone, Batch, Objective, Tokenizer
from brainfm.errors import UsageError
from brainfm.objectives.masks import keep_some
from brainfm.tokenizers import MontagePatches

Window = Float[Tensor, "batch channel time"]


class RectangleDecoder(nn.Module):
    """Features → signal: a smoothing over (feature, token), then a rectangle for each place.

    Parameters
    ----------
    width, grid, patch
        as of `MontagePatches`.
    """

    def __init__(self, width: int, grid: tuple[int, int], patch: tuple[int, int]):
        super().__init__()
        self.grid = grid
        self.smooth = nn.Conv2d(1, 1, 31, padding=15, bias=False)
        self.draw = nn.ConvTranspose2d(width, 1, patch, stride=patch)

    def forward(self, value: Float[Tensor, "batch token dim"]) -> Window:
        """Draw windows."""
        image = self.smooth(rearrange(value, "b k d -> b 1 d k"))
        return self.draw(rearrange(image, "b 1 (e h) k -> b e h k", h=self.grid[0])).squeeze(1)


class MaskedRectangles(Objective):
    """Smooth L1 between drawn and normalised signal, on hidden samples only.

    Parameters
    ----------
    tokenizer
        cuts windows into the rectangles that are hidden; it is trained too.
    backbone
        the model that is trained.
    ratio
        share of the rectangles that is hidden, rounded down: 528 of 880 in the paper. Hidden
        samples become 0.
    pattern
        ``"batch"`` hides the same rectangles in all windows of a batch, as the released code does
        (the paper does not say); ``"window"`` draws them for each window.
    """

    tokenizer: MontagePatches
    backbone: Backbone

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None,
        *,
        ratio: float = 0.6,
        pattern: Literal["batch", "window"] = "batch",
    ):
        super().__init__()
        if not isinstance(tokenizer, MontagePatches) or backbone is None:
            raise UsageError(
                f"MaskedRectangles trains MontagePatches together with a backbone, and was given "
                f"{type(tokenizer).__name__} and {type(backbone).__name__}; choose those."
            )
        if backbone.dim != tokenizer.dim:
            raise UsageError(
                f"MaskedRectangles draws from features as wide as the tokens ({tokenizer.dim}) and the "
                f"backbone's have {backbone.dim}; give both the same width."
            )
        self.tokenizer, self.backbone, self.ratio = tokenizer, backbone, ratio
        self.pattern = pattern
        self.decoder = RectangleDecoder(tokenizer.width, tokenizer.grid, tokenizer.patch)

    def hidden(self, n: int, generator: torch.Generator) -> Bool[Tensor, "batch channel time"]:
        """Return which samples of ``n`` windows are hidden."""
        rows, columns = self.tokenizer.grid
        count = rows * columns
        n_patterns = 1 if self.pattern == "batch" else n
        hidden = ~torch.stack(
            [keep_some(count, int(self.ratio * count), generator) for _ in range(n_patterns)]
        )
        height, width = self.tokenizer.patch
        hidden = repeat(hidden, "b (h k) -> b (h p) (k q)", h=rows, p=height, q=width)
        return hidden.expand(n, -1, -1)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss and, to look at only, the error on what was visible."""
        window = self.tokenizer.normalise(batch)
        hidden = self.hidden(len(window), generator).to(window.device)
        tokens = self.tokenizer.tokens(window.masked_fill(hidden, 0.0), batch)
        drawn = self.decoder(self.backbone(tokens).value)
        error = smooth_l1_loss(drawn, window, reduction="none")
        return {"loss": error[hidden].mean(), "visible": error.detach()[~hidden].mean()}
