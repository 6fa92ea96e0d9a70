"""Bidirectional Mamba.

Tegon et al., "FEMBA: Efficient and Scalable EEG Analysis with a Bidirectional Mamba Foundation Model", 2025,
arXiv 2502.06438. Two Mamba mixers with weights of their own read the tokens forwards and backwards.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from brainfm.contracts import Backbone, Features, Tokens
from brainfm.layers.mamba import Mamba
from brainfm.layers.scan import Backend

Merge = Literal["add", "multiply"]
Sequence = Float[Tensor, "batch token dim"]
Order = Int[Tensor, "batch token"]


class BiMambaBlock(nn.Module):
    """x ← norm(x + forwards(x) + turned(backwards(turned x))), the norm coming last.

    Parameters
    ----------
    dim, d_state, d_conv, expand, merge, scan : as of `BiMamba`.
    """

    def __init__(
        self,
        dim: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 4,
        merge: Merge = "add",
        scan: Backend = "auto",
    ):
        super().__init__()
        self.merge = merge
        self.forwards, self.backwards = (
            Mamba(dim, d_state=d_state, d_conv=d_conv, expand=expand, scan=scan) for _ in range(2)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Sequence, turned: Order | None = None) -> Sequence:
        """Transform a sequence.

        Parameters
        ----------
        x : the sequence, real tokens before padding.
        turned : the order that reverses each row's real tokens; None where all are real.
        """
        ahead = self.forwards(x)
        back = _turn(self.backwards(_turn(x, turned)), turned)
        return self.norm(x + (ahead + back if self.merge == "add" else ahead * back))


def _turn(x: Sequence, order: Order | None) -> Sequence:
    """Reverse in time. Reversing twice is doing nothing, so one order serves both ways."""
    return x.flip(1) if order is None else _take(x, order)


def _take(x: Sequence, order: Order) -> Sequence:
    return x.gather(1, order.unsqueeze(-1).expand_as(x))


class BiMamba(Backbone):
    """Bidirectional Mamba blocks over tokens in the order in which the tokenizer gives them.

    Cost is linear in the number of tokens. There is no position code: order is in the recurrence.

    Parameters
    ----------
    dim : width of a token.
    depth : number of blocks (2, 12, 4 and 20 in FEMBA's tiny, base, large and huge).
    d_state : numbers in the state of a channel.
    d_conv : taps of the causal convolution.
    expand : inner width over ``dim``.
    merge : how the two directions meet. ``"add"`` is the paper's; the released code also has
        ``"multiply"``.
    scan : path of the selective scan, see `brainfm.layers.scan`.
    """

    def __init__(
        self,
        dim: int,
        *,
        depth: int = 2,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 4,
        merge: Merge = "add",
        scan: Backend = "auto",
    ):
        super().__init__()
        self.dim, self.depth, self.d_state, self.d_conv = dim, depth, d_state, d_conv
        self.expand, self.merge, self.scan = expand, merge, scan
        self.blocks = nn.ModuleList(
            BiMambaBlock(
                dim, d_state=d_state, d_conv=d_conv, expand=expand, merge=merge, scan=scan
            )
            for _ in range(depth)
        )

    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; there is no summary, so that heads take the mean over real tokens."""
        order, turned = orders(tokens.mask)
        x = tokens.value if order is None else _take(tokens.value, order)
        outputs = []
        for block in self.blocks:
            x = block(x, turned)
            outputs.append(x)
        if order is not None:
            home = order.argsort(1)
            outputs = [_take(y, home) for y in (outputs if layers else outputs[-1:])]
        return Features(
            value=outputs[-1], mask=tokens.mask, layers=tuple(outputs) if layers else ()
        )


def orders(mask: Bool[Tensor, "batch token"]) -> tuple[Order | None, Order | None]:
    """Return the order that brings real tokens to the front, and the one that then reverses them.

    Both are None where all tokens are real. A recurrence passes everything on, so padding must stand
    behind all real tokens in both directions, or it would change them.
    """
    if bool(mask.all()):
        return None, None
    first = (~mask).to(torch.uint8).argsort(1, stable=True)
    place = torch.arange(mask.shape[1], device=mask.device)
    n_real = mask.sum(1, keepdim=True)
    return first, torch.where(place < n_real, n_real - 1 - place, place.expand_as(first))
