"""Supervised training of a backbone and a head on windows with a number each.

Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics, 1964.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from brainfm.contracts import Backbone, Batch, Head, Tokenizer
from brainfm.objectives.supervised import LabelledBatch, Supervised


def huber(error: Float[Tensor, " batch"], delta: float | None) -> Float[Tensor, " batch"]:
    """Return half the squared error, going on as a straight line beyond ``delta`` where that is given."""
    size = error.abs()
    curved = size if delta is None else size.clamp(max=delta)
    return curved * (size - curved / 2)


class Regression(Supervised):
    """Half the squared error of the standardised number, or Huber's loss.

    Parameters
    ----------
    tokenizer
        the tokenizer, frozen or not.
    backbone
        the backbone.
    head
        one score: the number, standardised.
    mean, scale
        of the numbers that are learned from, in their unit: what the score 0 and a step of 1 stand for.
    delta
        error, in units of ``scale``, beyond which the loss grows linearly; None for squared error.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None,
        head: Head,
        *,
        mean: float = 0.0,
        scale: float = 1.0,
        delta: float | None = None,
    ):
        super().__init__(tokenizer, backbone, head)
        self.mean, self.scale, self.delta = mean, scale, delta

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss and the mean absolute error in the numbers' unit."""
        assert isinstance(batch, LabelledBatch)
        scores = self.scores(batch)[:, 0]
        error = scores - (batch.label.to(scores.dtype) - self.mean) / self.scale
        return {
            "loss": huber(error, self.delta).mean(),
            "absolute_error": error.abs().mean() * self.scale,
        }
