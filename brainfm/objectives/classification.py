"""Supervised training of a backbone and a head on labelled windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import cross_entropy

from brainfm.contracts import Backbone, Batch, Head, Objective, Tokenizer
from brainfm.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelledBatch(Batch):
    """Windows with a class each.

    Attributes
    ----------
    label
        (batch,) index of the class.
    """

    label: Int[Tensor, " batch"]


class Classification(Objective):
    """Cross-entropy with label smoothing of head(backbone(tokenizer(window))).

    Parameters
    ----------
    tokenizer
        the tokenizer, frozen or not.
    backbone
        the backbone.
    head
        one score a class.
    smoothing
        label smoothing.
    """

    backbone: Backbone

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None,
        head: Head,
        *,
        smoothing: float = 0.1,
    ):
        if backbone is None:
            raise UsageError(
                "Classification needs a backbone and was given none; give a checkpoint that a "
                "backbone was pretrained in, not a tokenizer's."
            )
        super().__init__(tokenizer, backbone)
        self.head, self.smoothing = head, smoothing

    def scores(self, batch: Batch) -> Float[Tensor, "batch output"]:
        """Return one score a class, before the softmax."""
        return self.head(self.backbone(self.tokenizer(batch)))

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss and the share of windows that were named right."""
        assert isinstance(batch, LabelledBatch)
        scores = self.scores(batch)
        right = scores.argmax(-1) == batch.label
        return {
            "loss": cross_entropy(scores, batch.label, label_smoothing=self.smoothing),
            "accuracy": right.float().mean(),
        }
