"""How fast the families train at their base size on this machine's device.

    python benchmarks/device.py

Each trains for some steps with `brainfm pretrain`, in bfloat16, on the sample in this repository. Printed are
medians of metrics.csv after the first rows: windows a second, the share of the device's peak (MFU), the share
of the time that was waited for data, and memory. On a processor
`--models tfm --batch 2 --steps 8` shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import torch

from brainfm.cli import main as brainfm
from sample import ROOT, ingest_sample

MODELS = ROOT / "configs" / "models"
RUNS = {
    # FEMBA-base on 20 derivations for 5.12 s: the sample has no ear electrodes, and 200 Hz
    "femba": [
        f"--config={ROOT / 'configs/runs/femba-sample-pretrain.yaml'}",
        "--model.backbone.init_args.depth=12",
    ],
    "eegdm": [f"--model={MODELS / 'eegdm.yaml'}"],
    "tfm": [f"--model={MODELS / 'tfm.yaml'}"],
    "tfm-encoder": [f"--model={MODELS / 'tfm-encoder.yaml'}"],
    "patch-transformer": [f"--model={MODELS / 'patch-transformer.yaml'}"],
}


def train(folder: Path, name: str, given: argparse.Namespace) -> pd.Series:
    """Train and return the medians over all rows but the first two."""
    more = {
        "out": folder / name,
        "data.store": folder / "store.zarr",
        "train.steps": given.steps,
        "train.batch_size": given.batch,
        "train.log_every": max(1, given.steps // 8),
        "train.validate_every": 0,
        "train.checkpoint_every": 10**9,
        "train.accelerator": given.accelerator,
        "train.precision": given.precision,
        "train.workers": given.workers,
        "train.loggers": "[]",
    }
    if name == "tfm-encoder":
        more["tokenizer"] = folder / "tfm"
        more["model.backbone.init_args.n_channels"] = 20
    command = ["pretrain", *RUNS[name], *(f"--{key}={value}" for key, value in more.items())]
    with redirect_stdout(StringIO()):
        if brainfm(command):
            raise SystemExit(f"the training of {name} failed")
    row = pd.read_csv(folder / name / "metrics.csv").iloc[2:].median()
    row["parameters"] = json.loads((folder / name / "manifest.json").read_text())["parameters"]
    return row


def main() -> None:
    """Print a row for each family."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--batch", type=int, default=64, help="windows a step")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu or auto")
    parser.add_argument("--precision", default="bf16-mixed")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    given = parser.parse_args()
    if given.steps < 3:
        parser.error("--steps: the first two are not counted; give three or more")
    if "tfm-encoder" in given.models and "tfm" not in given.models:
        parser.error("tfm-encoder takes the tokenizer of tfm: name both")
    on = torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"
    print(
        f"{on}, {torch.get_num_threads()} threads, {given.precision}, {given.batch} windows a step"
    )
    print("| family | parameters | windows/s | hours/s | MFU | data wait | memory |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ingest_sample(folder / "store.zarr")
        for name in given.models:
            row = train(folder, name, given)
            mfu = f"{row['mfu']:.1%}" if "mfu" in row else "peak not known"
            print(
                f"| {name} | {row['parameters']:,.0f} | {row['windows_per_second']:.3g} | "
                f"{row['hours_per_second']:.2g} | {mfu} | {row['data_wait']:.1%} | "
                f"{row['memory_gb']:.2g} GB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
