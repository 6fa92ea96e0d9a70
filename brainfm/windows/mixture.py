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
from jaxtyping import Float, Int64
from torch.utils.data import Dataset

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.windows.dataset import ListedBatches, RandomBatches

GOLDEN = (5**0.5 - 1) / 2


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

    The data set of draw k is where (k + offset) · golden ratio, without its whole part, falls among the
    shares: a sequence that covers the line so evenly that after any number of draws each data set
    has had its share up to a draw or a few. It needs no state, so a training that is
    resumed goes on with the same one.

    Attributes
    ----------
    members
        the data sets.
    temperature
        as of `shares`.
    blocks
        equal parts of a step's batch, each of one data set.
    seed
        of the offset.
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
    def _offset(self) -> float:
        return float(np.random.default_rng([self.seed, 3]).random())

    def member(self, draw: Int64[np.ndarray, " draw"]) -> Int64[np.ndarray, " draw"]:
        """Return which data set each draw is of."""
        place = (self._offset + draw * GOLDEN) % 1.0
        found = np.searchsorted(self.shares.cumsum()[:-1], place, side="right")
        return found.astype(np.int64)

    def __getitem__(self, index: int) -> Batch:
        return self.part(index, 0, self.blocks)

    def part(self, step: int, part: int, parts: int) -> Batch:
        """Return one of a step's parts: every so-manieth window of one block."""
        draw = step * self.blocks + part % self.blocks
        batches = self.members[int(self.member(np.array([draw]))[0])].batches
        return batches.part(draw, part // self.blocks, parts // self.blocks)

    def read(self, steps: int) -> dict[str, float]:
        """Return what has been read in the first steps, for metrics.csv.

        Returns
        -------
        ``share/NAME`` of each data set, of all windows so far, and ``epoch/NAME``: hours read over
        hours that there are.
        """
        draws = self.member(np.arange(steps * self.blocks, dtype=np.int64))
        counts = np.bincount(draws, minlength=len(self.members))
        told = {}
        for member, count in zip(self.members, counts.tolist(), strict=True):
            told[f"share/{member.name}"] = count / max(1, len(draws))
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
