"""Where padding stands in a sequence that a recurrence reads.

A recurrence passes everything on. Padding changes no real token only where it stands behind all of them,
in whichever direction the sequence is read.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Sequence = Float[Tensor, "batch token dim"]
Order = Int[Tensor, "batch token"]
Mask = Bool[Tensor, "batch token"]


def real_first(mask: Mask) -> Order:
    """Return the order that brings real tokens to the front and leaves them in their order."""
    return (~mask).to(torch.uint8).argsort(dim=1, stable=True)


def turned(mask: Mask) -> Order:
    """Return the order that reverses the real tokens, which stand in front, and leaves padding."""
    place = torch.arange(mask.shape[1], device=mask.device)
    n_real = mask.sum(1, keepdim=True)
    return torch.where(place < n_real, n_real - 1 - place, place)


def take(x: Sequence, order: Order) -> Sequence:
    """Return each row of a sequence in an order of its own."""
    return x.gather(1, order.unsqueeze(-1).expand_as(x))
