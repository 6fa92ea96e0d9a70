"""Trains each family with and without compiled blocks, and prints the losses; a program of its own.

The tests' checks of types at run time are no code that torch.compile can read.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from conftest import windows
from torch._dynamo.utils import counters
from torch.utils.data import Dataset

from brainfm.backbones import BiMamba, PatchTransformer, StateSpaceDenoiser
from brainfm.contracts import Batch, Objective
from brainfm.learning.loop import fit
from brainfm.learning.train import Train
from brainfm.objectives import Diffusion, MaskedRectangles, Reconstruction
from brainfm.tokenizers import MontagePatches, MuLawPatches, Patches

TRAIN = Train(
    steps=3, batch_size=2, warmup=1, validate_every=0, log_every=1, accelerator="cpu", loggers=()
)


def femba() -> Objective:
    tokenizer = MontagePatches(4)
    return MaskedRectangles(tokenizer, BiMamba(tokenizer.dim, depth=1, d_state=4, expand=1))


def eegdm() -> Objective:
    backbone = StateSpaceDenoiser(
        200, width=16, depth=1, state=8, condition=16, code=8, n_channels=22
    )
    return Diffusion(MuLawPatches(), backbone)


def patches() -> Objective:
    return Reconstruction(Patches(16), PatchTransformer(16, depth=1, heads=2))


FAMILIES = {"femba": (femba, 256.0), "eegdm": (eegdm, 200.0), "patches": (patches, 200.0)}


class Noise(Dataset):
    """Item n is noise drawn from n, 5 s of 22 channels."""

    def __init__(self, sfreq: float):
        self.sfreq = sfreq

    def __getitem__(self, index: int) -> Batch:
        n_times = round(5 * self.sfreq)
        return windows(2, n_channels=22, n_times=n_times, sfreq=self.sfreq, seed=index)


def losses(name: str, compile: bool) -> list[float]:
    """Return the loss of each step."""
    make, sfreq = FAMILIES[name]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train = replace(TRAIN, compile=compile)
        fit(make(), Noise(sfreq), train=train, seed=0, out=Path(folder))
        return pd.read_csv(Path(folder) / "metrics.csv")["loss"].tolist()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or FAMILIES:
        before = counters["stats"]["unique_graphs"]
        both = {"plain": losses(name, False), "compiled": losses(name, True)}
        graphs = counters["stats"]["unique_graphs"] - before
        print(json.dumps({"family": name, "compiled_graphs": graphs} | both))
