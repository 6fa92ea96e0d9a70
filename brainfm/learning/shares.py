"""What a process reads of each step's batch, and how it is read ahead.

The batch of a step is a function of seed and step alone. It is cut into equal parts; process r of w
computes parts r, r + w, r + 2w … So every window of a step is read once, by one process, whatever
their number.
"""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.learning.checkpoint import SIGNALS
from brainfm.learning.processes import Process

if TYPE_CHECKING:
    from brainfm.learning.loop import Loop


def choose_parts(parts: int | None, batch_size: int, size: int, blocks: int = 1) -> int:
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

    Raises
    ------
    UsageError
        If they cannot be dealt out evenly.
    """
    parts = math.lcm(size, blocks) if parts is None else parts
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
    loop
        the training that does them.
    """

    def __init__(self, loop: Loop):
        self.loop = loop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.loop.global_step, self.loop.options.steps))

    def __len__(self) -> int:
        # Lightning counts batches from the start of the run also when it resumes.
        return self.loop.options.steps


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
