"""Whether a command can run as a job, asked before the job waits in a queue.

A function for each verb that may be a job. It is given what the verb is given, refuses what the verb would
refuse, and reads of the recordings only which there are. What only the machines of the job know, such as
whether they have a kernel, is left to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from brainfm.evaluation.task import Task
from brainfm.evaluation.tuning import Budget
from brainfm.learning.shares import choose_parts
from brainfm.learning.train import Train
from brainfm.stages.allocation import Allocation
from brainfm.stages.batches import training_batches, validation_batches
from brainfm.stages.evaluate import check, check_checkpoints
from brainfm.stages.model import Model
from brainfm.stages.pretrain import check_fit
from brainfm.stages.sources import Data, divide, sources_of


def pretraining(
    asked: Allocation,
    *,
    model: Model,
    data: Data,
    tokenizer: Path | None,
    train: Train,
    seed: int,
    **rest: Any,
) -> Allocation:
    """Check a pretraining, and return what it asks of SLURM."""
    asked = asked.suited(train.accelerator)
    choose_parts(train.parts, train.batch_size, asked.nodes * asked.processes, data.blocks)
    objective = model.build(seed, tokenizer=tokenizer)
    sources = sources_of(data)
    for source in sources:
        check_fit(objective, source)
    division = divide(sources, data.validation, seed)
    training_batches(sources, division.training, data, batch=train.batch_size, seed=seed)
    validation_batches(sources, division.validation, data, train.batch_size)
    return asked


def finetuning(
    asked: Allocation, *, task: Task, checkpoint: Path, train: Train, **rest: Any
) -> Allocation:
    """Check a fine-tuning, and return what it asks of SLURM."""
    asked = asked.suited(train.accelerator)
    choose_parts(train.parts, train.batch_size, asked.nodes * asked.processes)
    check_checkpoints(task, [checkpoint])
    return asked


def evaluation(
    asked: Allocation,
    *,
    task: Task,
    estimators: dict[str, BaseEstimator],
    split: str | None,
    seeds: Sequence[int],
    budget: Budget,
    reference: str | None,
    **rest: Any,
) -> Allocation:
    """Check an evaluation, and return what it asks of SLURM."""
    asked = asked.suited("auto")
    check(task, estimators, split=split, seeds=seeds, budget=budget, reference=reference)
    return asked
