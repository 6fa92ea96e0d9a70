"""FEMBA's fine-tuning head: a projection, one Mamba over the tokens, their mean, a linear map.

Tegon et al., FEMBA, 2025, arXiv 2502.06438.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from brainfm.contracts import Features, Head
from brainfm.layers.mamba import Mamba
from brainfm.layers.order import real_first, take
from brainfm.layers.scan import Backend


class MambaHead(Head):
    """Linear → GELU → one causal Mamba → mean over tokens → linear.

    Parameters
    ----------
    dim
        width of the features.
    n_outputs
        scores a window.
    width
        of the Mamba.
    expand
        its inner width over ``width``.
    scan
        path of the selective scan, see `brainfm.layers.scan`.
    """

    local = ("scan",)

    def __init__(
        self,
        dim: int,
        n_outputs: int,
        *,
        width: int = 256,
        expand: int = 2,
        scan: Backend = "auto",
    ):
        super().__init__()
        self.dim, self.n_outputs, self.width = dim, n_outputs, width
        self.expand, self.scan = expand, scan
        self.project = nn.Linear(dim, width)
        self.mamba = Mamba(width, expand=expand, scan=scan)
        self.linear = nn.Linear(width, n_outputs)

    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window; padding goes behind all real tokens."""
        order = real_first(features.mask)
        mixed = self.mamba(gelu(self.project(take(features.value, order))))
        return self.linear(Features(mixed, features.mask.gather(1, order)).pooled())
