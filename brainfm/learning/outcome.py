"""The weights that a training ends with: those of the last step, their average, or the best of them.

They are taken after the last step and not by a hook of it: a run that was killed between its last
checkpoint and its end goes on from there without a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from brainfm.learning.strategies import load_whole, whole_state


class BestState(Callback):
    """Remembers the weights with the lowest validation loss, with which the training ends."""

    def __init__(self) -> None:
        self.loss, self.step, self.state = float("inf"), 0, None

    def state_dict(self) -> dict[str, Any]:
        """Return what last.ckpt keeps, so that a resumed training knows the best step before it."""
        return {"loss": self.loss, "step": self.step, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` kept."""
        self.loss, self.step = state_dict["loss"], state_dict["step"]
        self.state = state_dict["state"]

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Keep the weights where they are the best so far."""
        if (loss := loop.validation["loss"]) < self.loss:
            self.loss, self.step = loss, trainer.global_step
            self.state = whole_state(loop.judged)


def settle(loop: Any, callbacks: Iterable[Callback]) -> None:
    """Give a trained loop's objective the weights to keep, the best where a `BestState` knows them.

    Parameters
    ----------
    loop
        whose last step is done.
    callbacks
        of its training.
    """
    best = next((c.state for c in callbacks if isinstance(c, BestState) and c.state), None)
    if best is not None:
        load_whole(loop.objective, best)
    elif loop.average is not None:
        load_whole(loop.objective, whole_state(loop.judged))
