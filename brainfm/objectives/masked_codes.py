"""Masked-token prediction: hide half of the codes and say which they were.

Pradeepkumar et al., ICLR 2026, arXiv 2502.16060, after BERT (Devlin et al., 2019) with the complement of
the mask as a second view.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from brainfm.contracts import Backbone, Batch, Objective, Tokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.objectives.masks import token_mask
from brainfm.objectives.reconstruction import name_of


class MaskedCodes(Objective):
    """Cross-entropy over hidden tokens, for a mask and for its complement.

    Parameters
    ----------
    tokenizer
        a trained, frozen tokenizer with a vocabulary.
    backbone
        the model that is trained; starts from the tokenizer's code vectors where it can.
    ratio
        probability that a token is hidden.
    """

    backbone: Backbone

    def __init__(self, tokenizer: Tokenizer, backbone: Backbone | None, *, ratio: float = 0.5):
        if tokenizer.vocabulary is None or backbone is None:
            raise UsageError(
                f"MaskedCodes predicts discrete codes with a backbone, and was given "
                f"{type(tokenizer).__name__} (vocabulary {tokenizer.vocabulary}) and "
                f"{name_of(backbone)}; choose a tokenizer with a vocabulary and a backbone."
            )
        if not tokenizer.frozen:
            raise UsageError(
                f"MaskedCodes predicts the codes of a tokenizer that stands still, and "
                f"{type(tokenizer).__name__} would move; wrap it in Frozen."
            )
        super().__init__(tokenizer, backbone)
        self.ratio = ratio
        self.predict = nn.Linear(backbone.dim, tokenizer.vocabulary)
        codebook = getattr(tokenizer, "codebook", None)
        if codebook is not None:
            backbone.adopt(codebook)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss and the share of hidden codes that were named right."""
        with torch.no_grad():
            tokens = self.tokenizer(batch)
        first = token_mask(tokens.mask, self.ratio, generator)
        views = [self._view(tokens, hidden) for hidden in (first, tokens.mask & ~first)]
        loss, right, n_hidden = (torch.stack(part).sum() for part in zip(*views, strict=True))
        n_hidden = n_hidden.clamp_min(1)
        return {"loss": loss / n_hidden, "accuracy": right / n_hidden}

    def _view(
        self, tokens: Tokens, hidden: Bool[Tensor, "batch token"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Summed cross-entropy, number of right answers and number of hidden tokens."""
        assert tokens.code is not None  # a tokenizer with a vocabulary gives codes
        code = tokens.code.masked_fill(hidden, self.predict.out_features)
        value = tokens.value.masked_fill(hidden.unsqueeze(-1), 0.0)
        features = self.backbone(replace(tokens, code=code, value=value))
        scores = self.predict(features.value[hidden])
        target = tokens.code[hidden]
        right = (scores.argmax(-1) == target).sum()
        return cross_entropy(scores, target, reduction="sum"), right, hidden.sum()
