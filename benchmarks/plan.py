"""Whether a training goes as fast, and takes as much memory, as `brainfm plan` says.

    python benchmarks/plan.py

FEMBA-tiny on the sample in this repository (configs/runs/femba-sample-pretrain.yaml), planned and trained in
turns with the same options. Memory is compared by what more windows at once take, so that the libraries' own
part, of which a plan knows nothing, falls out; validations by their own time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from brainfm.cli import main as brainfm
from brainfm.learning.loop import Loop
from brainfm.stages.plan import Plan, draw_up
from brainfm.stages.workload import Corpus
from sample import ROOT, ingest_sample

CONFIG = ROOT / "configs/runs/femba-sample-pretrain.yaml"


def planned(store: Path, options: list[str]) -> Plan:
    """Return what is planned."""
    from jsonargparse import ArgumentParser

    from brainfm.stages.pretrain import pretrain

    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(pretrain, as_positional=False, sub_configs=True)
    parser.add_argument("--config", action="config")
    given = parser.instantiate(parser.parse_args([f"--config={CONFIG}", *options]))
    return draw_up(
        given.model,
        given.data,
        tokenizer=None,
        train=given.train,
        seed=given.seed,
        corpus=Corpus(),
    )


def trained(options: list[str], out: Path) -> pd.Series:
    """Train in a process of its own and return the medians after the first row, and the most memory."""
    command = [sys.executable, "-m", "brainfm", "pretrain", f"--config={CONFIG}", *options]
    subprocess.run([*command, f"--out={out}"], check=True, stdout=subprocess.DEVNULL)
    table = pd.read_csv(out / "metrics.csv").iloc[1:]
    row = table.median()
    row["memory_gb"] = table["memory_gb"].max()
    return row


def validated(options: list[str], out: Path) -> float:
    """Train in this process and return the seconds of all validations."""
    stamps = []

    def timed(plain: Callable[[Loop], None]) -> Callable[[Loop], None]:
        return lambda loop: stamps.append(time.perf_counter()) or plain(loop)

    ends = {
        name: getattr(Loop, name) for name in ("on_validation_epoch_start", "on_validation_end")
    }
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(StringIO()))
        for name, plain in ends.items():
            stack.enter_context(patch.object(Loop, name, timed(plain)))
        if brainfm(["pretrain", f"--config={CONFIG}", *options, f"--out={out}"]):
            raise SystemExit("the training failed")
    return sum(stamps[1::2]) - sum(stamps[::2])


def main() -> None:
    """Print planned beside reached, for two sizes of a batch."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--batches", type=int, nargs=2, default=(4, 24), help="windows a step")
    parser.add_argument("--precision", default="32-true")
    given = parser.parse_args()
    if given.steps < 6:
        parser.error("--steps: the first three are not counted; give six or more")
    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), []
        ingest_sample(folder / "store.zarr")
        for batch in given.batches:
            more = {
                "data.store": folder / "store.zarr",
                "train.steps": given.steps,
                "train.batch_size": batch,
                "train.precision": given.precision,
                "train.log_every": 3,
                "train.validate_every": 0,
            }
            options = [f"--{key}={value}" for key, value in more.items()]
            plan, run = (
                planned(folder / "store.zarr", options),
                trained(options, folder / str(batch)),
            )
            rows.append((plan, run))
            rate, reached = plan.rate, run["windows_per_second"]
            print(
                f"{batch} windows a step: planned {rate:.2f} windows/s, trained {reached:.2f} "
                f"({reached / rate:.2f} ×)",
                flush=True,
            )
        often = [*options, "--train.validate_every=3"]
        validating = planned(folder / "store.zarr", often)
        took = validated(often, folder / "validating")
    (few, run_few), (many, run_many) = rows
    expected, found = (many.memory - few.memory) / 1e9, run_many["memory_gb"] - run_few["memory_gb"]
    ratio = f" ({found / expected:.2f} ×)" if expected else ""
    print(
        f"memory of {given.batches[1] - given.batches[0]} windows more: planned {expected:.2f} GB, "
        f"trained {found:.2f} GB{ratio}"
    )
    print(
        f"{validating.validations} validations of {validating.validated} windows: planned "
        f"{validating.validating:.1f} s, took {took:.1f} s ({took / validating.validating:.2f} ×); "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
