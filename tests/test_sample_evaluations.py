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
    checkpoint(
        root / "backbone", preprocessing_hash=open_store(store).attributes["preprocessing_hash"]
    )
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
