"""A person under two names, from the recordings' files to the sentence about the leak."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pandas as pd
import pytest
import yaml

from brainfm.card import join_seen
from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.evaluation import RecordingLabels
from brainfm.evaluation.task import Task
from brainfm.store.read import open_store
from brainfm.weights import load_card
from brainfm.windows.people import is_copy, known_of, persons
from brainfm.windows.reader import Selection

LABELS = ("Fp1", "Fp2", "C3", "C4")
RECIPE = {"name": "lab", "pattern": r"(?P<subject>s\d)_(?P<run>\d)\.edf$"}
TRAIN = {"steps": 2, "batch_size": 2, "warmup": 1, "validate_every": 2, "accelerator": "cpu"}
SEEN = "has seen test recordings or subjects"


def call(folder: Path, verb: str, config: dict[str, Any]) -> int:
    """Call a verb as from a shell."""
    path = folder / f"{verb}.yaml"
    path.write_text(yaml.safe_dump(config))
    return main([verb, "--config", str(path)])


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Six subjects of three runs; s5 is s2, as the first run of both shows, and nobody says so."""
    root = tmp_path_factory.mktemp("lab")
    for subject in range(6):
        for run in (1, 2, 3):
            path = root / f"raw/s{subject}_{run}.edf"
            layouts.write_edf(path, LABELS, sfreq=160, seed=10 * subject + run)
    shutil.copy(root / "raw/s2_1.edf", root / "raw/s5_1.edf")
    (root / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    ingest = ["ingest", f"{root}/raw", "--recipe", f"{root}/recipe.yaml"]
    assert main([*ingest, "--store", f"{root}/lab.zarr"]) == 0
    return root


def task(lab: Path, **more: Any) -> dict[str, Any]:
    classes = {"column": "run", "classes": {"1": "rest", "2": "act"}}
    label = {"class_path": "brainfm.evaluation.RecordingLabels", "init_args": classes}
    return {"name": "lab", "store": f"{lab}/lab.zarr", "label": label, "seconds": 5} | more


def bench(lab: Path, out: Path, **more: Any) -> dict[str, Any]:
    mdm = {"class_path": "brainfm.baselines.mdm"}
    folds = {"folds": 2, "validation": 0}
    call = {"task": task(lab), "estimators": {"mdm": mdm}, "folds": folds, "seeds": [0]}
    return call | {"out": str(out)} | more


def pretrain(lab: Path, out: Path, **data: Any) -> None:
    model = {
        "tokenizer": {"class_path": "Patches", "init_args": {"dim": 16, "n_samples": 200}},
        "backbone": {"class_path": "PatchTransformer", "init_args": {"depth": 1, "heads": 2}},
        "objective": {
            "class_path": "MaskedSignal",
            "init_args": {"mask": {"class_path": "RandomMask", "init_args": {"ratio": 0.5}}},
        },
    }
    data = {"store": f"{lab}/lab.zarr", "seconds": 5.0, "validation": 0} | data
    run = {"model": model, "data": data, "train": TRAIN, "out": str(out)}
    assert call(lab, "pretrain", run) == 0


def foundation(folder: Path) -> dict[str, Any]:
    init = {"checkpoint": str(folder), "adaptation": "ridge"}
    return {"fm": {"class_path": "brainfm.learning.Finetuned", "init_args": init}}


def test_a_person_under_two_names_is_a_leak_until_the_task_says_who_it_is(lab, tmp_path, capsys):
    assert call(tmp_path, "evaluate", bench(lab, tmp_path / "out")) == 2
    said = capsys.readouterr().err
    assert "stands under the subjects lab s2 and lab s5" in said
    assert "one person, here s2 and s5" in said
    assert not (tmp_path / "out" / "results.csv").exists()
    one = bench(lab, tmp_path / "out", task=task(lab, people={"s5": "s2"}))
    assert call(tmp_path, "evaluate", one) == 0
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert not results["test_subjects"].str.contains("s5").any()


def test_a_copy_that_the_task_does_not_use_shows_who_is_who_all_the_same(lab, tmp_path, capsys):
    """The two share their first run, and the task is of the others."""
    classes = {"column": "run", "classes": {"2": "rest", "3": "act"}}
    label = {"class_path": "brainfm.evaluation.RecordingLabels", "init_args": classes}
    assert call(tmp_path, "evaluate", bench(lab, tmp_path, task=task(lab, label=label))) == 2
    assert "one person, here s2 and s5" in capsys.readouterr().err


def test_a_checkpoint_that_saw_a_person_by_the_other_name_is_found(lab, tmp_path, capsys):
    pretrain(lab, tmp_path / "run", exclude_subjects=["s5"])
    # What was left out did not come in as somebody else's, but the person did.
    store = open_store(lab / "lab.zarr")
    used = Selection(lab / "lab.zarr", exclude_subjects=("s5",)).table(store)
    assert "s2" in set(used["subject"])
    assert not set(used["fingerprint"]) & set(store.table.query("subject == 's5'")["fingerprint"])
    card = load_card(tmp_path / "run")["data"]
    assert set(card["fingerprints"]) == set(used["fingerprint"])
    assert ["lab", "s5"] in card["people"]
    others = {"folds": 2, "validation": 0, "test_subjects": ["s5", "s2"]}
    reason = {"allow_leakage": "two names", "folds": others}
    wanted = bench(lab, tmp_path / "out", estimators=foundation(tmp_path / "run"), **reason)
    assert call(tmp_path, "evaluate", wanted) == 0
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results["overlap"]) == {"seen-unlabelled"}
    assert f"{SEEN} (s2, s5) of 2 of 2 folds" in (tmp_path / "out" / "report.html").read_text()


