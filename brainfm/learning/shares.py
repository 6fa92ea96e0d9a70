"""What a process reads of each step's batch, and how it is read ahead.

The batch of a step is a function of seed and step alone. It is cut into equal parts; process r of w
computes parts r, r + w, r + 2w … So every window of a step is read once, by one process, whatever
their number, and a run that goes on with another number of them goes on with the next step's batch.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.learning.checkpoint import SIGNALS
from brainfm.learning.processes import Process, is_first
from brainfm.learning.train import Train


def choose_parts(
    parts: int | None, batch_size: int, size: int, blocks: int = 1, *, kept: int = 1
) -> int:
    """Return how many parts a batch is cut into: no more than must be where nothing is said.

    Parameters
    ----------
    parts
        as asked for, or None.
    batch_size
        windows a step.
    size
        processes.
    blocks
        of which the batches of a mixture are made.
    kept
        parts that the steps before were cut into, each of which may be cut further.

    Raises
    ------
    UsageError
        If they cannot be dealt out evenly.
    """
    parts = math.lcm(size, blocks, kept) if parts is None else parts
    if parts % size or batch_size % parts or parts % blocks:
        raise UsageError(
            f"train.batch_size {batch_size} in train.parts {parts} cannot be shared evenly by {size} "
            f"processes and {blocks} blocks; choose parts that are a multiple of both and divide the batch."
        )
    return parts


@dataclass(frozen=True, eq=False)
class TrainingShare(Dataset):
    """Item n holds this process's parts of the batch of step n.

    Attributes
    ----------
    batches
        item n is the whole batch of step n. Where it has a method ``part(step, part, parts)``, no
        more is read than is needed.
    parts
        into which a batch is cut.
    process
        which one this is.
    """

    batches: Dataset
    parts: int
    process: Process

    def __getitem__(self, step: int) -> list[Batch]:
        if self.parts == 1:
            return [self.batches[step]]
        mine = range(self.process.rank, self.parts, self.process.size)
        if (part := getattr(self.batches, "part", None)) is not None:
            return [part(step, i, self.parts) for i in mine]
        whole = self.batches[step]
        return [every(whole, i, self.parts) for i in mine]


def every(batch: Batch, first: int, hop: int) -> Batch:
    """Return windows ``first``, ``first + hop`` … of a batch."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    rows = {k: v[first::hop] for k, v in values.items() if isinstance(v, Tensor | tuple)}
    return replace(batch, **rows)


@dataclass(frozen=True, eq=False)
class ValidationShare(Dataset):
    """Item n holds batch ``n × size + rank``, or nothing where the batches have come to their end.

    All processes have as many items, so none waits for another that has fewer.

    Attributes
    ----------
    batches
        what is validated on.
    process
        which one this is.
    """

    batches: Any
    process: Process

    def __len__(self) -> int:
        return -(-len(self.batches) // self.process.size)

    def __getitem__(self, index: int) -> list[Batch]:
        place = index * self.process.size + self.process.rank
        return [self.batches[place]] if place < len(self.batches) else []


class StepsAhead(Sampler[int]):
    """The steps that are still to be done.

    Parameters
    ----------
    done
        tells how many are done.
    steps
        of the whole training.
    """

    def __init__(self, done: Callable[[], int], steps: int):
        self.done, self.steps = done, steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.done(), self.steps))

    def __len__(self) -> int:
        # Lightning counts batches from the start of the run also when it resumes.
        return self.steps


class Feed:
    """Reads items while the one before is computed on, and knows how long it was waited for.

    Parameters
    ----------
    items
        the data set.
    indices
        which of its items, in order.
    workers
        processes that read; with 0 a thread of this process does.
    ahead
        items that the thread reads in advance.
    """

    def __init__(self, items: Dataset, indices: StepsAhead | range, *, workers: int, ahead: int):
        self.items, self.indices, self.workers, self.ahead = items, indices, workers, ahead
        self.waited = 0.0

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[list[Batch]]:
        source = self._from_workers() if self.workers else self._from_thread()
        while True:
            start = time.perf_counter()
            item = next(source, None)
            self.waited += time.perf_counter() - start
            if item is None:
                return
            yield item

    def _from_workers(self) -> Iterator[list[Batch]]:
        # Forked readers of zarr stores deadlock.
        loader = DataLoader(
            self.items,
            batch_size=None,
            sampler=self.indices,
            num_workers=self.workers,
            multiprocessing_context="spawn",
        )
        # A cluster asks all processes of a job to stop; the step under way still needs its readers, who
        # inherit what is blocked, and end with this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            return iter(loader)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _from_thread(self) -> Iterator[list[Batch]]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="brainfm-read")
        coming: deque[Future[list[Batch]]] = deque()
        try:
            for index in self.indices:
                coming.append(pool.submit(self.items.__getitem__, index))
                if len(coming) > self.ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Dealer(Callback):
    """Deals the parts of every step out to the processes, and goes on with the same ones.

    A checkpoint keeps the order of the batches and in how many parts they were computed. Where
    ``train.parts`` does not say how many, a run goes on with those, or with as few more as its
    processes can share.

    Parameters
    ----------
    batches
        item n is the whole batch of step n. Where they have an ``order``, a digest of all that decides
        what is in a batch, a run does not go on with batches that have another.
    feed
        reads this process's share of them.
    train
        options.
    """

    def __init__(self, batches: Dataset, feed: Feed, train: Train):
        self.batches, self.feed, self.train = batches, feed, train
        self.order: str = getattr(batches, "order", "")

    def deal(self, process: Process, *, kept: int = 1) -> None:
        """Let the feed read one process's share."""
        blocks, batch = getattr(self.batches, "blocks", 1), self.train.batch_size
        self.process = process
        self.parts = choose_parts(self.train.parts, batch, process.size, blocks, kept=kept)
        self.feed.items = TrainingShare(self.batches, self.parts, process)

    def on_train_start(self, trainer: Any, loop: Any) -> None:
        """Say at the beginning that the loss curve hangs on the number of processes, where it does."""
        fresh = trainer.global_step == 0
        if fresh and self.train.parts is None and self.process.size > 1 and is_first():
            print(
                f"brainfm: a step is computed in {self.parts} parts for {self.process.size} processes; what "
                "is drawn at random hangs on the number of parts, so for the same losses with another number "
                f"of processes give that run --train.parts {self.parts} from its start.",
                file=sys.stderr,
            )

    def on_save_checkpoint(self, trainer: Any, loop: Any, checkpoint: dict[str, Any]) -> None:
        """Keep what the next process needs to know."""
        checkpoint["dealt"] = {"order": self.order, "parts": self.parts}

    def on_load_checkpoint(self, trainer: Any, loop: Any, checkpoint: dict[str, Any]) -> None:
        """Go on as the checkpoint says.

        Raises
        ------
        UsageError
            If its batches were others, or its parts cannot be shared.
        """
        dealt = checkpoint["dealt"]
        if dealt["order"] != self.order:
            raise UsageError(
                "The checkpoint is of a training on other windows, or on these in another order, so what it "
                "has not seen yet is not known; give back the recordings it began with or choose "
                "another --out."
            )
        self.deal(self.process, kept=dealt["parts"])
        if self.parts != dealt["parts"] and is_first():
            print(
                f"brainfm: a step is now computed in {self.parts} parts, before in {dealt['parts']}; the "
                "windows stay the same, what is drawn at random for each part does not.",
                file=sys.stderr,
            )
