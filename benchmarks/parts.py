"""What it costs one process to compute a step's batch in parts, as several processes do.

    python benchmarks/parts.py

Processor time, of batches in memory; the numbers of parts take turns, and each one's median counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import replace
from typing import Any

from lightning.pytorch.callbacks import Callback
from loop import InMemory

from brainfm.learning.loop import fit
from brainfm.learning.train import Train
from brainfm.stages.catalog import configs
from brainfm.stages.model import load_model


class Clock(Callback):
    """Looks at the processor's time after each step."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Look."""
        self.stamps.append(time.process_time())


def main() -> None:
    """Print milliseconds a step for each number of parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", nargs="+", default=["femba-tiny", "patch-transformer"])
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    train = Train(steps=6, batch_size=given.batch, accelerator="cpu", loggers=())
    for name in given.models:
        model = load_model(configs() / "models" / f"{name}.yaml")
        batches = InMemory(model.window.silence(), given.batch)
        taken: dict[int, list[float]] = {parts: [] for parts in given.parts}
        for parts in given.parts * (1 + given.turns):
            clock = Clock()
            options = replace(train, parts=parts)
            fit(model.build(0), batches, train=options, seed=0, callbacks=(clock,))
            taken[parts].append((clock.stamps[-1] - clock.stamps[1]) / (train.steps - 2))
        for parts, seconds in taken.items():
            told = 1e3 * statistics.median(seconds[1:])
            print(
                f"{name}, {given.batch} windows in {parts} parts: {told:.0f} ms a step", flush=True
            )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
