"""Whether two processes learn what one learns, and how fast.

    python benchmarks/processes.py

FEMBA-tiny on the sample in this repository (configs/runs/femba-sample-pretrain.yaml), with the same parts of
the same batches: in one process, and in two that torchrun starts over gloo. Printed is how far their losses
lie apart at most, relative to the loss, and the windows a second of both; with fewer free cores than
processes two are no faster.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from sample import ROOT, ingest_sample


def train(folder: Path, n: int, steps: int, batch: int) -> pd.DataFrame:
    """Train in ``n`` processes of one thread each and return metrics.csv."""
    out = folder / f"{n}"
    more = {
        "out": out,
        "data.store": folder / "store.zarr",
        "train.steps": steps,
        "train.batch_size": batch,
        "train.parts": 2,
        "train.log_every": 1,
        "train.validate_every": 0,
        "train.accelerator": "cpu",
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    command = ["pretrain", "--config", str(ROOT / "configs/runs/femba-sample-pretrain.yaml")]
    command += [f"--{name}={value}" for name, value in more.items()]
    subprocess.run(
        [sys.executable, *(launcher if n > 1 else []), "-m", "brainfm", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return pd.read_csv(out / "metrics.csv")


def main() -> None:
    """Print the largest difference of the losses and both speeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    given = parser.parse_args()
    if given.steps < 3:
        parser.error("--steps: the first two are not counted; give three or more")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ingest_sample(folder / "store.zarr")
        one, two = (train(folder, n, given.steps, given.batch) for n in (1, 2))
    apart = np.abs(two["loss"] / one["loss"] - 1).max()
    speeds = [table["windows_per_second"].iloc[2:].median() for table in (one, two)]
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {given.steps} steps")
    print(f"losses at most {apart:.1e} apart, relative")
    print(f"windows/s: {speeds[0]:.2f} in one process, {speeds[1]:.2f} in two")


if __name__ == "__main__":
    main()
