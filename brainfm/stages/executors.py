"""Where jobs run: in this process, in processes of this machine, on a Dask cluster.

Each `run` gives the outcomes as they come. A worker that dies (for want of memory, or by a crash in a
reader written in C) takes only its own jobs along: they are tried again, at last each alone, and
one that kills its worker even then comes back as `Lost`, so that a file cannot end the night.
"""

from __future__ import annotations

import importlib
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from threadpoolctl import threadpool_limits

from brainfm.errors import UsageError
from brainfm.stages.allocation import seconds_of

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
"""A worker computes on one core: as many threads as cores in each of them would fight."""


@dataclass(frozen=True)
class Lost:
    """A job whose worker died, also when nothing else ran there.

    Attributes
    ----------
    job
        the one.
    """

    job: Any


@runtime_checkable
class Executor(Protocol):
    """Runs jobs that know nothing of each other."""

    def run(self, work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        """Yield ``work(job)`` of every job, or `Lost`, in any order.

        What ``work`` raises is raised here, and jobs that have not begun are given up.
        """
        ...


@dataclass(frozen=True)
class InProcess:
    """One job after the other, in this process."""

    def run(self, work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        """Yield outcomes in the order of the jobs; a crash of the interpreter ends all."""
        # Arrays are small here: threads of the linear algebra would turn round and wait.
        with threadpool_limits(1, user_api="blas"):
            yield from map(work, jobs)


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, through joblib's loky.

    Attributes
    ----------
    workers
        how many.
    """

    workers: int

    def run(self, work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        """Yield outcomes as they come; no more jobs are under way than there are workers."""
        waiting, suspects = deque(jobs), []
        try:
            while waiting:
                suspects += yield from self._until_death(work, waiting)
            for job in suspects:
                alone = deque([job])
                while alone:
                    died = yield from self._until_death(work, alone)
                    yield from map(Lost, died)
        except BaseException:
            self._pool().shutdown(wait=True, kill_workers=True)
            raise
        self._pool().shutdown(wait=True)

    def _until_death(
        self, work: Callable[[Any], Any], waiting: deque[Any]
    ) -> Generator[Any, None, list[Any]]:
        """Run jobs until none waits or a worker dies; return those that were under way then."""
        pool, under_way = self._pool(), {}
        while waiting or under_way:
            self._submit(pool, work, waiting, under_way)
            if not under_way:
                return []  # an idle worker died: the next pool goes on
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            died = [under_way.pop(future) for future in done if _died(future)]
            for future in done & under_way.keys():
                del under_way[future]
                yield future.result()
            if died:
                # The death of one process fails every future of its pool.
                return died + list(under_way.values())
        return []

    def _submit(
        self,
        pool: Any,
        work: Callable[[Any], Any],
        waiting: deque[Any],
        under_way: dict[Future[Any], Any],
    ) -> None:
        """Give each worker a job, as long as the pool takes any."""
        try:
            while waiting and len(under_way) < self.workers:
                under_way[pool.submit(work, waiting[0])] = waiting[0]
                waiting.popleft()
        except BrokenExecutor:
            pass  # what is under way tells who died

    def _pool(self) -> Any:
        from joblib.externals.loky import get_reusable_executor

        return get_reusable_executor(max_workers=self.workers, env=THREADS)


def _died(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenExecutor)


@dataclass(frozen=True)
class OnCluster:
    """Workers that a Dask scheduler knows.

    Attributes
    ----------
    client
        a `distributed.Client`.
    """

    client: Any

    def run(self, work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        """Yield outcomes as they come; the scheduler hands a dead worker's jobs to others."""
        suspects = yield from self._together(work, jobs)
        # A job that waited beside a deadly one is blamed for its deaths.
        for suspect in suspects:
            yield from (yield from self._together(work, [suspect.job]))

    def _together(
        self, work: Callable[[Any], Any], jobs: Sequence[Any]
    ) -> Generator[Any, None, list[Lost]]:
        from distributed import KilledWorker, as_completed

        futures = {self.client.submit(work, job, pure=False): job for job in jobs}
        died = []
        try:
            for future in as_completed(list(futures)):
                job = futures.pop(future)
                if isinstance(future.exception(), KilledWorker):
                    died.append(Lost(job))
                else:
                    yield future.result()
        finally:
            self.client.cancel(list(futures))
        return died


@contextmanager
def connect(address: str) -> Generator[OnCluster]:
    """Use a Dask cluster that is there.

    Raises
    ------
    UsageError
        If no scheduler answers at ``address``, or Dask is not installed.
    """
    distributed = _import("distributed")
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"No Dask scheduler answers at {address!r} ({' '.join(str(error).split())[:200]}); "
            "start one with `dask scheduler` and give the address that it prints."
        ) from error
    with client:
        yield OnCluster(client)


@dataclass(frozen=True)
class Slurm:
    """What is asked of SLURM for each worker.

    Attributes
    ----------
    partition
        where its jobs are queued.
    account
        that pays.
    time
        that a worker may live, as ``HH:MM:SS``, in quotes where it stands in a YAML file; when it is over,
        another takes its place.
    memory
        of a worker; one that needs more is killed, and its file set aside.
    workers
        how many, each a SLURM job with one core.
    """

    partition: str | None = None
    account: str | None = None
    time: str | int = "04:00:00"
    memory: str = "4GB"
    workers: int = 8

    def check(self) -> None:
        """Refuse what SLURM would; `UsageError`."""
        if self.workers < 1:
            raise UsageError(f"slurm.workers is {self.workers}; 1 or more are wanted.")
        seconds_of(self.time)


def make_cluster(slurm: Slurm) -> Any:
    """Return a `dask_jobqueue.SLURMCluster` that has no workers yet."""
    return _import("dask_jobqueue").SLURMCluster(
        queue=slurm.partition,
        account=slurm.account,
        walltime=slurm.time,
        memory=slurm.memory,
        cores=1,
        processes=1,
        job_name="brainfm-ingest",
        scheduler_options={"dashboard_address": ":0"},  # any free port: login nodes are shared
        job_script_prologue=[f"export {name}={value}" for name, value in THREADS.items()],
    )


@contextmanager
def queue(slurm: Slurm) -> Generator[OnCluster]:
    """Start workers through SLURM, and end them afterwards.

    Raises
    ------
    UsageError
        If it cannot be had, dask-jobqueue is not installed, or this machine cannot submit.
    """
    slurm.check()
    distributed = _import("distributed")
    if shutil.which("sbatch") is None:
        raise UsageError("There is no sbatch on this machine; give --slurm on a login node.")
    with make_cluster(slurm) as cluster, distributed.Client(cluster) as client:
        # Adapting, not scaling: it submits anew when a worker's time is over.
        cluster.adapt(minimum_jobs=slurm.workers, maximum_jobs=slurm.workers)
        yield OnCluster(client)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{name} is not installed, which clusters need; pip install 'brainfm[cluster]'."
        ) from error
