"""How many floating-point operations a computation takes, counted by PyTorch.

Those of matrix products, convolutions and attention; scans, Fourier transforms and whatever is computed
outside PyTorch are not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def count_flops(compute: Callable[[], T]) -> tuple[T, int]:
    """Compute, and count on the way.

    Parameters
    ----------
    compute
        called once.

    Returns
    -------
    result, flops
        what it returned, and what it took.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        result = compute()
    return result, counter.get_total_flops()
