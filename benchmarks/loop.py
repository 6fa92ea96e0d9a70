"""What the training loop costs beside a bare PyTorch loop that does the same steps.

    python benchmarks/loop.py

Both train FEMBA-tiny on the same batches in memory, with the same optimiser, schedule, clipping and random
numbers, and must end with the same weights. The turns of the two alternate; each one's median counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from brainfm.contracts import Batch, Objective
from brainfm.learning.draws import TRAINING, draw_seed
from brainfm.learning.loop import fit
from brainfm.learning.train import Train
from brainfm.stages.catalog import configs
from brainfm.stages.model import load_model


class InMemory(Dataset):
    """Eight batches of noise, again and again."""

    def __init__(self, window: Batch, size: int):
        many = {
            k: v.repeat(size, 1, 1) for k, v in vars(window).items() if k in ("signal", "position")
        }
        many |= {k: v.repeat(size, 1) for k, v in vars(window).items() if k in ("kind", "mask")}
        many |= {"orientation": many["position"], "recording": window.recording * size}
        many |= {"onset": window.onset.repeat(size)}
        batch = replace(window, **many)
        self.batches = [
            replace(batch, signal=1e-5 * torch.randn_like(batch.signal)) for _ in range(8)
        ]

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index % len(self.batches)]


def bare(objective: Objective, batches: InMemory, train: Train) -> None:
    """Train as a script of one page would."""
    optimizer = train.optimizer(objective)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, train.rate)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step in range(train.steps):
        seed = draw_seed(0, TRAINING, step)
        torch.manual_seed(seed)
        optimizer.zero_grad()
        loss = objective(batches[step], torch.Generator().manual_seed(seed))["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, train.clip or float("inf"))
        optimizer.step()
        schedule.step()
        float(loss.detach())


def ours(objective: Objective, batches: InMemory, train: Train) -> None:
    """Train with brainfm's loop, with its files."""
    with tempfile.TemporaryDirectory() as folder:
        fit(objective, batches, train=train, seed=0, out=Path(folder))


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print milliseconds a step of both, and what the loop adds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="femba-tiny", help="of configs/models")
    parser.add_argument("--batch", type=int, default=4, help="windows a step")
    parser.add_argument("--steps", type=int, default=20, help="steps that count, a turn")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    model = load_model(configs() / "models" / f"{given.model}.yaml")
    batches = InMemory(model.window.silence(), given.batch)
    few = Train(
        steps=2, batch_size=given.batch, checkpoint_every=10**9, accelerator="cpu", loggers=()
    )
    many = replace(few, steps=2 + given.steps)
    taken: dict[str, list[float]] = {"bare": [], "brainfm": []}
    weights = {}
    for name, loop in [("bare", bare), ("brainfm", ours)] * (1 + given.turns):
        # The difference of a long and a short run leaves out what comes before the first step.
        start = seconds(lambda loop=loop: loop(model.build(0), batches, few))
        objective = model.build(0)
        whole = seconds(lambda loop=loop, one=objective: loop(one, batches, many))
        taken[name].append((whole - start) / given.steps)
        weights[name] = torch.cat([p.detach().flatten() for p in objective.parameters()])
    assert torch.equal(weights["bare"], weights["brainfm"]), "they trained different things"
    cost = {name: 1e3 * statistics.median(times[1:]) for name, times in taken.items()}
    print(
        f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {given.batch} windows"
    )
    for name, milliseconds in cost.items():
        print(f"{name:8} {milliseconds:8.1f} ms a step")
    added = cost["brainfm"] - cost["bare"]
    print(
        f"the loop adds {added:.1f} ms a step, {added / cost['bare']:.1%}; same weights to the bit"
    )


if __name__ == "__main__":
    main()
