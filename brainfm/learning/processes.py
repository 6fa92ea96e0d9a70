"""The processes that train together, whoever started them: Lightning, torchrun or SLURM's srun."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor

from brainfm.errors import WorkError

PATIENCE = 10.0
"""Seconds in which the first process will have said why all are refused."""


@dataclass(frozen=True)
class Process:
    """One of the processes that train together.

    Attributes
    ----------
    rank
        its number, from 0.
    size
        how many there are.
    """

    rank: int = 0
    size: int = 1


@dataclass(frozen=True)
class Launch:
    """How many processes a launcher has started.

    Attributes
    ----------
    devices
        on each node.
    nodes
        nodes.
    """

    devices: int
    nodes: int


def find_launch() -> Launch | None:
    """Return what torchrun or srun say in the environment; None where neither started this process."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        here, everywhere = (int(os.environ[k]) for k in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        return Launch(here, everywhere // here)
    if in_slurm_step():
        tasks, nodes = (int(os.environ[f"SLURM_STEP_NUM_{k}"]) for k in ("TASKS", "NODES"))
        return Launch(tasks // nodes, nodes)
    return None


def in_slurm_step() -> bool:
    """Return whether srun started this process, as one of several."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1


def is_first() -> bool:
    """Return whether this is the process that writes files and speaks to the user."""
    from lightning.pytorch.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0


def say_once(sentence: str) -> str:
    """Return what this process has to say where all are refused alike: the others leave it to the first.

    They wait until it has spoken, since torchrun ends all processes where one has ended.
    """
    if is_first():
        return sentence
    time.sleep(PATIENCE)
    return ""


def gather(value: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    if not dist.is_initialized():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def average(value: Tensor) -> Tensor:
    """Return the mean over all processes."""
    if not dist.is_initialized():
        return value
    total = value.detach().clone()
    dist.all_reduce(total, op=dist.ReduceOp.SUM)
    return total / dist.get_world_size()


@contextmanager
def companions() -> Generator[None]:
    """Make one sentence of another process's end.

    Raises
    ------
    WorkError
        If a process that this one waited for is there no more.
    """
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        if isinstance(error, WorkError) or not lost:
            raise
        raise WorkError(
            "Another process of this training has ended, and this one cannot go on alone; look at what "
            "that one said. The same command goes on from the last checkpoint."
        ) from error


@runtime_checkable
class Follower(Protocol):
    """Learns by averages, such as a codebook."""

    def gather(self) -> None:
        """Stay as it is, and remember what it is shown."""

    def follow(self, parts: int) -> None:
        """Take in what all processes have remembered, in so many parts on this one."""


@contextmanager
def one_update(module: torch.nn.Module, parts: int, everywhere: int) -> Generator[None]:
    """Let what learns by averages take in a step's batch as a whole, where it is cut into parts.

    Parameters
    ----------
    module
        holds them.
    parts
        of the batch that this process computes.
    everywhere
        parts that all processes compute.
    """
    followers = [part for part in module.modules() if isinstance(part, Follower)]
    followers = followers if everywhere > 1 else []
    for part in followers:
        part.gather()
    yield
    for part in followers:
        part.follow(parts)
