"""A published split of a data set, and the counts that tell whether the same windows are divided."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from brainfm.errors import UsageError
from brainfm.evaluation.labels import Labels
from brainfm.windows.splits import Fold, Split


@dataclass(frozen=True)
class PublishedSplit:
    """A division of a data set that papers share, and what they count in it.

    Attributes
    ----------
    split
        who is on which side.
    expected
        windows by side (train, validation, test) or in all (total), as published.
    n_channels
        channels of a window, as published; None where papers differ.
    label, seconds, step
        in place of the task's own, where the papers cut other windows; None where they do not.
    """

    split: Split
    expected: dict[str, int] = field(default_factory=dict)
    n_channels: int | None = None
    label: Labels | None = None
    seconds: float | None = None
    step: float | None = None

    def check(self, folds: list[Fold], table: pd.DataFrame, name: str, *, n_channels: int) -> None:
        """Refuse other windows than were published, as far as that is known.

        Parameters
        ----------
        folds
            as the split has made them.
        table
            a row a window.
        name
            of the split.
        n_channels
            channels of a window.

        Raises
        ------
        UsageError
            Saying what was counted and what was published.
        """
        sides = ("train", "validation", "test")
        counted = {side: int(folds[0].rows(side, table).sum()) for side in sides}
        counted["total"] = sum(counted.values())
        wrong = {side: n for side, n in self.expected.items() if counted[side] != n}
        if wrong:
            met = ", ".join(f"{counted[side]:,} for {side}" for side in wrong)
            wanted = ", ".join(f"{n:,} for {side}" for side, n in wrong.items())
            raise UsageError(
                f"The split {name!r} has {met} windows and was published with {wanted}: give the whole "
                "data set in the version that was split, or say `corpus: part`."
            )
        if self.n_channels not in (None, n_channels):
            raise UsageError(
                f"The windows of the split {name!r} have {n_channels} channels and were published with "
                f"{self.n_channels}: ingest the data set with those, or say `corpus: part`."
            )
