"""Bidirectional Mamba.

Tegon et al., "FEMBA: Efficient and Scalable EEG Analysis with a Bidirectional Mamba Foundation Model", 2025,
arXiv 2502.06438. Two Mamba mixers with weights of their own read the tokens forwards and backwards.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from brainfm.contracts import Backbone, Features, Tokens
from brainfm.layers.mamba import Mamba
from brainfm.layers.order import Order, Sequence, real_first, take, turned
from brainfm.layers.scan import Backend

Merge = Literal["add", "multiply"]


class BiMambaBlock(nn.Module):
    """x ← norm(x + forwards(x) + turned(backwards(turned x))), the norm coming last.

    Parameters
    ----------
    dim, d_state, d_conv, expand, merge, scan
        as of `BiMamba`.
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

    def forward(self, x: Sequence, reverse: Order | None = None) -> Sequence:
        """Transform a sequence.

        Parameters
        ----------
        x
            the sequence, real tokens before padding.
        reverse
            the order that reverses each row's real tokens; None where all are real.
        """
        ahead = self.forwards(x)
        back = _turn(self.backwards(_turn(x, reverse)), reverse)
        return self.norm(x + (ahead + back if self.merge == "add" else ahead * back))


def _turn(x: Sequence, order: Order | None) -> Sequence:
    """Reverse in time. Reversing twice is doing nothing, so one order serves both ways."""
    return x.flip(1) if order is None else take(x, order)


class BiMamba(Backbone):
    """Bidirectional Mamba blocks over tokens in the order in which the tokenizer gives them.

    Cost is linear in the number of tokens. There is no position code: order is in the recurrence.

    Parameters
    ----------
    dim
        width of a token.
    depth
        number of blocks (2, 12, 4 and 20 in FEMBA's tiny, base, large and huge).
    d_state
        numbers in the state of a channel.
    d_conv
        taps of the causal convolution.
    expand
        inner width over ``dim``.
    merge
        how the two directions meet. ``"add"`` is the paper's; the released code also has
        ``"multiply"``.
    scan
        path of the selective scan, see `brainfm.layers.scan`.
    """

    local = ("scan",)

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
            BiMambaBlock(dim, d_state=d_state, d_conv=d_conv, expand=expand, merge=merge, scan=scan)
            for _ in range(depth)
        )

    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; there is no summary, so that heads take the mean over real tokens."""
        x, mask, order, reverse = tokens.value, tokens.mask, None, None
        if not bool(mask.all()):
            order = real_first(mask)
            x, reverse = take(x, order), turned(mask)
        outputs = []
        for block in self.blocks:
            x = block(x, reverse)
            outputs.append(x)
        outputs = outputs if layers else outputs[-1:]
        if order is not None:
            outputs = [take(y, order.argsort(1)) for y in outputs]
        return Features(
            value=outputs[-1],
            mask=mask,
            layers=tuple(outputs) if layers else (),
            time=tokens.time,
            channel=tokens.channel,
        )
