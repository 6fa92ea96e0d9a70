"""Which parameters decay, and which learn more slowly than others.

Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; layer-wise rates as in Bao et al.,
"BEiT", ICLR 2022: the rate falls by a factor from block to block, from the head down to the entrance.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

from brainfm.contracts import Backbone


def parameter_groups(
    module: nn.Module, *, lr: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Return optimiser groups of what takes a gradient, the full learning rate first.

    Weights of two and more dimensions decay. Biases, norms and other vectors do not, nor does what a
    module names in its attribute ``undecayed``: state matrices, time steps and learned tokens.

    Parameters
    ----------
    module
        usually an objective.
    lr
        learning rate of what stands behind the backbone.
    weight_decay
        of what decays.
    layer_decay
        factor from a block to the one before; 1 for the same rate everywhere. Tokenizer and the
        backbone's entrance stand before the first block.
    """
    spared = {
        id(getattr(part, name)) for part in module.modules() for name in getattr(part, "undecayed", ())
    }  # fmt: skip
    below = _blocks_above(module)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for parameter in filter(lambda p: p.requires_grad, module.parameters()):
        decays = parameter.ndim > 1 and id(parameter) not in spared
        scale = layer_decay ** below.get(id(parameter), 0)
        groups[scale, weight_decay if decays else 0.0].append(parameter)
    ordered = sorted(groups.items(), key=lambda item: item[0], reverse=True)
    return [
        {"params": chosen, "lr": lr * scale, "weight_decay": decay}
        for (scale, decay), chosen in ordered
    ]


def _blocks_above(module: nn.Module) -> dict[int, int]:
    """Return, by the identity of a parameter, how many steps it stands below the head."""
    backbone = getattr(module, "backbone", None)
    if not isinstance(backbone, Backbone):
        return {}
    blocks = backbone.stages()
    parts = [p for p in (getattr(module, "tokenizer", None), backbone) if p is not None]
    found = {id(p): len(blocks) + 1 for part in parts for p in part.parameters()}
    for i, block in enumerate(blocks):
        found |= {id(p): len(blocks) - i for p in block.parameters()}
    return found
