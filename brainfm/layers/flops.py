"""How many floating-point operations a computation takes, counted by PyTorch.

Those of matrix products, convolutions and attention; scans, Fourier transforms and whatever is computed
outside PyTorch are not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

T = TypeVar("T")


class _OneModule:
    """Lays all operations to one account."""

    parents: ClassVar[set[str]] = {"Global"}
    is_bw = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


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

    counter = FlopCounterMode(display=False)
    # Its own tracker hooks gradients, which fails where a learned token enters a module without any.
    counter.mod_tracker = _OneModule()  # ty: ignore[invalid-assignment]
    with counter:
        result = compute()
    return result, counter.get_total_flops()
