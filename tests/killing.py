"""Kills trainings with SIGKILL, each in a process of its own forked from one that has imported all.

    python killing.py JOBS.json

Each job is a command line and the steps to be killed at. The command is given again and again, as a user
would: every time the training first reaches the next of the steps it is killed at some moment of that
step; ``END`` is what comes between the last step and the manifest. Prints, for each job, the exit code of
the last call and the steps at which it was killed.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import torch

from brainfm.cli import main
from brainfm.learning import loop as training
from brainfm.learning.loop import Loop
from brainfm.stages import finetune, pretrain  # imported before the forks

END = 1_000_000


def run(argv: list[str], steps: int, strike: int | None) -> int:
    """Call the command, saying through a pipe which step begins; the doomed never end."""
    torch.set_num_threads(1)
    plain, discard = Loop.training_step, training.discard_previous

    def told(loop: Loop, *arguments: object) -> object:
        os.write(steps, f"{loop.global_step}\n".encode())
        if strike not in (None, END) and loop.global_step == loop.options.steps - 1:
            signal.pause()
        return plain(loop, *arguments)

    def ended(folder: Path) -> None:
        discard(folder)
        os.write(steps, f"{END}\n".encode())

    Loop.training_step, training.discard_previous = told, ended
    if strike is not None:
        for stage in (finetune, pretrain):
            stage.write_manifest = lambda *_, **__: signal.pause()
    return main(argv)


def call(argv: list[str], strike: int | None, moment: float) -> tuple[int | None, int]:
    """Return the exit code, None where killed, and the last step that began."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(run(argv, writing, strike))
    os.close(writing)
    last, text = -1, b""
    while select.select([reading], [], [])[0] and (more := os.read(reading, 4096)):
        text += more
        last = int(text.split(b"\n")[-2])
        if strike is not None and last >= strike:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
            break
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return (None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), last


def work(job: dict[str, list]) -> dict[str, object]:
    """Kill at every step in turn, then let the training come to its end."""
    moments, killed = random.Random(0), []
    for strike in job["strikes"]:
        code, last = call(job["argv"], strike, moments.random() * 0.05)
        killed += [last] if code is None else []
    code, _ = call(job["argv"], None, 0.0)
    return {"code": code, "killed": killed}


if __name__ == "__main__":
    print(json.dumps([work(job) for job in json.loads(Path(sys.argv[1]).read_text())]))
