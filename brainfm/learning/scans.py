"""Which paths of the scan a training has taken, so that a change between two parts of a run is told."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch.callbacks import Callback

from brainfm.layers.mamba import kernels, mixers
from brainfm.layers.scan import running
from brainfm.learning.processes import is_first


class Scans(Callback):
    """Keeps them in last.ckpt, for a run that goes on and for its manifest."""

    def on_save_checkpoint(self, trainer: Any, loop: Any, checkpoint: dict[str, Any]) -> None:
        """Keep them."""
        checkpoint["kernels"] = kernels(loop.objective)

    def on_load_checkpoint(self, trainer: Any, loop: Any, checkpoint: dict[str, Any]) -> None:
        """Take them up; earlier versions kept none."""
        for mixer in mixers(loop.objective):
            mixer.kernels = tuple(checkpoint.get("kernels", ()))

    def on_train_start(self, trainer: Any, loop: Any) -> None:
        """Say so where a run goes on with another path."""
        objective, earlier = loop.objective, kernels(loop.objective)
        new = {running(mixer.scan, loop.device) for mixer in mixers(objective)} - {*earlier}
        if earlier and new and is_first():
            print(
                f"brainfm: the run goes on with the scan {', '.join(sorted(new))}; before, it took "
                f"{', '.join(earlier)}.",
                file=sys.stderr,
            )
