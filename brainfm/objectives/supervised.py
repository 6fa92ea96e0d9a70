"""Windows with an answer each, and what is trained to give it: a tokenizer, a backbone and a head."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from brainfm.contracts import Backbone, Batch, Head, Objective, Tokenizer
from brainfm.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelledBatch(Batch):
    """Windows with an answer each.

    Attributes
    ----------
    label
        (batch,) index of the class, or the number that is to be predicted.
    """

    label: Int[Tensor, " batch"] | Float[Tensor, " batch"]


class Supervised(Objective):
    """What all supervised objectives share: head(backbone(tokenizer(window))).

    Parameters
    ----------
    tokenizer
        the tokenizer, frozen or not.
    backbone
        the backbone.
    head
        gives a row of scores a window.
    """

    backbone: Backbone

    def __init__(self, tokenizer: Tokenizer, backbone: Backbone | None, head: Head):
        if backbone is None:
            raise UsageError(
                f"{type(self).__name__} needs a backbone and was given none; give a checkpoint that a "
                "backbone was pretrained in, not a tokenizer's."
            )
        super().__init__(tokenizer, backbone)
        self.head = head

    def scores(self, batch: Batch) -> Float[Tensor, "batch output"]:
        """Return the head's scores."""
        return self.head(self.backbone(self.tokenizer(batch)))
