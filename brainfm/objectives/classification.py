"""Supervised training of a backbone and a head on windows with a class each."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.functional import cross_entropy

from brainfm.contracts import Backbone, Batch, Head, Tokenizer
from brainfm.objectives.supervised import LabelledBatch, Supervised


class Classification(Supervised):
    """Cross-entropy with label smoothing of head(backbone(tokenizer(window))).

    Parameters
    ----------
    tokenizer
        the tokenizer, frozen or not.
    backbone
        the backbone.
    head
        one score a class, before the softmax.
    smoothing
        label smoothing.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None,
        head: Head,
        *,
        smoothing: float = 0.1,
    ):
        super().__init__(tokenizer, backbone, head)
        self.smoothing = smoothing

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss and the share of windows that were named right."""
        assert isinstance(batch, LabelledBatch)
        scores = self.scores(batch)
        right = scores.argmax(-1) == batch.label
        return {
            "loss": cross_entropy(scores, batch.label, label_smoothing=self.smoothing),
            "accuracy": right.float().mean(),
        }
