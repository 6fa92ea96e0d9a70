"""Time a training step of FEMBA-tiny, and of the same model over mambapy's parallel scan.

    python benchmarks/femba.py --batch 8

mambapy takes part where it can be imported (``pip install mambapy``).
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.util import find_spec
from unittest.mock import patch

import scan as scans
import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from brainfm.contracts import Objective
from brainfm.layers import mamba
from brainfm.learning.train import Train
from brainfm.stages.catalog import configs
from brainfm.stages.model import load_model


def over_mambapy(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, **more: Tensor
) -> Tensor:
    """Scan as `selective_scan` does, with mambapy inside."""
    step = softplus(delta + more["delta_bias"].unsqueeze(-1))
    y = scans.mambapy(u, step, A, B, C) + more["D"].unsqueeze(-1) * u
    return y * silu(more["z"])


def seconds_a_step(objective: Objective, batch: object, steps: int = 4) -> float:
    """Return the fastest of some training steps, after one that compiles."""
    optimizer, taken = Train().optimizer(objective), []
    for seed in range(steps + 1):
        start = time.perf_counter()
        loss = objective(batch, torch.Generator().manual_seed(seed))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def main() -> None:
    """Print seconds a step and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    n = parser.parse_args().batch
    model = load_model(configs() / "models" / "femba-tiny.yaml")
    window = model.window.silence()
    many = {k: v.repeat(n, 1, 1) for k, v in vars(window).items() if k in ("signal", "position")}
    many |= {k: v.repeat(n, 1) for k, v in vars(window).items() if k in ("kind", "mask")}
    batch = type(window)(**vars(window) | many)
    batch.signal.normal_(std=1e-5)
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {n} windows a step")
    found = {}
    for path in ("numba", "torch"):
        objective = model.build(0)
        for layer in objective.modules():
            if isinstance(layer, mamba.Mamba):
                layer.scan = path
        found[path] = seconds_a_step(objective, batch)
    if find_spec("mambapy"):
        with patch.object(mamba, "selective_scan", over_mambapy):
            found["mambapy"] = seconds_a_step(model.build(0), batch)
    for name, seconds in found.items():
        print(f"{name:8} {seconds:7.3f} s a step  {seconds / found['numba']:5.2f} × numba")


if __name__ == "__main__":
    main()
