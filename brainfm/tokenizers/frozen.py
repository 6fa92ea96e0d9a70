"""A trained tokenizer that no training changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from brainfm.contracts import Batch, Tokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.weights import load


class Frozen(Tokenizer):
    """Keeps a tokenizer in evaluation mode, whatever the training loop asks for.

    Switching a tokenizer to training mode brings back its dropout and, worse, lets its codebook go
    on moving under the model that is learning to predict it.

    Parameters
    ----------
    tokenizer : the trained tokenizer.
    card : what its model card said (sampling rate, sensor kinds, preprocessing, data).
    """

    def __init__(self, tokenizer: Tokenizer, *, card: dict[str, Any] | None = None):
        super().__init__()
        self.tokenizer, self.card = tokenizer, card
        self.dim, self.vocabulary, self.sfreq = tokenizer.dim, tokenizer.vocabulary, tokenizer.sfreq
        self.requires_grad_(False)
        self.train(False)

    @property
    def codebook(self) -> Float[Tensor, "code dim"] | None:
        """The code vectors of a discrete tokenizer."""
        return getattr(self.tokenizer, "codebook", None)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, batch: Batch) -> Tokens:
        """Tokenize windows."""
        return self.tokenizer(batch)


def pretrained(checkpoint: Path) -> Tokenizer:
    """Load the tokenizer of a finished run, frozen.

    Parameters
    ----------
    checkpoint : the folder that `brainfm pretrain` left behind.
    """
    model, card = load(checkpoint)
    tokenizer = model if isinstance(model, Tokenizer) else getattr(model, "tokenizer", None)
    if not isinstance(tokenizer, Tokenizer):
        raise UsageError(f"{checkpoint} holds no tokenizer; give the folder of a trained one.")
    kept = {k: card[k] for k in ("sfreq", "kinds", "preprocessing_hash", "data") if k in card}
    return Frozen(tokenizer, card=kept)
