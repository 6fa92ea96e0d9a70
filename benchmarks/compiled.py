"""A training step with compiled blocks beside the same step without (`train.compile`).

    python benchmarks/compiled.py [MODEL…]

Of each named model at its own window, in our loop, on noise; the first step, in which the compiler works, is
not counted. That both compute the same is a test (tests/test_blocks.py).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from brainfm.learning.cost import measure
from brainfm.learning.train import Train
from brainfm.stages.catalog import configs
from brainfm.stages.model import load_model
from brainfm.stages.workload import noise

MODELS = ("femba-tiny", "eegdm", "tfm-encoder", "patch-transformer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--windows", type=int, default=4, help="computed at once, two or more")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--accelerator", default="cpu", help="cpu, gpu or auto")
    given = parser.parse_args()
    if given.windows < 2:
        parser.error("--windows: a cost is told apart by half of them; give two or more")
    train = Train(accelerator=given.accelerator)
    print(f"{torch.get_num_threads()} threads, {given.windows} windows")
    print(f"{'seconds a window':24} {'plain':>8} {'compiled':>9} {'is':>7}")
    for name in given.models:
        model = load_model(configs() / "models" / f"{name}.yaml")
        batch = noise(model.window, given.windows)
        plain, compiled = (
            measure(model.build(0), batch, replace(train, compile=c), given.steps).seconds
            for c in (False, True)
        )
        print(f"{name:24} {plain:8.3f} {compiled:9.3f} {plain / compiled:6.2f}×", flush=True)


if __name__ == "__main__":
    main()
