"""The plainest head: one linear map of the pooled features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainfm.contracts import Features, Head


class LinearHead(Head):
    """Linear map of the window's summary, or of the mean over its tokens where there is none.

    Parameters
    ----------
    dim
        width of the features.
    n_outputs
        scores a window.
    """

    def __init__(self, dim: int, n_outputs: int):
        super().__init__()
        self.dim, self.n_outputs = dim, n_outputs
        self.linear = nn.Linear(dim, n_outputs)

    @torch.no_grad()
    def set(self, weight: Float[Tensor, "output dim"], bias: Float[Tensor, " output"]) -> None:
        """Take the solution of a fit in closed form."""
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)

    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window."""
        return self.linear(features.pooled())
