"""What is known of the test beforehand is found, from the recordings' files to the report."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from test_overlap import TRAIN, call, overlap

from brainfm.backbones import PatchTransformer
from brainfm.card import data_of, join_seen, with_labels
from brainfm.cli import main
from brainfm.errors import UsageError, WorkError
from brainfm.evaluation import RecordingLabels, ValidationSearch, audit
from brainfm.evaluation.overlap import histories_of
from brainfm.evaluation.task import Task
from brainfm.learning import Finetuned
from brainfm.stages.evaluate import evaluate
from brainfm.stages.sources import Beside, Data, divide, sources_of
from brainfm.store.read import open_store
from brainfm.weights import load_card
from brainfm.windows.people import is_copy, known_of, persons
from brainfm.windows.reader import Selection
from brainfm.windows.splits import SubjectFolds

LABELS = ("Fp1", "Fp2", "C3", "C4")
RECIPE = {"name": "lab", "pattern": r"(?P<subject>s\d)_(?P<run>\d)\.edf$"}
SEEN = "has seen test recordings or subjects"


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


def overlaps(out: Path) -> dict[str, set[str]]:
    """Return the statuses of each tested subject's rows, folds having one each."""
    results = pd.read_csv(out / "results.csv")
    return results.groupby("test_subjects")["overlap"].agg(set).to_dict()


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


def test_what_was_there_stays_until_an_evaluation_has_begun(lab, tmp_path, monkeypatch):
    out = tmp_path / "out"
    good = bench(lab, out, task=task(lab, people={"s5": "s2"}))
    assert call(tmp_path, "evaluate", good) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert call(tmp_path, "evaluate", bench(lab, out)) == 2  # a leak, before any fold
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    monkeypatch.delattr("brainfm.evaluation.protocol.statistics_table")
    assert call(tmp_path, "evaluate", good | {"seeds": [1]}) == 1  # after the last fold
    assert yaml.safe_load((out / "config.yaml").read_text())["seeds"] == [1]


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
    # Mixed, each recording is read as one data set's.
    beside = (Beside(store, datasets=("part",), name="part"),)
    with pytest.raises(UsageError, match="Every recording of part is a copy"):
        sources_of(Data(store, datasets=("lab",), beside=beside))
    shutil.copy(lab / "raw/s4_1.edf", tmp_path / "part/s7_1.edf")
    layouts.write_edf(tmp_path / "part/s7_2.edf", LABELS, sfreq=160, seed=99)
    again = ["ingest", f"{tmp_path}/part", "--recipe", f"{tmp_path}/recipe.yaml"]
    assert main([*again, "--store", str(store)]) == 0
    first, second = sources_of(Data(store, datasets=("lab",), beside=beside))
    assert len(first.table) == 17  # 18 of six subjects, two of which are one recording
    assert second.table[["subject", "run"]].to_numpy().tolist() == [["s7", "2"]]


def test_a_pretraining_puts_all_of_a_person_aside(lab):
    """The copy that shows who it is is not read."""
    given = Data(lab / "lab.zarr", subjects=("s1", "s2", "s4", "s5"))
    sources = sources_of(given)
    for seed in range(6):
        (training,), (validation,) = vars(divide(sources, 0.25, seed)).values()
        sides = [{"s2", "s5"} & set(side["subject"]) for side in (training, validation)]
        assert sorted(map(len, sides)) == [0, 2]


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


# ------------------------------------------------------------------ with labels or without


@pytest.fixture(scope="module")
def finetuned(lab, tmp_path_factory) -> Path:
    """Pretrained on s0 and s1, and fine-tuned with the labels of s1 and s3."""
    root = tmp_path_factory.mktemp("finetuned")
    pretrain(lab, root / "pretrained", subjects=["s0", "s1"])
    one = {"column": "run", "classes": {"1": "rest", "2": "act"}}
    label = {"class_path": "brainfm.evaluation.RecordingLabels", "init_args": one}
    split = {"validation": 0.5, "exclude_subjects": ["s0", "s2", "s4", "s5"]}
    config = {"task": task(lab, label=label), "split": split, "adaptation": "probe"}
    places = {"checkpoint": f"{root}/pretrained", "out": f"{root}/finetuned"}
    assert call(root, "finetune", config | places) == 0
    return root


@pytest.mark.parametrize("first", [True, False])
def test_the_first_process_of_a_fine_tuning_says_who_stands_there_twice(
    lab, finetuned, tmp_path, caplog, monkeypatch, first
):
    monkeypatch.setattr("brainfm.stages.finetune.is_first", lambda: first)
    split = {"validation": 0.5, "exclude_subjects": ["s0", "s4"]}
    config = {"task": task(lab), "split": split, "adaptation": "probe"}
    places = {"checkpoint": f"{finetuned}/pretrained", "out": f"{tmp_path}/out"}
    assert call(tmp_path, "finetune", config | places) == 0
    assert ("one person, here s2 and s5" in caplog.text) == first


