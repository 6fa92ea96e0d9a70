"""How long FEMBA-tiny waits for windows from the compressed store.

    python benchmarks/wait.py

The store is made of the sample in this repository; windows are 5.12 s of 20 bipolar channels, derived as they
are read (configs/runs/femba-sample-pretrain.yaml). Printed is the column ``data_wait`` of metrics.csv, with
the batch of the next step read by a thread while a step computes, and without.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import torch

from brainfm.cli import main as brainfm
from sample import ROOT, ingest_sample


def measure(folder: Path, ahead: int, steps: int, batch: int) -> pd.Series:
    """Train and return the means over all rows but the first."""
    out = folder / f"ahead-{ahead}"
    command = ["pretrain", "--config", str(ROOT / "configs/runs/femba-sample-pretrain.yaml")]
    more = {
        "out": out,
        "data.store": folder / "store.zarr",
        "train.steps": steps,
        "train.batch_size": batch,
        "train.log_every": 5,
        "train.validate_every": 0,
        "train.ahead": ahead,
        "train.accelerator": "cpu",
    }
    with redirect_stdout(StringIO()):
        if brainfm(command + [f"--{name}={value}" for name, value in more.items()]):
            raise SystemExit("the training failed")
    return pd.read_csv(out / "metrics.csv").iloc[1:].mean()


def main() -> None:
    """Print the share of the time that data were waited for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8, help="windows a step")
    given = parser.parse_args()
    if given.steps < 6:
        parser.error("--steps: the first five are not counted; give six or more")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ingest_sample(folder / "store.zarr")
        print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
        print(f"{'read ahead':>10} {'data_wait':>10} {'windows/s':>10} {'hours/s':>8}")
        for ahead in (0, 2):
            row = measure(folder, ahead, given.steps, given.batch)
            print(
                f"{ahead:10} {row['data_wait']:10.2%} {row['windows_per_second']:10.1f} "
                f"{row['hours_per_second']:8.3f}"
            )


if __name__ == "__main__":
    main()
