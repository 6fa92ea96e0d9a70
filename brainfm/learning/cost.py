"""What a training takes, found by training a few steps with the run's own loop and options.

Memory is that of tensors: what a step holds at most, from the first one on that has all of the optimiser's
state. What a library allocates for itself, and what is lost between tensors, is not in it.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.data import Dataset
from torch.utils.weak import WeakIdKeyDictionary

from brainfm.contracts import Batch, Objective
from brainfm.learning.loop import Loop, fit
from brainfm.learning.shares import every
from brainfm.learning.train import Train


@dataclass(frozen=True)
class Cost:
    """What one device takes.

    Attributes
    ----------
    flops
        a window, forward and backward, see `brainfm.layers.flops`.
    seconds
        a window, in training.
    validating
        seconds a window, in a validation.
    lasting
        bytes of weights, buffers, averages and the optimiser's state.
    working
        bytes that the forward and the backward pass of ``windows`` hold at most besides.
    each
        bytes by which that grows with a window more.
    following
        bytes that the optimiser's step holds at most besides what lasts: gradients, mostly.
    windows
        that were computed at once.
    """

    flops: float
    seconds: float
    validating: float
    lasting: int
    working: int
    each: float
    following: int
    windows: int

    def memory(self, windows: int) -> float:
        """Return the bytes that a step holds which computes so many windows at once."""
        working = self.working + (windows - self.windows) * self.each
        return self.lasting + max(working, self.following)


def measure(objective: Objective, windows: Batch, train: Train, steps: int = 3) -> Cost:
    """Train ``objective`` for some steps, in place, and look at what they take.

    Parameters
    ----------
    objective
        what is trained.
    windows
        two or more, which are computed at once; half of them are, to see what one takes.
    train
        the run's options; its numbers of steps, windows and processes and its loggers are left out.
    steps
        whose time is taken, and batches of a validation.
    """
    half = every(windows, 0, 2)
    less, more = (_watch(objective, part, train, steps) for part in (half, windows))
    n, fewer = len(windows.signal), len(half.signal)
    return Cost(
        flops=more.flops / n,
        seconds=more.seconds / n,
        validating=more.validating / n,
        lasting=more.lasting,
        working=more.working,
        # With few windows gradients may be the most that is held, and hide what a window takes.
        each=max(more.kept - less.kept, more.working - less.working, 0) / (n - fewer),
        following=more.following,
        windows=n,
    )


def _watch(objective: Objective, windows: Batch, train: Train, steps: int) -> Meter:
    meter = Meter()
    alone = replace(
        train,
        steps=Meter.FIRST + steps,
        epochs=None,
        batch_size=len(windows.signal),
        validate_every=Meter.FIRST + steps,
        parts=1,
        devices=1,
        nodes=1,
        strategy="ddp",
        workers=0,
        loggers=(),
        peak_flops=1.0,  # operations are counted where there is a peak to compare them with
    )
    held_out = Same(windows, 1 + steps)
    fit(objective, Same(windows), train=alone, seed=0, validation=held_out, callbacks=(meter,))
    return meter


@dataclass(frozen=True, eq=False)
class Same(Dataset):
    """The same batch at every step.

    Attributes
    ----------
    batch
        it.
    count
        how often, where there is an end.
    """

    batch: Batch
    count: int = 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        return self.batch


class Meter(Callback):
    """Looks at the second step's memory, and at the time of those after it and of a validation."""

    FIRST = 2  # steps that come before the clock starts

    def __init__(self) -> None:
        self.flops, self.seconds, self.validating, self.n = 0, 0.0, 0.0, 0
        self.lasting = self.kept = self.working = self.following = 0
        self.held: Held | None = None

    def on_train_batch_start(
        self, trainer: lightning.Trainer, loop: Any, batch: list[Batch], batch_idx: int
    ) -> None:
        """Begin to watch the second step, and the clock after it."""
        if self.n == 1:
            lasting = list(_lasting(loop))
            self.held = Held([*lasting, *_tensors(batch)])
            self.lasting = sum(storage.nbytes() for storage in _storages(lasting))
            self.held.__enter__()
        elif self.n == self.FIRST:
            self._wait()
            self.since = time.perf_counter()

    def on_before_backward(self, trainer: lightning.Trainer, loop: Any, loss: Tensor) -> None:
        """See what the forward pass has kept."""
        if self.held is not None:
            self.kept = self.held.now

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, loop: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        """Tell the two halves of a step apart."""
        if self.held is not None:
            self.working = self.held.restart()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, loop: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take down what was seen."""
        self.n += 1
        if self.held is not None:
            self.following = self.held.restart()
            self._leave()
        self._wait()
        if self.n > self.FIRST:
            self.seconds = (time.perf_counter() - self.since) / (self.n - self.FIRST)
        self.flops = loop.flops.of(batch[0])

    def on_validation_batch_start(
        self,
        trainer: lightning.Trainer,
        loop: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Begin the clock after the first batch."""
        if batch_idx == 1:
            self.since = time.perf_counter()

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        loop: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take down the mean time of a batch."""
        self._wait()
        if batch_idx:
            self.validating = (time.perf_counter() - self.since) / batch_idx

    def on_exception(self, trainer: lightning.Trainer, loop: Any, exception: BaseException) -> None:
        """Watch no more."""
        self._leave()

    def _leave(self) -> None:
        if self.held is not None:
            self.held.__exit__(None, None, None)
            self.held = None

    @staticmethod
    def _wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def _lasting(loop: Loop) -> Iterable[Tensor]:
    """Return what stays from step to step."""
    states = (optimizer.state.values() for optimizer in loop.trainer.optimizers)
    kept = (value for state in chain(*states) for value in state.values())
    return chain(loop.parameters(), loop.buffers(), (v for v in kept if isinstance(v, Tensor)))


def _tensors(batch: Sequence[Batch]) -> Iterable[Tensor]:
    values = chain.from_iterable(vars(part).values() for part in batch)
    return (value for value in values if isinstance(value, Tensor))


def _storages(tensors: Iterable[Tensor]) -> list[torch.UntypedStorage]:
    found = (tensor.untyped_storage() for tensor in tensors)
    return list({storage.data_ptr(): storage for storage in found}.values())


class Held(TorchDispatchMode):
    """Adds up the bytes of all tensors that come into being, until they are gone.

    Parameters
    ----------
    known
        tensors that were there before, and do not count.
    """

    def __init__(self, known: Iterable[Tensor]):
        super().__init__()
        self.known = WeakIdKeyDictionary()
        for storage in _storages(known):
            self.known[storage] = True
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_iter(made):
            if isinstance(one, Tensor):
                self._take(one.untyped_storage())
        return made

    def _take(self, storage: torch.UntypedStorage) -> None:
        if storage in self.known:
            return
        self.known[storage] = True
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size

    def restart(self) -> int:
        """Return the most bytes that were held since the last call."""
        most, self.most = self.most, self.now
        return most
