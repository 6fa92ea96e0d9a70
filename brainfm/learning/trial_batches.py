"""Labelled trials in memory → batches for the training loop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.utils.data import Dataset

from brainfm.objectives import LabelledBatch
from brainfm.recordings.recording import Sensors
from brainfm.windows.collate import batch_of
from brainfm.windows.order import digest
from brainfm.windows.stored import StoredWindows

Labels = Int[np.ndarray, " trial"] | Float[np.ndarray, " trial"]


@dataclass(frozen=True, eq=False)
class LabelledTrials:
    """Trials of the same sensors with an answer each.

    Attributes
    ----------
    X
        (trial, channel, time) SI units.
    label
        (trial,) index of the class, or the number that is to be predicted.
    sensors
        the channels.
    sfreq
        sampling rate in Hz.
    recording
        (trial,) name of the recording that each is cut from; where None it is known of stored windows alone.
    """

    X: Float[np.ndarray, "trial channel time"] | StoredWindows
    label: Labels
    sensors: Sensors
    sfreq: float
    recording: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X)

    def batch(self, rows: Int[np.ndarray, " row"] | slice) -> LabelledBatch:
        """Return some of the trials, named by their recordings or, where these are unknown, by number."""
        known = self.X.recording if isinstance(self.X, StoredWindows) else self.recording
        if known is not None:
            names = tuple(known[rows].tolist())
        else:
            names = tuple(f"trial {i}" for i in np.arange(len(self))[rows].tolist())
        batch = replace(batch_of(self.X[rows], self.sensors, self.sfreq), recording=names)
        return LabelledBatch(**vars(batch), label=torch.from_numpy(self.label[rows]))


@dataclass(frozen=True, eq=False)
class ShuffledBatches(Dataset):
    """Item n is the batch of step n; every epoch has an order of its own.

    Attributes
    ----------
    trials
        what to train on.
    batch_size
        trials an item, at most as many as there are.
    seed
        of the orders.
    """

    trials: LabelledTrials
    batch_size: int
    seed: int

    @property
    def order(self) -> str:
        """Digest of all that decides which trials a step has."""
        return digest(self.trials.X.shape, self.trials.label.tolist(), self.batch_size, self.seed)

    def __getitem__(self, index: int) -> LabelledBatch:
        epoch, place = divmod(index, len(self.trials) // self.batch_size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.trials))
        return self.trials.batch(order[place * self.batch_size : (place + 1) * self.batch_size])


@dataclass(frozen=True, eq=False)
class OrderedBatches(Dataset):
    """All trials in their order.

    Attributes
    ----------
    trials
        what to go through.
    batch_size
        trials an item; the last may have fewer.
    """

    trials: LabelledTrials
    batch_size: int = 32

    def __len__(self) -> int:
        return -(-len(self.trials) // self.batch_size)

    def __getitem__(self, index: int) -> LabelledBatch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.trials.batch(slice(index * self.batch_size, (index + 1) * self.batch_size))
