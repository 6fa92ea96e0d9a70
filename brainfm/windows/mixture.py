"""Several data sets in one training, each with its share, whatever its sampling rate and montage.

Shares follow the temperature of multilingual translation (Arivazhagan et al., "Massively Multilingual
Neural Machine Translation in the Wild", 2019, arXiv 1907.05019). A block of windows has one sampling
rate and one number of channels, so nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch.utils.data import Dataset

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.windows.dataset import ListedBatches, RandomBatches
from brainfm.windows.order import Turns, digest

WHOLE = 1 << 32
"""Parts of which a share is a whole number, so that turns are counted without rounding."""


def shares(
    hours: Sequence[float], weights: Sequence[float], temperature: float
) -> Float[np.ndarray, " source"]:
    """Return how much of a training each data set is: weight · hours^(1 / temperature), over the sum.

    Parameters
    ----------
    hours
        of each data set.
    weights
        of each; twice the weight is twice the share, beside the same others.
    temperature
        1 takes every hour as often, much more takes every data set as often.

    Raises
    ------
    UsageError
        If a weight or the temperature is not above 0.
    """
    if temperature <= 0 or any(weight <= 0 for weight in weights):
        raise UsageError(
            f"The mixture has the weights {list(weights)} and the temperature {temperature:g}; all must "
            "be above 0."
        )
    size = np.asarray(weights, float) * np.asarray(hours, float) ** (1 / temperature)
    return size / size.sum()


@dataclass(frozen=True, eq=False)
class Member:
    """One data set of a mixture.

    Attributes
    ----------
    name
        under which its share is logged.
    batches
        its windows; a batch of theirs is a block of the mixture.
    hours
        of its recordings.
    weight
        as of `shares`.
    """

    name: str
    batches: RandomBatches
    hours: float
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class MixedBatches(Dataset):
    """Step n's batch is made of blocks, each of one data set.

    The data sets take turns (`brainfm.windows.order.Turns`), so after any number of steps each has had its
    share up to a block or a few; and each goes through its own windows in its own passes. Both follow
    from the number of the step alone, so a training that is resumed goes on with the same ones.

    Attributes
    ----------
    members
        the data sets.
    temperature
        as of `shares`.
    blocks
        equal parts of a step's batch, each of one data set.
    seed
        of the turns.
    """

    members: tuple[Member, ...]
    temperature: float
    blocks: int
    seed: int

    def __post_init__(self) -> None:
        _ = self.shares  # refuses what cannot be, before anything is read

    @cached_property
    def shares(self) -> Float[np.ndarray, " member"]:
        """How much of the training each data set is."""
        hours, weights = ([getattr(m, k) for m in self.members] for k in ("hours", "weight"))
        return shares(hours, weights, self.temperature)

    @cached_property
    def turns(self) -> Turns:
        """Whose block comes when."""
        sizes = np.maximum(1, np.rint(self.shares * WHOLE)).astype(int)
        return Turns(tuple(sizes.tolist()), self.seed)

    @cached_property
    def order(self) -> str:
        """Digest of all that decides which windows a step has."""
        orders = [member.batches.order for member in self.members]
        return digest(orders, self.turns, self.blocks)

    def __getitem__(self, index: int) -> Batch:
        return self.part(index, 0, self.blocks)

    def part(self, step: int, part: int, parts: int) -> Batch:
        """Return one of a step's parts: every so-manieth window of one block."""
        turn = self.turns.at(step * self.blocks + part % self.blocks)
        batches = self.members[turn.member].batches
        return batches.part(turn.earlier, part // self.blocks, parts // self.blocks)

    def read(self, steps: int) -> dict[str, float]:
        """Return what has been read in the first steps, for metrics.csv.

        Returns
        -------
        ``share/NAME`` of each data set, of all windows so far, and ``epoch/NAME``: hours read over
        hours that there are.
        """
        told = {}
        for member, count in zip(self.members, self.turns.counts(steps * self.blocks), strict=True):
            told[f"share/{member.name}"] = count / max(1, steps * self.blocks)
            told[f"epoch/{member.name}"] = count * member.batches.hours / member.hours
        return told


@dataclass(frozen=True, eq=False)
class JoinedBatches(Dataset):
    """The batches of several lists, one after another.

    Attributes
    ----------
    lists
        of batches, each of one sampling rate.
    """

    lists: tuple[ListedBatches, ...]

    def __len__(self) -> int:
        return sum(map(len, self.lists))

    def __getitem__(self, index: int) -> Batch:
        for batches in self.lists:
            if 0 <= index < len(batches):
                return batches[index]
            index -= len(batches)
        raise IndexError(index)
