"""A trained tokenizer that no training changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from brainfm.card import ENTRIES
from brainfm.contracts import Batch, Tokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.weights import load


class Frozen(Tokenizer):
    """Keeps a tokenizer in evaluation mode, whatever the training loop asks for.

    Switching a tokenizer to training mode brings back its dropout and, worse, lets its codebook go
    on moving under the model that is learning to predict it.

    Parameters
    ----------
    tokenizer
        the trained tokenizer.
    card
        what its model card said (sampling rate, sensor kinds, preprocessing, data).
    """

    frozen = True
    plain = ("card",)

    def __init__(self, tokenizer: Tokenizer, *, card: dict[str, Any] | None = None):
        super().__init__()
        self.tokenizer, self.card = tokenizer, card
        self.dim, self.vocabulary, self.sfreq = tokenizer.dim, tokenizer.vocabulary, tokenizer.sfreq
        self.ch_names, self.samples = tokenizer.ch_names, tokenizer.samples
        self.requires_grad_(False)
        self.train(False)

    @property
    def codebook(self) -> Float[Tensor, "code dim"] | None:
        """The code vectors of a discrete tokenizer."""
        return getattr(self.tokenizer, "codebook", None)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def forward(self, batch: Batch) -> Tokens:
        """Tokenize windows."""
        return self.tokenizer(batch)


class Pretrained(Frozen):
    """The tokenizer of a finished run, frozen.

    In a checkpoint it stands as the `Frozen` tokenizer that it is, so that the checkpoint does not
    need this folder any more.

    Parameters
    ----------
    checkpoint
        the folder that `brainfm pretrain` left behind.
    """

    saved_as = Frozen

    def __init__(self, checkpoint: Path):
        model, card = load(checkpoint)
        tokenizer = getattr(model, "tokenizer", model)
        if not isinstance(tokenizer, Tokenizer):
            raise UsageError(f"{checkpoint} holds no tokenizer; give the folder of a trained one.")
        kept = {k: card[k] for k in (*ENTRIES, "preprocessing") if k in card}
        super().__init__(tokenizer, card=kept)
        self.checkpoint = checkpoint
