"""How many floating-point operations a computation takes, counted by PyTorch.

Those of matrix products, convolutions, attention and Fourier transforms; what is done to each number by
itself, scans (`brainfm.layers.scan`) and whatever is computed outside PyTorch are not among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")


class _OneModule:
    """Lays all operations to one account."""

    parents: ClassVar[set[str]] = {"Global"}
    is_bw = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


class FlopCount:
    """Counts one computation after another; what runs within `left_out` is not counted."""

    def __init__(self) -> None:
        self._counter: Any = None
        self._left_out = 0

    def of(self, compute: Callable[[], T]) -> tuple[T, int]:
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

        counter = FlopCounterMode(display=False, custom_mapping=_attention() | _fourier())
        # Its own tracker hooks gradients, which fails where a learned token enters a module without any.
        counter.mod_tracker = _OneModule()  # ty: ignore[invalid-assignment]
        self._counter, self._left_out = counter, 0
        try:
            with counter:
                result = compute()
        finally:
            self._counter = None
        return result, counter.get_total_flops() - self._left_out

    @contextmanager
    def left_out(self) -> Generator[None]:
        """Leave out of the count under way, if there is one, what is computed here."""
        if (counter := self._counter) is None:
            yield
            return
        before = counter.get_total_flops()
        try:
            yield
        finally:
            self._left_out += counter.get_total_flops() - before


def count_flops(compute: Callable[[], T]) -> tuple[T, int]:
    """Compute, and count on the way, see `FlopCount.of`."""
    return FlopCount().of(compute)


def _attention() -> dict[Any, Any]:
    """Return formulas of attention's kernels.

    PyTorch's own table has none of the kernel for CPUs, and of the others' backward pass it counts the
    scores, which they compute for the second time.
    """
    from torch import ops
    from torch.utils.flop_counter import sdpa_flop_count

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(grad: Any, *inputs: Any, **__: Any) -> int:
        return 2 * forward(*inputs)

    kernels = ("flash_attention", "efficient_attention", "cudnn_attention")
    named = [f"_scaled_dot_product_{kernel}_backward" for kernel in kernels]
    on_processors = "_scaled_dot_product_flash_attention_for_cpu"
    formulas = {getattr(ops.aten, name): backward for name in (*named, f"{on_processors}_backward")}
    return formulas | {getattr(ops.aten, on_processors): forward}


def _fourier() -> dict[Any, Any]:
    """Return formulas of Fourier transforms, which PyTorch's own table leaves out.

    5 n log₂ n operations for n complex numbers and half as many for real ones, the measure of Frigo &
    Johnson, "The Design and Implementation of FFTW3", Proceedings of the IEEE 2005.
    """
    from torch import ops

    def to_complex(shape: Any, dim: Any, *_: Any, **__: Any) -> int:
        return round(2.5 * math.prod(shape) * math.log2(math.prod(shape[d] for d in dim)))

    def to_real(shape: Any, dim: Any, *_: Any, out_shape: Any, **__: Any) -> int:
        return to_complex(out_shape, dim)

    def complex_only(shape: Any, dim: Any, *_: Any, **__: Any) -> int:
        return 2 * to_complex(shape, dim)

    aten = ops.aten
    return {aten._fft_r2c: to_complex, aten._fft_c2r: to_real, aten._fft_c2c: complex_only}