def test_a_fine_tuning_that_meets_no_number_names_the_recordings(lab, finetuned, tmp_path, capsys):
    train = TRAIN | {"lr": 1e30, "warmup": 0, "validate_every": 1}
    config = {"task": task(lab), "split": {"validation": 0.5}, "adaptation": "full", "train": train}
    places = {"checkpoint": f"{finetuned}/pretrained", "out": f"{tmp_path}/out"}
    assert call(tmp_path, "finetune", config | places) == 1
    (named,) = re.findall(r"at step 1, on windows of \[(.*?)\]", capsys.readouterr().err)
    assert set(re.findall("'(.*?)'", named)) <= set(open_store(lab / "lab.zarr").table["id"])


def test_a_checkpoint_that_was_fitted_with_the_labels_of_the_test_says_so(
    lab, finetuned, tmp_path, capsys
):
    card = load_card(finetuned / "finetuned")["data"]
    assert card["people"] == [["lab", "s0"], ["lab", "s1"], ["lab", "s3"]]
    assert card["labelled"]["people"] == [["lab", "s1"], ["lab", "s3"]]
    assert len(card["labelled"]["fingerprints"]) == 4  # of two runs
    assert load_card(finetuned / "pretrained")["data"]["labelled"]["people"] == []
    folds = {"folds": 4, "validation": 0, "test_subjects": ["s0", "s1", "s3", "s4"]}
    more = {"folds": folds, "estimators": foundation(finetuned / "finetuned")}
    more["task"] = task(lab, people={"s5": "s2"})
    assert call(tmp_path, "evaluate", bench(lab, tmp_path / "out", **more)) == 2
    said = capsys.readouterr().err
    assert f"{SEEN} (s0, s1, s3) of 3 of 4 folds in training, with labels" in said
    more["allow_leakage"] = "to see what it is worth"
    assert call(tmp_path, "evaluate", bench(lab, tmp_path / "out", **more)) == 0
    seen = {"s0": {"seen-unlabelled"}, "s1": {"seen-labelled"}, "s3": {"seen-labelled"}}
    assert overlaps(tmp_path / "out") == seen | {"s4": {"clean"}}
    assert ">seen labelled<" in (tmp_path / "out" / "report.html").read_text()

    # A card of before does not say whose labels were seen, and the pretraining's own need not.
    for name in ("finetuned", "pretrained"):
        shutil.copytree(finetuned / name, tmp_path / name)
        place = tmp_path / name / "model" / "config.json"
        old = json.loads(place.read_text())
        del old["data"]["labelled"]
        place.write_text(json.dumps(old))
        more["estimators"] = foundation(tmp_path / name)
        assert call(tmp_path, "evaluate", bench(lab, tmp_path / "old", **more)) == 0
        found = overlaps(tmp_path / "old")
        fitted = name == "finetuned"
        assert found["s0"] == {"unknown" if fitted else "seen-unlabelled"}
        assert found["s3"] == {"unknown" if fitted else "clean"}
        assert found["s4"] == {"clean"}
        how = "training, perhaps with labels" if fitted else "pretraining"
        assert how in (tmp_path / "old" / "report.html").read_text()


def test_every_checkpoint_of_a_vote_is_looked_at(lab, finetuned, tmp_path):
    pretrain(lab, tmp_path / "other", subjects=["s4"])
    pair = [
        (name, Finetuned(folder, "ridge"))
        for name, folder in (("clean", tmp_path / "other"), ("seen", finetuned / "finetuned"))
    ]
    vote = make_pipeline(VotingClassifier(pair, voting="soft"))
    labels = RecordingLabels("run", {"1": "rest", "2": "act"})
    named = Task("lab", lab / "lab.zarr", labels, 5.0, people={"s5": "s2"})
    folds = SubjectFolds(3, 0.0, test_subjects=("s0", "s2", "s3"))
    call = {"folds": folds, "seeds": [0], "out": tmp_path / "out"}
    with pytest.raises(UsageError, match=r"\(s0, s3\) of 2 of 3 folds in training, with labels"):
        evaluate(named, {"vote": vote}, **call)
    evaluate(named, {"vote": vote}, allow_leakage="to see it", **call)
    wanted = {"s0": {"seen-unlabelled"}, "s2": {"clean"}, "s3": {"seen-labelled"}}
    assert overlaps(tmp_path / "out") == wanted


def test_every_checkpoint_that_a_search_may_choose_is_looked_at(lab, finetuned, tmp_path):
    folders = [str(finetuned / name) for name in ("pretrained", "finetuned")]
    search = ValidationSearch(Finetuned(folders[0], "ridge"), {"checkpoint": folders})
    histories = [load_card(Path(folder))["data"] for folder in (folders[0], *folders)]
    assert histories_of(make_pipeline(search)) == histories
    grids = [{"head": [None]}, {"checkpoint": folders}]
    assert histories_of(GridSearchCV(Finetuned(folders[0], "ridge"), grids)) == histories
    labels = RecordingLabels("run", {"1": "rest", "2": "act"})
    named = Task("lab", lab / "lab.zarr", labels, 5.0, people={"s5": "s2"})
    call = {"folds": SubjectFolds(2, 0.3, test_subjects=("s2", "s3")), "seeds": [0]}
    with pytest.raises(UsageError, match=r"\(s3\) of 1 of 2 folds in training, with labels"):
        evaluate(named, {"search": search}, out=tmp_path, **call)


