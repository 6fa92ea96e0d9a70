"""The whole path on recordings with a known answer, through the commands a user types."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from brainfm.cli import main
from brainfm.evaluation.report.standings import standing_of
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.weights import load_card

# With few in the test five estimators cannot beat chance.
SUBJECTS = [f"{i:02d}" for i in range(12)]
RECIPE = {"name": "synthetic", "pattern": r"Subject(?P<subject>\d+)_(?P<run>\d)\.edf$"}
TOKENIZER = {
    "class_path": "MotifTokenizer",
    "init_args": {"n_codes": 32, "frequency_depth": 1, "temporal_depth": 1, "decoder_depth": 1},
}
TRAIN = {
    "steps": 6,
    "batch_size": 4,
    "warmup": 2,
    "validate_every": 3,
    "log_every": 3,
    "checkpoint_every": 3,
    "accelerator": "cpu",
}


def run(folder: Path, verb: str, *arguments: str, config: dict[str, object] | None = None) -> None:
    """Call a verb as from a shell, with a configuration file where one is given."""
    more = []
    if config is not None:
        path = folder / f"{verb}.yaml"
        path.write_text(yaml.safe_dump(config))
        more = ["--config", str(path)]
    assert main([verb, *more, *arguments]) == 0


def bring_in(folder: Path, amplitude: float) -> Path:
    """Write EDF files and ingest them."""
    for recording in synthesise(len(SUBJECTS), seconds=16.0, amplitude=amplitude, seed=1):
        write_edf(recording, folder / "raw")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    store = folder / "store.zarr"
    run(folder, "ingest", str(folder / "raw"), f"--store={store}", f"--recipe={folder}/recipe.yaml")
    return store


def task(store: Path) -> dict[str, object]:
    labels = {"column": "run", "classes": {"1": "rhythm", "2": "none"}}
    return {
        "name": "planted",
        "store": str(store),
        "label": {"class_path": "RecordingLabels", "init_args": labels},
        "seconds": 4.0,
        "metrics": ["auroc", "balanced_accuracy"],
    }


def train(folder: Path, store: Path, *, exclude: list[str]) -> None:
    """Train a tokenizer, tokenize, and train a backbone on the tokens."""
    data = {"store": str(store), "seconds": 4.0, "validation": 0.3, "exclude_subjects": exclude}
    common = {"data": data, "train": TRAIN}
    first = {"tokenizer": TOKENIZER, "objective": "MotifReconstruction"}
    run(folder, "pretrain", f"--out={folder}/tokenizer", config=common | {"model": first})
    run(
        folder,
        "tokenize",
        str(store),
        f"--checkpoint={folder}/tokenizer",
        f"--tokens={folder}/tokens.zarr",
    )
    second = {
        "tokenizer": {"class_path": "Frozen", "init_args": {"tokenizer": TOKENIZER}},
        "backbone": {
            "class_path": "MotifEncoder",
            "init_args": {"vocabulary": 32, "n_channels": 19, "depth": 1},
        },
        "objective": "MaskedCodes",
    }
    more = [f"--tokenizer={folder}/tokenizer", f"--out={folder}/pretrain"]
    run(folder, "pretrain", *more, config=common | {"model": second})


def evaluate(folder: Path, store: Path, estimators: dict[str, object], **more: object) -> None:
    config = {
        "task": task(store),
        "estimators": estimators,
        "folds": {"folds": 3, "validation": 0.3},
        "seeds": [0],
        "out": str(folder / "bench"),
    }
    run(folder, "evaluate", config=config | more)


def found(folder: Path) -> set[str]:
    """Return who is above chance by the report's rule."""
    table = pd.read_csv(folder / "bench" / "statistics.csv")
    rows = table[table["metric"] == "auroc"].to_dict("records")
    assert all(row["complete"] for row in rows)
    return {s.estimator for s in (standing_of(row, {}) for row in rows) if s.above_chance}


CLASSICAL = {
    "tangent space": {"class_path": "brainfm.baselines.tangent_space_lr"},
    "band power": {"class_path": "brainfm.baselines.log_bandpower_lda"},
}


def test_a_planted_rhythm_is_found_on_the_whole_path(tmp_path: Path) -> None:
    store = bring_in(tmp_path, amplitude=1e-5)
    tested = SUBJECTS[2:]
    train(tmp_path, store, exclude=tested)
    assert load_card(tmp_path / "pretrain")["data"]["subjects"] == SUBJECTS[:2]
    run(
        tmp_path,
        "finetune",
        f"--checkpoint={tmp_path}/pretrain",
        f"--out={tmp_path}/finetune",
        config={
            "task": task(store),
            "split": {"validation": 0.3, "exclude_subjects": tested},
            "train": TRAIN,
        },
    )
    assert load_card(tmp_path / "finetune")["labels"] == ["none", "rhythm"]
    assert load_card(tmp_path / "finetune")["data"]["subjects"] == SUBJECTS[:2]
    checkpoint = {"checkpoint": str(tmp_path / "pretrain")}
    models = {
        "random": {"class_path": "brainfm.learning.Untrained", "init_args": checkpoint},
        "probe": {"class_path": "brainfm.learning.Finetuned", "init_args": checkpoint},
        "full": {
            "class_path": "brainfm.learning.Finetuned",
            "init_args": checkpoint | {"adaptation": "full", "train": TRAIN},
        },
    }
    places = {"store": "store.zarr", "tokens": "tokens.zarr"}
    places |= {name: name for name in ("tokenizer", "pretrain", "finetune")}
    evaluate(
        tmp_path,
        store,
        CLASSICAL | models,
        folds={"folds": 3, "validation": 0.3, "test_subjects": tested},
        reference="tangent space",
        journey={name: str(tmp_path / place) for name, place in places.items()},
    )
    results = pd.read_csv(tmp_path / "bench" / "results.csv")
    assert set(results["estimator"]) == {*CLASSICAL, *models}
    assert results["value"].notna().all()
    assert len(results) == 5 * 3 * 2  # estimators, folds, metrics
    assert set(CLASSICAL) <= found(tmp_path)
    assert set(results["overlap"]) == {"clean"}  # nobody is tested whom pretraining saw
    report = (tmp_path / "bench" / "report.html").read_text()
    assert "tangent space" in report
    assert not re.search(r"""(src=|<link[^>]*href=)["']?https?://""", report)  # nothing is fetched
    tokens = json.loads((tmp_path / "tokens.zarr" / "zarr.json").read_text())["attributes"]
    assert tokens["used"] + tokens["dead"] == tokens["vocabulary"] == 32


@pytest.mark.parametrize("how", ["no rhythm", "shuffled labels"])
def test_nothing_is_found_where_there_is_nothing(tmp_path: Path, how: str) -> None:
    store = bring_in(tmp_path, amplitude=0.0 if how == "no rhythm" else 1e-5)
    if how == "shuffled labels":
        shuffle_runs(store)
    evaluate(tmp_path, store, CLASSICAL)
    assert found(tmp_path) == set()
    report = (tmp_path / "bench" / "report.html").read_text()
    assert "No estimator is distinguishable from chance" in report


def shuffle_runs(store: Path) -> None:
    """Swap the names of the runs of every second subject, so that they mean nothing."""
    from brainfm.store.hold import write_table

    for path in store.glob("recordings/*/zarr.json"):
        stored = json.loads(path.read_text())
        attributes = stored["attributes"]
        if int(attributes["subject"]) % 2:
            attributes["run"] = {"1": "2", "2": "1"}[attributes["run"]]
            path.write_text(json.dumps(stored))
    write_table(store)
