"""Stops a training whose loss is no number, or has exploded, before it spoils the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NoReturn

from brainfm.contracts import Batch
from brainfm.errors import WorkError
from brainfm.learning.processes import gather

MEMORY, FIRST = 0.98, 20


class LossGuard:
    """Knows the usual size of the loss, a moving average of its magnitude.

    Parameters
    ----------
    explosion
        how many times the usual size is too much, once there have been ``FIRST`` steps.
    """

    def __init__(self, explosion: float):
        self.explosion, self.usual, self.n = explosion, 0.0, 0

    def state_dict(self) -> dict[str, float]:
        """Return what a checkpoint keeps."""
        return {"usual": self.usual, "n": self.n}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self.usual, self.n = state["usual"], int(state["n"])

    def check(self, loss: float, step: int, own: float, batches: Sequence[Batch]) -> None:
        """Take a step's loss in.

        Parameters
        ----------
        loss
            mean over all processes.
        step
            the step.
        own
            mean over this process's windows.
        batches
            those windows.

        Raises
        ------
        WorkError
            If it is no number or has exploded, naming the recordings that it was computed on.
        """
        if not math.isfinite(loss) or self._exploded(loss):
            named = gather(_recordings(batches) if self._bad(own) else [])
            usual = "" if not math.isfinite(loss) else f" (about {self.usual:.3g} before)"
            refuse(f"loss became {loss:.6g}{usual}", step, chain.from_iterable(named))
        self.n += 1
        weight = max(1 / self.n, 1 - MEMORY)
        self.usual += weight * (abs(loss) - self.usual)

    def check_gradient(self, norm: float, step: int, batches: Sequence[Batch]) -> None:
        """Refuse a step along a gradient that is no number.

        Raises
        ------
        WorkError
            If it is none, naming the recordings.
        """
        if not math.isfinite(norm):
            named = gather(_recordings(batches))
            refuse(f"gradient became {norm:.6g}", step, chain.from_iterable(named))

    def _exploded(self, loss: float) -> bool:
        return self.n >= FIRST and abs(loss) > self.explosion * self.usual > 0

    def _bad(self, loss: float) -> bool:
        return not math.isfinite(loss) or self._exploded(loss)


def refuse(what: str, step: int, recordings: Iterable[str]) -> NoReturn:
    """Stop a training because of what was met.

    Parameters
    ----------
    what
        was met.
    step
        at which.
    recordings
        on whose windows.

    Raises
    ------
    WorkError
        Always.
    """
    raise WorkError(
        f"The {what} at step {step}, on windows of {sorted(set(recordings))}; the last checkpoint is from "
        "before that: look at these recordings or lower train.lr."
    )


def _recordings(batches: Sequence[Batch]) -> list[str]:
    return [name for batch in batches for name in batch.recording]
