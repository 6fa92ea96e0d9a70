"""A diffusion run leaves spectra of what it makes up, and the report shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from test_interchange import SIZES, store  # noqa: F401  (a fixture)

from brainfm.cli import main
from brainfm.evaluation.report.inputs import read_run
from brainfm.evaluation.report.made_up import describe_made_up
from brainfm.evaluation.report.training import describe_training


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("sampling")
    sizes = {k: SIZES[k] for k in ("MuLawPatches", "StateSpaceDenoiser")}
    sizes["StateSpaceDenoiser"] = sizes["StateSpaceDenoiser"] | {"steps": 10}
    model = {
        "tokenizer": {"class_path": "MuLawPatches", "init_args": sizes["MuLawPatches"]},
        "backbone": {"class_path": "StateSpaceDenoiser", "init_args": sizes["StateSpaceDenoiser"]},
        "objective": "Diffusion",
    }
    train = {"steps": 2, "batch_size": 2, "warmup": 1, "validate_every": 2, "accelerator": "cpu"}
    data = {"store": str(store), "seconds": 2.0, "validation": 0.5}
    config = {"model": model, "data": data, "train": train, "seed": 3}
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    call = ["pretrain", "--config", str(folder / "run.yaml"), "--out", str(folder / "out")]
    assert main(call) == 0
    return folder / "out"


def test_spectra_are_left_with_their_distance(run: Path):
    table = pd.read_csv(run / "generated.csv")
    assert list(table) == ["frequency", "real", "ddpm", "ddim"]
    assert table["frequency"].between(1, 75).all()
    assert (table.drop(columns="frequency") > 0).all().all()
    said = json.loads((run / "manifest.json").read_text())["generated"]
    assert said.keys() == {"ddpm", "ddim"}
    level = 10 * np.log10(table["ddim"] / table["real"])
    assert said["ddim"]["distance_db"] == pytest.approx(np.sqrt((level**2).mean()))
    assert 0 <= said["ddim"]["overlap"] <= 1


def test_the_report_shows_them(run: Path):
    training = describe_training(read_run("pretraining", run))
    assert training.made_up.drawing.count('class="line ') == 3
    assert training.made_up.curves[0].name == "real validation windows"
    assert "DDPM" in training.made_up.says
    assert "dB, shapes overlapping by" in training.made_up.says


def test_other_runs_show_none_and_damage_is_said(run: Path, tmp_path: Path):
    assert describe_made_up(read_run("pretraining", tmp_path)) is None
    (tmp_path / "generated.csv").write_bytes(b"\xff\xfe,")
    assert describe_made_up(read_run("pretraining", tmp_path)) is None
