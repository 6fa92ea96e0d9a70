"""What a job asks of SLURM, and whether it can be had."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from brainfm.errors import UsageError

TIME = r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?"
MEMORY = r"\d+([KMGT]B?)?"


@dataclass(frozen=True)
class Allocation:
    """What a training asks of SLURM.

    Attributes
    ----------
    partition
        where the job is queued.
    account
        that pays.
    time
        that the job may run before it is queued again, as ``HH:MM:SS`` or ``D-HH:MM:SS``, in quotes where
        it stands in a YAML file; ``UNLIMITED``, or 0, for no limit.
    nodes
        machines.
    processes
        on each node, each with a device of its own.
    gpus
        for each process; where None none if ``train.accelerator`` is ``cpu``, and else one, also for an
        evaluation.
    cpus
        cores for each process.
    memory
        of each node, as ``64GB``; a number alone is in MB, and 0 all that the node has.
    warning
        seconds before the time is over at which SLURM warns; a step, a validation and a checkpoint
        must fit in.
    requeues
        times that the job may be put back into the queue.
    setup
        a line of shell that comes first, for instance ``module load cuda``.
    """

    partition: str | None = None
    account: str | None = None
    time: str | int = "24:00:00"
    nodes: int = 1
    processes: int = 1
    gpus: int | None = None
    cpus: int = 8
    memory: str | int = "64GB"
    warning: int = 120
    requeues: int = 100
    setup: str = ""

    def suited(self, accelerator: str) -> Allocation:
        """Return one that asks for GPUs where the training takes them.

        Raises
        ------
        UsageError
            If it cannot be had, or the training wants a GPU and none was to be asked for.
        """
        self._check()
        if accelerator == "gpu" and self.gpus == 0:
            raise UsageError(
                "train.accelerator is gpu and slurm.gpus 0 asks for none; leave slurm.gpus out or take "
                "train.accelerator cpu."
            )
        if self.gpus is not None:
            return self
        return replace(self, gpus=0 if accelerator == "cpu" else 1)

    # Not when it is made: jsonargparse buries what a type that may be None refuses.
    def _check(self) -> None:
        for name in ("nodes", "processes", "cpus", "warning"):
            if getattr(self, name) < 1:
                raise UsageError(f"slurm.{name} is {getattr(self, name)}; 1 or more are wanted.")
        for name in ("gpus", "requeues"):
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"slurm.{name} is {getattr(self, name)}; 0 or more are wanted.")
        if not re.fullmatch(MEMORY, str(self.memory), re.IGNORECASE):
            raise UsageError(f"slurm.memory is {self.memory!r}; a size as 64GB is wanted.")
        if (seconds := seconds_of(self.time)) <= self.warning:
            raise UsageError(
                f"slurm.time {self.time} is {seconds} s, and SLURM warns slurm.warning {self.warning} s "
                "before its end, so that no step would be done; give more time, as HH:MM:SS."
            )


def seconds_of(time: str | int) -> int | float:
    """Return how long a time of SLURM is, such as ``30`` (minutes), ``12:00:00`` or ``1-12``.

    Without a limit, as ``UNLIMITED`` and 0 say, it is infinite.

    Raises
    ------
    UsageError
        If it is none.
    """
    if isinstance(time, int) and time >= 60:
        raise UsageError(
            f"slurm.time is the number {time}, which YAML also makes of an unquoted time, such as 12:00:00; "
            "put it in quotes, as HH:MM:SS."
        )
    if str(time).upper() in ("UNLIMITED", "INFINITE"):
        return math.inf
    if (match := re.fullmatch(TIME, str(time))) is None:
        raise UsageError(
            f"slurm.time is {time!r}; a time as HH:MM:SS or D-HH:MM:SS is wanted, such as 24:00:00."
        )
    days, *rest = match.groups()
    given = [int(number) for number in rest if number is not None]
    # Without days a single number is minutes, and two are minutes and seconds.
    sizes = (3600, 60, 1) if days is not None or len(given) == 3 else (60, 1)
    seconds = 86400 * int(days or 0) + sum(n * s for n, s in zip(given, sizes, strict=False))
    return seconds or math.inf
