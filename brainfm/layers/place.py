"""Where a sensor is, as a vector: sines and cosines of its position.

Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
NeurIPS 2020; for electrodes as in El Ouahidi et al., "REVE: A Foundation Model for EEG", 2025, arXiv
2510.21585. A model that is told positions needs no list of channels, and may meet caps it has never seen.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

LONGEST, SHORTEST = 0.6, 0.04  # metres: more than a head, and the spacing of a dense cap


class Place(nn.Module):
    """Maps positions in metres to vectors; all unknown positions share one that is learned.

    Sensors at unknown positions can therefore not be told apart by their place.

    Parameters
    ----------
    dim
        width of the vector.
    waves
        sines, and as many cosines, an axis; their wavelengths fall evenly in the logarithm from
        0.6 m to 0.04 m.
    """

    def __init__(self, dim: int, *, waves: int = 8):
        super().__init__()
        lengths = torch.logspace(math.log10(LONGEST), math.log10(SHORTEST), waves)
        self.register_buffer("frequency", 2 * math.pi / lengths, persistent=False)
        self.unknown = nn.Parameter(0.02 * torch.randn(dim))
        self.linear = nn.Linear(6 * waves, dim)

    def forward(self, position: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape dim"]:
        """Return a vector a sensor; NaN in any coordinate makes its position unknown."""
        known = ~position.isnan().any(-1, keepdim=True)
        angle = position.nan_to_num().unsqueeze(-1) * self.get_buffer("frequency")
        waves = torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
        return torch.where(known, self.linear(waves), self.unknown)