def test_a_card_of_before_that_names_one_of_a_person_s_names_is_understood(lab):
    """Pretraining saw the second run of s2, which nobody has twice; s5 is tested on its own second run."""
    from brainfm.evaluation.overlap import overlap

    trials = Task("t", lab / "lab.zarr", RecordingLabels("run", {"1": "a", "2": "b"}), 5.0).load()
    store = open_store(lab / "lab.zarr").table.query("subject == 's2' and run == '2'")
    card = join_seen({"fingerprints": list(store["fingerprint"]), "people": [["lab", "s2"]]})
    card["people_of"] = {"lab": "lab"}
    rows = {s: (trials.meta["subject"] == s).to_numpy() for s in ("s4", "s5")}
    assert overlap(card, trials.known(rows["s5"])) == "seen-unlabelled"
    assert overlap(card, trials.known(rows["s4"])) == "clean"


def test_a_recording_counts_once_where_it_is_chosen_twice_and_always_where_once(lab):
    labels = RecordingLabels("subject", {"s5": "a", "s3": "b"})
    trials = Task("t", lab / "lab.zarr", labels, 5.0).load()
    runs = trials.meta.groupby("subject")["run"].agg(lambda runs: "".join(sorted(set(runs))))
    assert runs.to_dict() == {"s3": "123", "s5": "123"}
    store = open_store(lab / "lab.zarr")
    alone = Selection(lab / "lab.zarr", subjects=("s5",)).table(store)
    assert sorted(alone["run"]) == ["1", "2", "3"]
    assert len(Selection(lab / "lab.zarr", subjects=("s2", "s5")).table(store)) == 5


def test_a_recording_that_two_data_sets_have_is_read_of_the_one_that_is_chosen(lab, tmp_path):
    """The second data set of the store is a part of the first, under other names."""
    for run in (1, 2):
        (tmp_path / "part").mkdir(exist_ok=True)
        shutil.copy(lab / f"raw/s1_{run}.edf", tmp_path / f"part/s9_{run}.edf")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | {"name": "part"}))
    store = tmp_path / "both.zarr"
    for source, recipe in ((lab / "raw", lab), (tmp_path / "part", tmp_path)):
        ingest = ["ingest", str(source), "--recipe", f"{recipe}/recipe.yaml", "--store", str(store)]
        assert main(ingest) == 0
    labels = RecordingLabels("run", {"1": "rest", "2": "act"})
    assert set(Task("t", store, labels, 5.0, dataset="part").load().meta["subject"]) == {"s9"}
    assert set(Task("t", store, labels, 5.0, dataset="lab").load().meta["subject"]) > {"s1", "s0"}
    for name, subjects in (("part", {"s9"}), ("lab", {f"s{i}" for i in range(6)})):
        chosen = Selection(store, datasets=(name,)).table(open_store(store))
        assert set(chosen["subject"]) == subjects
    with pytest.raises(UsageError, match="choose others"):
        Selection(store, datasets=("part",), exclude_subjects=("s1",)).table(open_store(store))


def test_a_person_is_followed_from_name_to_name():
    rows = [
        # content, data set, whose codes, subject, case
        ("f", "a", "", "1", "1"),
        ("g", "a", "", "1", "1"),
        ("g", "b", "tuh", "7", "7"),  # is a 1, by content
        ("h", "c", "tuh", "7", "7"),  # is b 7, whose codes c shares
        ("i", "c", "tuh", "8", "9"),
        ("j", "b", "tuh", "9", "9"),  # is a case of c 8
        ("k", "b", "", "1", "1"),  # another corpus' 1
    ]
    table = pd.DataFrame(rows, columns=["fingerprint", "dataset", "people_of", "subject", "case"])
    who = persons(table)
    groups = [set(np.flatnonzero(who == p)) for p in dict.fromkeys(who.tolist())]
    assert groups == [{0, 1, 2, 3}, {4, 5}, {6}]
    assert is_copy(table).tolist() == [False, False, True, False, False, False, False]
    found = known_of(table.iloc[[0]], table)
    assert sorted(found["fingerprint"]) == ["f", "g", "g", "h"]
    assert len(known_of(table.iloc[[6]], pd.DataFrame())) == 1
    assert persons(table.iloc[:0]).tolist() == []
