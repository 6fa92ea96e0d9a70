"""Runs commands one after another in every process that a launcher has started.

One start serves many trainings: it takes longer than they do. ``together.py JOBS RESULT``: each job has
``argv`` and, at will, ``nan`` (a step at which the last process's loss is no number), ``kill`` (a step at
which the process ``victim`` kills itself), ``stop`` (a step at which all stop without a word) or ``unsaved``
(the first process breaks off where it would save the model). RESULT lists the exit codes of every process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule

from brainfm.cli import main
from brainfm.learning.loop import Loop
from brainfm.learning.processes import gather, is_first
from brainfm.stages import pretrain

PLAIN, SAVE = Loop.training_step, pretrain.save


def say(line: str) -> None:
    """Print in one piece, so that two processes do not write into each other's lines."""
    sys.stdout.write(f"{line}\n")


def disturbed(job: dict[str, Any]) -> Any:
    """Return a training step that does what a job says."""

    def training_step(loop: Loop, batch: Any, batch_idx: int) -> Any:
        step, last = loop.global_step, loop.trainer.world_size - 1
        if isinstance(loop.objective, FSDPModule):
            sizes = [(p.to_local().numel(), p.numel()) for p in loop.parameters()]
            say(f"holds {sum(s for s, _ in sizes) / sum(n for _, n in sizes):.3f}")
        if step == job.get("kill") and loop.global_rank == job["victim"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == job.get("stop"):
            raise KeyError("stopped")
        if step == job.get("nan") and loop.global_rank == last:
            batch = [replace(batch[0], signal=batch[0].signal * float("nan")), *batch[1:]]
            say(f"spoilt: {sorted({name for part in batch for name in part.recording})}")
        return PLAIN(loop, batch, batch_idx)

    return training_step


def unsaved(*_: Any) -> None:
    """Break off in place of saving a model."""
    raise KeyError("unsaved")


if __name__ == "__main__":
    codes = []
    for job in json.loads(Path(sys.argv[1]).read_text()):
        Loop.training_step = disturbed(job)
        pretrain.save = unsaved if "unsaved" in job else SAVE
        codes.append(main(job["argv"]))
    every = gather(codes)
    if is_first():
        Path(sys.argv[2]).write_text(json.dumps(every))
    if dist.is_initialized():
        dist.destroy_process_group()  # its threads must not outlive the interpreter
