"""Batches for a training loop, as PyTorch data sets."""

from __future__ import annotations

from dataclasses import dataclass

from torch.utils.data import Dataset

from brainfm.contracts import Batch
from brainfm.windows.reader import WindowReader
from brainfm.windows.sampler import Place, Windows


@dataclass(frozen=True, eq=False)
class RandomBatches(Dataset):
    """Item n is the batch of training step n.

    Attributes
    ----------
    reader
        reads the windows.
    windows
        says which.
    """

    reader: WindowReader
    windows: Windows

    @property
    def hours(self) -> float:
        """Hours of recording in a batch."""
        places = self.windows.at(0)
        return sum(p.stop - p.start for p in places) / self.windows.sfreq / 3600

    @property
    def order(self) -> str:
        """Digest of all that decides which windows a step has."""
        return self.windows.order

    def __getitem__(self, index: int) -> Batch:
        return self.part(index, 0, 1)

    def part(self, step: int, part: int, parts: int) -> Batch:
        """Return one of the equal parts of a step's batch: every ``parts``-th window of it."""
        chosen = self.windows.at(step)[part::parts]
        return self.reader.read(chosen, self.windows.sfreq)


@dataclass(frozen=True, eq=False)
class ListedBatches(Dataset):
    """Given windows in their order, ``batch_size`` at a time.

    Attributes
    ----------
    reader
        reads the windows.
    places
        the windows.
    sfreq
        their sampling rate in Hz.
    batch_size
        windows an item; the last item may have fewer.
    """

    reader: WindowReader
    places: list[Place]
    sfreq: float
    batch_size: int

    def __len__(self) -> int:
        return -(-len(self.places) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        chosen = self.places[index * self.batch_size : (index + 1) * self.batch_size]
        return self.reader.read(chosen, self.sfreq)
