"""Lightning's trainer, set up so that it leaves nothing behind itself and says nothing of its own."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment

from brainfm.learning.checkpoint import SIGNALS, WholeFiles
from brainfm.learning.processes import Launch, find_launch, in_slurm_step
from brainfm.learning.strategies import choose_strategy
from brainfm.learning.train import Train

GRACE = 10.0  # seconds in which processes may end by themselves


def make_trainer(
    train: Train, every: int, callbacks: tuple[Callback, ...], loggers: list[Logger]
) -> lightning.Trainer:
    """Return a trainer.

    Parameters
    ----------
    train
        options.
    every
        steps between two validations, 0 for none.
    callbacks
        in the order in which they are called.
    loggers
        where rows go besides metrics.csv.
    """
    launch = find_launch() or Launch(train.devices, train.nodes)
    plugins: list[Any] = [WholeFiles()]
    if in_slurm_step():
        # The job's script sends it back to the queue: it also knows of other stages.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    elif find_launch() is None:
        # Within a job of SLURM, but not by srun, Lightning would wait for processes nobody starts.
        plugins.append(LightningEnvironment())
    trainer = lightning.Trainer(
        max_steps=train.steps,
        max_epochs=-1,
        accelerator=train.accelerator,
        devices=launch.devices,
        num_nodes=launch.nodes,
        strategy=choose_strategy(train, launch),
        plugins=plugins,
        precision=train.precision,
        use_distributed_sampler=False,
        val_check_interval=every or None,
        check_val_every_n_epoch=None if every else 1,
        num_sanity_val_steps=0,
        logger=loggers,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=list(callbacks),
    )
    # Lightning's handler of SIGTERM talks to the other processes in the middle of whatever they do.
    trainer._signal_connector.register_signal_handlers = lambda: None
    return trainer


@contextmanager
def interruptible() -> Generator[None]:
    """Let Ctrl-C reach the caller, of which Lightning makes an exit; leave handlers as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *SIGNALS)}
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def supervised(trainer: lightning.Trainer) -> Generator[None]:
    """Leave no process behind that Lightning has started for a training that fails.

    Lightning kills this process some seconds after one that it started has failed, in the middle of
    a sentence as it may be: it is not told of them any more.
    """
    try:
        yield
    except BaseException:
        started: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
        left, until = [*started], time.monotonic() + GRACE
        started.clear()
        for one in left:
            try:
                one.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
        raise


@contextmanager
def quiet() -> Generator[None]:
    """Keep Lightning's advertisements and advice off the user's screen."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for text in (
            "does not have many workers",
            "is smaller than the logging interval",
            "You defined a `validation_step` but have no `val_dataloader`",
            "not been set for this class",
            "GPU available but not used",
            "Found keys that are not in the model state dict",
            "Checkpoint directory",
            "isinstance\\(treespec, LeafSpec\\)",
            # A frozen tokenizer is in evaluation mode on purpose.
            "module\\(s\\) in eval mode at the start of training",
            "`srun` command is available on your system but is not used",
            "`broadcast_buffers` is deprecated",
            "You're resuming from a checkpoint that ended before the epoch ended",
        ):
            warnings.filterwarnings("ignore", message=f".*{text}.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
