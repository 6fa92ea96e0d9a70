"""What a validation found: means over the windows of all processes, each counted once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor

from brainfm.contracts import Batch
from brainfm.learning.guard import refuse
from brainfm.learning.processes import gather


class ValidationMeans:
    """Adds up one validation, batch by batch."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.n_windows = 0
        self.spoilt: tuple[str, ...] = ()

    def add(self, batch: Batch, terms: Mapping[str, Tensor]) -> None:
        """Take a batch's terms in, and remember the first batch whose loss is no number."""
        self.n_windows += len(batch.signal)
        for name, value in terms.items():
            self.sums[name] += len(batch.signal) * float(value)
        if not (self.spoilt or math.isfinite(float(terms["loss"]))):
            self.spoilt = batch.recording

    def end(self, step: int) -> dict[str, float]:
        """Return the means over all processes; all of them fail where one has met no number.

        Parameters
        ----------
        step
            after which it was measured.

        Raises
        ------
        WorkError
            If the loss is no number, naming the recordings of the first such batch.
        """
        found = gather((dict(self.sums), self.n_windows, self.spoilt))
        n = sum(count for _, count, _ in found)
        means = {k: sum(s.get(k, 0.0) for s, _, _ in found) / n for k in found[0][0]}
        if names := [name for _, _, spoilt in found for name in spoilt]:
            refuse(f"validation loss became {means['loss']:.6g}", step, names)
        return means
