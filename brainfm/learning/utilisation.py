"""How much of a device's arithmetic a training uses: model FLOPs utilisation (MFU).

Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", JMLR 2023, appendix B: operations of the
model, forward and backward and none twice, over seconds and the peak of the device. What
`brainfm.layers.flops` does not count, such as scans, makes the figure a lower bound. Blocks that are computed
again in the backward pass (`brainfm.learning.blocks`) count once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from brainfm.contracts import Batch
from brainfm.layers.flops import FlopCount

PEAKS = {
    # dense FLOP/s by the makers' data sheets: half precision, and single precision
    "H200": (989e12, 67e12),
    "H100 PCIe": (756e12, 51e12),
    "H100": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "L40S": (362e12, 91.6e12),
    "V100": (125e12, 15.7e12),
    "T4": (65e12, 8.1e12),
}


def find_peak(name: str, precision: str) -> float | None:
    """Return the FLOP/s that a device can do at most, or None where it is not known.

    Parameters
    ----------
    name
        as CUDA gives it.
    precision
        as of `brainfm.learning.Train`.
    """
    half, single = next((p for key, p in PEAKS.items() if key in name), (None, None))
    return half if precision in ("bf16-mixed", "16-mixed") else single


class Utilisation:
    """Counts each shape of a part once, while it is computed, where there is a peak to compare with.

    Parameters
    ----------
    peak
        FLOP/s of the device; nothing is counted where None.
    """

    def __init__(self, peak: float | None):
        self.peak, self.counter = peak, FlopCount()
        self.known: dict[tuple[int, ...], int] = {}

    @classmethod
    def of_device(cls, peak: float | None, precision: str) -> Utilisation:
        """Return one for this machine's device, whose peak may be given."""
        if peak is None and torch.cuda.is_available():
            peak = find_peak(torch.cuda.get_device_name(), precision)
        return cls(peak)

    def count(self, part: Batch, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Compute a part, and count what it takes if no part of its shape was counted before."""
        shape = tuple(part.signal.shape)
        if self.peak is None or shape in self.known:
            return compute()
        losses, self.known[shape] = self.counter.of(compute)
        return losses

    def of(self, part: Batch) -> int:
        """Return the operations of a part."""
        return self.known.get(tuple(part.signal.shape), 0)

    def share(self, flops: int, seconds: float) -> dict[str, float]:
        """Return the column ``mfu``, where the peak is known."""
        return {} if self.peak is None else {"mfu": flops / seconds / self.peak}
