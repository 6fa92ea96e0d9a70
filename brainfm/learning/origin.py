"""What a training began with, so that it does not go on with something else of the same name and size."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import chain
from typing import Any

from lightning.pytorch.callbacks import Callback

from brainfm.errors import UsageError
from brainfm.learning.processes import gather, is_first


class Origin(Callback):
    """Keeps digests of what is read in last.ckpt, and compares them where a run goes on.

    Parameters
    ----------
    digests
        by what they are of, such as "training recordings".
    """

    def __init__(self, digests: Mapping[str, str]):
        self.digests = dict(digests)

    def on_save_checkpoint(self, trainer: Any, loop: Any, checkpoint: dict[str, Any]) -> None:
        """Keep them."""
        checkpoint["origin"] = self.digests

    def on_load_checkpoint(self, trainer: Any, loop: Any, checkpoint: dict[str, Any]) -> None:
        """Compare them; earlier versions kept none.

        Raises
        ------
        UsageError
            If one is another, for any of the processes; the first one's says which.
        """
        kept: dict[str, str] | None = checkpoint.get("origin")
        if kept is None and self.digests and is_first():
            print(
                f"brainfm: the run began with an earlier version, which did not note its "
                f"{_listed(self.digests)}; it goes on with those that are there now.",
                file=sys.stderr,
            )
        kept = self.digests if kept is None else kept
        names = [*dict.fromkeys([*kept, *self.digests])]
        own = [name for name in names if kept.get(name) != self.digests.get(name)]
        if changed := [*dict.fromkeys(chain.from_iterable(gather(own)))]:
            raise UsageError(
                f"The {_listed(changed)} of this run changed since it began, and what it has learned is of "
                "what was there before; put that back, or choose another --out."
                if is_first()
                else ""
            )


def _listed(names: Any) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
