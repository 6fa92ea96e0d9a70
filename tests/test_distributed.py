"""Several processes train as one: they compute the same parts, and each window counts once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, windows
from test_learning import Noise
from test_pipeline import RECIPE, TOKENIZER
from test_resume import FAMILIES, SHORT

from brainfm.cli import main
from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.learning.processes import Process
from brainfm.learning.shares import TrainingShare, ValidationShare, choose_parts, every
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.tokenizers.quantizer import Quantizer
from brainfm.weights import load


def names(batches: list[Batch]) -> list[str]:
    return [name for batch in batches for name in batch.recording]


class Named(Noise):
    """Batches whose windows know step and row."""

    def __init__(self, size: int, count: int = 10):
        super().__init__((size,) * count)

    def __getitem__(self, index: int) -> Batch:
        batch = super().__getitem__(index)
        rows = tuple(f"{index}/{row}" for row in range(len(batch.signal)))
        return type(batch)(**vars(batch) | {"recording": rows})


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (1, 4), (2, 2), (2, 4), (3, 6), (4, 12)])
def test_every_window_of_a_step_is_computed_once_by_one_process(size: int, parts: int) -> None:
    batches = Named(12)
    shares = [TrainingShare(batches, parts, Process(rank, size)) for rank in range(size)]
    for step in range(3):
        seen = [name for share in shares for name in names(share[step])]
        assert sorted(seen) == sorted(batches[step].recording)
        assert {len(b.signal) for share in shares for b in share[step]} == {12 // parts}


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 4), (5, 2), (6, 3), (7, 4)])
def test_every_validation_batch_is_counted_once(count: int, size: int) -> None:
    shares = [ValidationShare(Named(2, count), Process(rank, size)) for rank in range(size)]
    assert len({len(share) for share in shares}) == 1  # nobody waits for anybody
    seen = [name for share in shares for i in range(len(share)) for name in names(share[i])]
    assert sorted(seen) == sorted(f"{i}/{row}" for i in range(count) for row in range(2))


def test_a_share_holds_the_rows_of_the_batch() -> None:
    batch = windows(6)
    part = every(batch, 1, 3)
    assert part.recording == ("recording 1", "recording 4")
    assert np.array_equal(part.signal, batch.signal[[1, 4]])
    assert part.sfreq == batch.sfreq


@pytest.mark.parametrize(("parts", "batch", "size"), [(3, 12, 2), (None, 9, 2), (8, 12, 4)])
def test_what_cannot_be_shared_evenly_is_refused(parts: int | None, batch: int, size: int) -> None:
    with pytest.raises(UsageError, match="cannot be shared evenly"):
        choose_parts(parts, batch, size)


# ------------------------------------------------------------------ real processes, over gloo

TRAINED = SHORT | {"steps": 8, "batch_size": 8, "log_every": 1, "validate_every": 4, "parts": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    for recording in synthesise(4, seconds=13.0, seed=1):
        write_edf(recording, folder / "raw")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    raw, store = str(folder / "raw"), f"--store={folder / 'store.zarr'}"
    assert main(["ingest", raw, store, f"--recipe={folder}/recipe.yaml"]) == 0
    return folder


def command(folder: Path, family: str, name: str, *more: str) -> list[str]:
    data = {"store": str(folder / "store.zarr"), "seconds": 2.0, "validation": 0.25}
    config = {"model": FAMILIES[family], "data": data, "train": TRAINED, "seed": 3}
    path = folder / f"{family}.yaml"
    path.write_text(yaml.safe_dump(config))
    return ["pretrain", "--config", str(path), f"--out={folder / name}", *more]


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | plain | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def torchrun(n: int, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    return start(*launcher, "-m", "brainfm", *arguments)


def assert_same_curves(first: Path, other: Path) -> None:
    ours, theirs = (pd.read_csv(folder / "metrics.csv") for folder in (first, other))
    assert ours["step"].tolist() == theirs["step"].tolist()
    for name in ("loss", "grad_norm", "val/loss"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, err_msg=name)
    one, two = (load(folder)[0].state_dict() for folder in (first, other))
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("family", ["FEMBA", "EEGDM"])
def test_two_processes_learn_what_one_learns(place: Path, family: str) -> None:
    assert main(command(place, family, f"one {family}")) == 0
    done = torchrun(2, command(place, family, f"two {family}"))
    assert done.returncode == 0, done.stderr
    assert_same_curves(place / f"one {family}", place / f"two {family}")


def test_a_codebook_follows_the_data_of_all_processes(place: Path) -> None:
    """Lightning starts the second process; both write one run, and the codebook is one."""
    more = ("--train.devices=2", "--train.parts=2")
    done = start("-m", "brainfm", *command(place, "motif tokenizer", "book", *more))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parameters trained") == 1
    assert {p.name for p in (place / "book").iterdir()} == {
        *("config.yaml", "last.ckpt", "manifest.json", "metrics.csv", "model", "tensorboard")
    }
    assert TOKENIZER["init_args"]["n_codes"] == load(place / "book")[0].tokenizer.n_codes


def test_what_a_codebook_averages_is_summed_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the other process has seen the same data: every sum is twice this one's."""
    books = []
    for twice in (False, True):
        torch.manual_seed(0)
        quantizer = Quantizer(4, 8).train()
        if twice:
            monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: total.mul_(2))
            quantizer.synchronise()
        quantizer(torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1)))
        books.append(quantizer.vq._codebook.cluster_size.clone())
    torch.testing.assert_close(books[1], 2 * books[0])
    assert books[0].sum() > 0


def test_a_run_goes_on_with_another_number_of_processes(place: Path) -> None:
    """Killed with two processes, it goes on with one, at the next step's windows, as if nothing."""
    assert main(command(place, "FEMBA", "whole")) == 0
    stop = "import brainfm.learning.loop as l, os, sys\n"
    stop += "plain = l.Loop.training_step\n"
    stop += "def step(self, *a):\n    if self.global_step == 5: os.kill(os.getpid(), 9)\n"
    stop += "    return plain(self, *a)\n"
    stop += "l.Loop.training_step = step\nfrom brainfm.cli import main\nsys.exit(main())\n"
    (place / "stop.py").write_text(stop)
    arguments = command(place, "FEMBA", "changed")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = start(*launcher, str(place / "stop.py"), *arguments)
    assert done.returncode != 0
    assert (place / "changed" / "last.ckpt").exists()
    assert main([*arguments, "--train.devices=1"]) == 0
    assert_same_curves(place / "whole", place / "changed")
