"""The evaluations that are shipped for the sample beside the quickstart's, end to end on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import mean_absolute_error
from test_finetuned import checkpoint

from brainfm.cli import main
from brainfm.store.read import open_store

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "configs" / "runs"
CHANNELS = (
    '["Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2"]'  # as many as the small checkpoint knows
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with the sample's recordings and a checkpoint for them."""
    root = tmp_path_factory.mktemp("sample")
    store = root / "store.zarr"
    assert (
        main(
            ["ingest", str(ROOT / "sample" / "eegmat"), "--recipe", "eegmat", "--store", str(store)]
        )
        == 0
    )
    preprocessing = {"preprocessing_hash": open_store(store).attributes["preprocessing_hash"]}
    checkpoint(root / "backbone", **preprocessing)
    checkpoint(root / "slow", **preprocessing, sfreq=100.0)
    return root


def call(made: Path, name: str, out: Path) -> list[str]:
    """Return the command that runs a shipped evaluation, in small."""
    config = yaml.safe_load((RUNS / f"{name}.yaml").read_text())
    config["task"] = str(RUNS / config["task"])
    for estimator in config["estimators"].values():
        options = estimator.get("init_args", {})
        if "checkpoint" in options:
            options["checkpoint"] = str(made / "backbone")
        if "train" in options:
            options["train"] |= {"steps": 2, "warmup": 1, "validate_every": 1}
    path = out.parent / "bench.yaml"
    path.write_text(yaml.safe_dump(config))
    return [
        "evaluate", "--config", str(path), "--task.store", str(made / "store.zarr"),
        "--task.channels", CHANNELS, "--out", str(out), "--folds.folds", "2", "--seeds", "[0]",
    ]  # fmt: skip


def test_a_number_is_predicted_of_real_recordings(made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)  # the task's table is named from the root
    out = tmp_path / "age"
    command = call(made, "quickstart-age-evaluate", out)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "neg_mean_absolute_error with 95 % intervals" in said
    predictions = pd.read_csv(out / "predictions.csv", dtype={"subject": str})
    ages = pd.read_csv(ROOT / "sample" / "eegmat" / "subject-info.csv").set_index("Subject")["Age"]
    assert set(predictions["recording"].str.contains("run-1")) == {True}
    for subject, mine in predictions.groupby("subject"):
        assert set(mine["y_true"]) == {ages[f"Subject{subject}"]}
    results = pd.read_csv(out / "results.csv")
    assert len(results) == 4 * 2 * 3
    dummy = predictions.query("estimator.str.startswith('mean') and fold == 0")
    value = results.query("estimator.str.startswith('mean') and fold == 0")["value"].iloc[0]
    assert value == pytest.approx(-mean_absolute_error(dummy["y_true"], dummy["y_pred"]))
    page = (out / "report.html").read_text()
    assert "Predicted and true" in page
    assert "What is taken for what" not in page
    before = (out / "statistics.csv").read_bytes()
    assert main(command) == 0
    assert (out / "statistics.csv").read_bytes() == before


def test_finetune_fits_a_number_and_keeps_what_its_output_means(made, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "age"
    command = [
        "finetune", "--task", "eegmat-age", "--task.store", str(made / "store.zarr"),
        "--task.channels", CHANNELS, "--checkpoint", str(made / "backbone"), "--out", str(out),
        "--adaptation", "full", "--train.steps", "2", "--train.warmup", "1", "--train.accelerator", "cpu",
    ]  # fmt: skip
    assert main(command) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["validation"]) == {"neg_mean_absolute_error", "pearson_r", "r2"}
    assert manifest["labels"] == []
    card = json.loads((out / "model" / "config.json").read_text())
    assert 16 < card["target"]["mean"] < 21
    assert (out / "metrics.csv").exists()


def by_column(column: str, **classes: str) -> dict[str, object]:
    init = {"column": column, "classes": {k.strip("_"): v for k, v in classes.items()}}
    return {"class_path": "RecordingLabels", "init_args": init}


STATES = by_column("run", _1="rest", _2="arithmetic")
WRONG = {
    "another rate": ({"checkpoint": "slow"}, STATES, "trained at 100 Hz, not 200 Hz"),
    "labels that the store lacks": ({}, by_column("run", _8="rest", _9="work"), "None of the 16 rec"),
    "a class that the store lacks": ({}, by_column("run", _1="rest", _9="work"), "class ['work']"),
    "a class that training lacks": (
        {}, by_column("subject", _00="a", _01="b"), "have no window of ['",
    ),
    "validation of one class": (
        {}, by_column("subject", _00="a", _01="b", _02="b", _03="a", _04="b", _05="b"), "alone; give",
    ),
    "a head for other channels": (
        {"head": {"class_path": "StampHead", "init_args": {"n_channels": 19, "n_steps": 5}}}, STATES,
        "built for one token for each of 19 channels",
    ),
    "a head without its size": ({"head": "StampHead"}, STATES, "n_channels"),
    "a head that ridge cannot fit": (
        {"head": "AttentionPooling", "adaptation": "ridge"}, STATES, "fits a LinearHead",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_fine_tuning_ends_with_one_sentence_before_the_training(
    made, wrong, tmp_path, capsys
):
    more, label, said = WRONG[wrong]
    task = {"name": "wrong", "store": str(made / "store.zarr"), "label": label, "seconds": 5,
            "channels": yaml.safe_load(CHANNELS)}  # fmt: skip
    config = {"task": task, "checkpoint": "backbone", "out": str(tmp_path / "out")} | more
    config["checkpoint"] = str(made / config["checkpoint"])
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    assert main(["finetune", "--config", str(tmp_path / "run.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_every_adaptation_is_a_row_beside_a_baseline(made, tmp_path):
    pytest.importorskip("peft", reason="peft is not installed")
    out = tmp_path / "adaptations"
    assert main(call(made, "quickstart-adaptations-evaluate", out)) == 0
    results = pd.read_csv(out / "results.csv")
    assert results["error"].isna().all()
    assert np.isfinite(results["value"]).all()
    assert results["fits"].eq(6).all()
    trained = results.groupby("estimator")["trained_parameters"].max()
    names = ("probe", "ridge", "LoRA", "full fine-tuning")
    probe, ridge, lora, full = (trained[f"pretrained backbone, {name}"] for name in names)
    assert probe == ridge < lora < full
    statistics = pd.read_csv(out / "statistics.csv")
    assert statistics["complete"].all()
    assert "pretrained backbone, LoRA" in (out / "report.html").read_text()
