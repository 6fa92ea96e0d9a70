"""The plainest head: one linear map of the pooled features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from brainfm.contracts import Features, Head


class LinearHead(Head):
    """Linear map of the window's summary, or of the mean over its tokens where there is none.

    Parameters
    ----------
    dim : width of the features.
    n_outputs : scores a window.
    """

    def __init__(self, dim: int, n_outputs: int):
        super().__init__()
        self.dim, self.n_outputs = dim, n_outputs
        self.linear = nn.Linear(dim, n_outputs)

    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window."""
        return self.linear(features.pooled())