def test_a_card_is_arranged_once_for_all_folds_and_rows(lab, finetuned, monkeypatch):
    labels = RecordingLabels("run", {"1": "rest", "2": "act"})
    trials = Task("lab", lab / "lab.zarr", labels, 5.0, people={"s5": "s2"}).load()
    divided = {seed: SubjectFolds(3, 0.0).split(trials.table, seed) for seed in (0, 1)}
    tested = audit.tested_in(trials, divided)
    rows = {name: Finetuned(finetuned / "finetuned", name) for name in ("probe", "ridge")}
    wanted = [overlap(rows[name].pretraining, tested[place]) for place in tested for name in rows]
    arranged = []
    monkeypatch.setattr(
        "brainfm.evaluation.overlap.join_seen",
        lambda *parts: arranged.append(parts) or join_seen(*parts),
    )
    assert [past.status for past in audit.look_back(trials, rows, tested)] == wanted
    assert len({*wanted}) > 1
    assert len(arranged) == 2  # all that was seen, and what was seen with labels


def test_people_may_be_named_by_way_of_another_name_and_not_in_a_circle(lab, tmp_path):
    labels = RecordingLabels("run", {"1": "rest", "2": "act"})
    named = Task("lab", lab / "lab.zarr", labels, 5.0, people={"s5": "s4", "s4": "s2"})
    meta = named.load().meta
    assert set(meta.loc[meta["case"].isin(["s5", "s4", "s2"]), "subject"]) == {"s2"}
    circle = Task("lab", lab / "lab.zarr", labels, 5.0, people={"s5": "s4", "s4": "s5"})
    with pytest.raises(UsageError, match="in a circle"):
        circle.load()


def test_a_history_that_is_told_after_the_fit_is_told_too_late(lab, tmp_path):
    class Late(DummyClassifier):
        def fit(self, X, y):
            self.pretraining = {"fingerprints": ["f"], "subjects": ["s0"]}
            return super().fit(X, y)

    labels = RecordingLabels("run", {"1": "rest", "2": "act"})
    named = Task("lab", lab / "lab.zarr", labels, 5.0, people={"s5": "s2"})
    with pytest.raises(WorkError, match="says only after its fit what it was pretrained on"):
        evaluate(named, {"l": Late()}, folds=SubjectFolds(2, 0.0), seeds=[0], out=tmp_path)


def test_whose_labels_were_seen_is_joined_and_stays_open_where_one_part_does_not_say():
    old = data_of({"data": {"subjects": ["1"], "fingerprints": ["f"]}, "adaptation": "probe"})
    assert old["labelled"] is None
    own = with_labels({"subjects": ["2"], "fingerprints": ["g"]})
    assert join_seen(old, own)["labelled"] is None
    plain = data_of({"data": {"subjects": ["1"], "fingerprints": ["f"]}})
    joined = join_seen(plain, own)
    assert joined["labelled"] == {"fingerprints": ["g"], "people": [["", "2"]]}
    assert joined["subjects"] == ["1", "2"]
    rows = pd.DataFrame({"fingerprint": ["x"], "subject": ["2"]})
    one = rows.assign(subject="1")
    assert [overlap(joined, r) for r in (rows, one)] == ["seen-labelled", "seen-unlabelled"]
    assert [overlap(old, r) for r in (rows, one)] == ["clean", "unknown"]


# ------------------------------------------------------------------ what a row costs, whoever else is there


def test_an_estimator_costs_what_it_costs_alone_in_every_fold_and_row(
    lab, finetuned, tmp_path, monkeypatch, capsys
):
    """The cache computes each window's features once for all of them, which no row's time shows."""
    forward, window = PatchTransformer.forward, 0.02

    def slow(self, tokens):
        time.sleep(window)
        return forward(self, tokens)

    monkeypatch.setattr(PatchTransformer, "forward", slow)
    (probe,) = foundation(finetuned / "pretrained").values()
    more = {"estimators": {"first": probe, "again": probe}, "task": task(lab, people={"s5": "s2"})}
    more |= {"seeds": [0, 1], "allow_leakage": "of times alone"}
    assert call(tmp_path, "evaluate", bench(lab, tmp_path / "out", **more)) == 0
    once = pd.read_csv(tmp_path / "out" / "results.csv").drop_duplicates(
        ["estimator", "fold", "seed"]
    )
    assert len(once) == 8
    assert (once["fit_seconds"] >= window * once["n_train"]).all()
    assert (once["seconds"] >= window * (once["n_train"] + once["n_test"])).all()
    assert once["flops"].nunique() == 1  # operations neither
    assert once["flops"].iloc[0] > 0
    said = re.findall(r"(first|again): .*fitted in ([0-9.e+-]+) s a fold", capsys.readouterr().out)
    assert {name for name, _ in said} == {"first", "again"}
    assert all(float(seconds) >= window * once["n_train"].mean() * 0.99 for _, seconds in said)
