"""What a model says of trials, in the order that they come in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from brainfm.contracts import Batch
from brainfm.layers.mamba import adapted
from brainfm.learning.trial_batches import LabelledTrials, OrderedBatches
from brainfm.objectives import Supervised
from brainfm.tokenizers import WindowCache
from brainfm.tokenizers.cached import Row, fingerprint


@torch.no_grad()
def infer(
    model: Supervised, trials: LabelledTrials, what: Callable[[Batch], Tensor]
) -> Float64[np.ndarray, "trial output"]:
    """Return something of each trial that the model, now in evaluation mode, says of a batch."""
    model.eval()
    batches = OrderedBatches(trials)
    with adapted(model, "cpu"):  # where a training leaves the model
        parts = [what(batches[i]) for i in range(len(batches))]
    return torch.cat(parts).double().numpy()


def pooled_features(
    model: Supervised, trials: LabelledTrials, cache: WindowCache
) -> Float[np.ndarray, "trial dim"]:
    """Return the pooled features of each trial, computed once for the same weights."""
    by = fingerprint(model.tokenizer, model.backbone)

    def pool(window: Batch) -> Row:
        return {"pooled": model.backbone(model.tokenizer(window)).pooled()}

    def pooled(batch: Batch) -> Tensor:
        return torch.cat([row["pooled"] for row in cache.rows(batch, by, pool)])

    return infer(model, trials, pooled)
