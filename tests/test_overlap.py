"""Whether people are found who stand in several data sets, from the recipe to the report's row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import layouts
import pandas as pd
import pytest
import yaml

from brainfm.card import join_seen, seen_of
from brainfm.cli import main
from brainfm.evaluation.overlap import Examined, Seen
from brainfm.recordings.recipe import load_recipe
from brainfm.store.read import open_store
from brainfm.weights import load_card

CONFIGS = Path(__file__).parent.parent / "configs"
TUH = ("tuab", "tuar", "tueg", "tuev", "tusl")


def overlap(card: dict[str, Any] | None, rows: pd.DataFrame) -> str:
    """Return the status of rows that are tested after a pretraining, if there was one."""
    return "clean" if card is None else Seen(card).overlap(Examined(rows))


@pytest.mark.parametrize(
    ("card", "status"),
    [
        (None, "clean"),
        ({}, "unknown"),
        ({"subjects": ["77"]}, "unknown"),
        ({"fingerprints": ["x"], "subjects": ["77"]}, "clean"),
        ({"fingerprints": ["f00"], "subjects": ["77"]}, "seen-unlabelled"),
        ({"fingerprints": ["x"], "subjects": ["00"]}, "seen-unlabelled"),
        ({"subjects": ["00"]}, "seen-unlabelled"),
    ],
)
def test_overlap_by_fingerprint_and_by_subject(card, status):
    rows = pd.DataFrame({"fingerprint": ["f00", "f01"], "subject": ["00", "01"]})
    assert overlap(card, rows) == status


def seen(dataset: str, *subjects: str, of: str | None = None, content: str = "x") -> dict[str, Any]:
    """Return what the card of a pretraining on these people says; an old one where ``of`` is None."""
    people = [[dataset, s] for s in subjects]
    card = {"people": people, "subjects": list(subjects), "fingerprints": [content]}
    return card if of is None else card | {"people_of": {dataset: of}}


def of_test(dataset: str, *subjects: str, of: str | None = None) -> pd.DataFrame:
    """Return recordings to be tested, of an old store where ``of`` is None."""
    about = {"fingerprint": "f", "subject": subjects, "dataset": dataset, "people_of": of or ""}
    return pd.DataFrame(about, index=range(len(subjects)))


A, B = "aaaaaaab", "aaaaaaac"
OLD = "00000768"


@pytest.mark.parametrize(
    ("card", "rows", "status"),
    [
        # The same corpus under two names.
        (seen("tueg", A, B, of="tuh"), of_test("tuab", A, of="tuh"), "seen-unlabelled"),
        (seen("tueg", A, of="tuh"), of_test("tuab", B, of="tuh"), "clean"),
        # A patient's code is of the corpus' earlier form: nobody can say who that is.
        (seen("tueg", OLD, of="tuh"), of_test("tuab", A, of="tuh"), "unknown"),
        (seen("tueg", A, of="tuh"), of_test("tuev", "001", of="tuh"), "unknown"),
        (seen("tueg", A, OLD, of="tuh"), of_test("tuab", OLD, of="tuh"), "seen-unlabelled"),
        # One name, two people.
        (seen("a", "01", of="a"), of_test("b", "01", of="b"), "clean"),
        (seen("tueg", A, of="tuh"), of_test("b", A, of="b"), "clean"),
        (seen("a", "S1", of="a"), of_test("a", "S10", of="a"), "clean"),
        # A data set may give its people as another one's.
        (seen("a", "01", of="a"), of_test("part of a", "01", of="a"), "seen-unlabelled"),
        # Old cards and stores do not say whose codes they have.
        (seen("tueg", A), of_test("tueg", A), "seen-unlabelled"),
        (seen("tueg", A), of_test("tuab", A), "unknown"),
        (seen("tueg", A), of_test("tuab", A, of="tuh"), "unknown"),
        (seen("tueg", A, of="tuh"), of_test("tuab", A), "unknown"),
        (seen("tueg", OLD), of_test("tuab", A, of="tuh"), "unknown"),
        (seen("tueg", A), of_test("tuab", B, of="tuh"), "clean"),
        (seen("a", "01"), of_test("b", "01", of="b"), "clean"),
        (seen("", "01"), of_test("b", "01", of="b"), "seen-unlabelled"),
        # Under another name in another data set, but the same content.
        (seen("b", "9", of="b", content="f"), of_test("a", "1", of="a"), "seen-unlabelled"),
        # Somebody else is known by name alone.
        (seen("b", A) | {"subjects": [A, "01"]}, of_test("a", "01"), "seen-unlabelled"),
    ],
)
def test_a_person_is_known_by_whose_code_it_is(card, rows, status):
    assert overlap(card, rows) == status
    found = Seen(card).people(Examined(rows))
    assert bool(found) == (status == "seen-unlabelled" and "f" not in card["fingerprints"])
    assert set(found) <= set(rows["subject"])
    # A case of a person is the person.
    cases = rows.assign(case=rows["subject"], subject="somebody")
    assert overlap(card, cases) in (status, "unknown")


def test_what_several_trainings_have_seen_is_joined():
    names = {"subject": ["01", "01", "02"], "dataset": ["a", "b", "b"], "people_of": ["", "c", "c"]}
    table = pd.DataFrame({"fingerprint": ["f", "g", "h"], **names})
    old = {"subjects": ["01", "77"], "fingerprints": ["f", "z"]}
    joined = join_seen(seen_of(table), old)
    people = [["", "01"], ["", "77"], ["a", "01"], ["b", "01"], ["b", "02"]]
    assert joined == {
        "fingerprints": ["f", "g", "h", "z"],
        "subjects": ["01", "02", "77"],
        "people": people,
        "people_of": {"b": "c"},
        "labelled": {"fingerprints": [], "people": []},
    }
    assert join_seen(joined) == joined


def test_the_recipes_of_one_hospital_share_its_patients():
    recipes = [load_recipe(path) for path in sorted((CONFIGS / "datasets").glob("*.yaml"))]
    assert {r.name: r.people_of for r in recipes if r.people_of} == dict.fromkeys(TUH, "tuh")


# ------------------------------------------------------------------ the whole path, in small

PATIENTS = ("aaaaaaaa", "aaaaaaab", "aaaaaaac", "aaaaaaad")
TRAIN = {"steps": 2, "batch_size": 2, "warmup": 1, "validate_every": 2, "accelerator": "cpu"}
VIEW = {"class_path": "Tcp", "init_args": {"n_channels": 16}}


def call(folder: Path, verb: str, config: dict[str, Any]) -> int:
    """Call a verb as from a shell."""
    path = folder / f"{verb}.yaml"
    path.write_text(yaml.safe_dump(config))
    return main([verb, "--config", str(path)])


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """TUEG of two patients of whom TUAB has other recordings of one, both ingested by their recipes."""
    root = tmp_path_factory.mktemp("tuh")
    for i, patient in enumerate((PATIENTS[1], "aaaaaazz")):
        path = root / f"tueg/edf/000/{patient}/s001_2015/01_tcp_ar/{patient}_s001_t000.edf"
        layouts.write_edf(path, sfreq=160, seed=50 + i)
    for i, patient in enumerate(PATIENTS):
        kind = ("normal", "abnormal")[i % 2]
        path = root / f"tuab/edf/train/{kind}/01_tcp_ar/{patient}_s002_t000.edf"
        layouts.write_edf(path, sfreq=160, seed=i)
    for name in ("tueg", "tuab"):
        ingest = ["ingest", str(root / name), "--recipe", name, "--store", f"{root}/{name}.zarr"]
        assert main(ingest) == 0
    model = {
        "tokenizer": {"class_path": "Patches", "init_args": {"dim": 16, "n_samples": 200}},
        "backbone": {"class_path": "PatchTransformer", "init_args": {"depth": 1, "heads": 2}},
        "objective": {
            "class_path": "MaskedSignal",
            "init_args": {"mask": {"class_path": "RandomMask", "init_args": {"ratio": 0.5}}},
        },
    }
    data = {"store": f"{root}/tueg.zarr", "seconds": 5.0, "view": VIEW, "validation": 0}
    run = {"model": model, "data": data, "train": TRAIN, "out": f"{root}/run"}
    assert call(root, "pretrain", run) == 0
    return root


def bench(root: Path, out: Path, **more: Any) -> dict[str, Any]:
    spans = {"classes": {"normal": "normal", "abnormal": "abnormal"}}
    task = {
        "name": "tuab-abnormal",
        "store": f"{root}/tuab.zarr",
        "label": {"class_path": "brainfm.evaluation.SpanLabels", "init_args": spans},
        "seconds": 5,
        "view": VIEW,
    }
    init = {"checkpoint": f"{root}/run", "adaptation": "ridge"}
    models = {"fm": {"class_path": "brainfm.learning.Finetuned", "init_args": init}}
    folds = {"folds": 4, "validation": 0}
    return {
        "task": task,
        "estimators": models,
        "folds": folds,
        "seeds": [0],
        "out": str(out),
    } | more


def test_a_patient_of_the_large_corpus_in_the_test_of_the_small_is_a_leak(
    corpora, tmp_path, capsys
):
    card = load_card(corpora / "run")["data"]
    assert card["people"] == [["tueg", PATIENTS[1]], ["tueg", "aaaaaazz"]]
    assert card["people_of"] == {"tueg": "tuh"}
    assert call(tmp_path, "evaluate", bench(corpora, tmp_path / "out")) == 2
    said = capsys.readouterr().err
    assert f"'fm' has seen test recordings or subjects ({PATIENTS[1]}) of 1 of 4 folds" in said
    assert not (tmp_path / "out" / "results.csv").exists()
    allowed = bench(corpora, tmp_path / "out", allow_leakage="to see what a leak is worth")
    assert call(tmp_path, "evaluate", allowed) == 0
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    leaked = results["test_subjects"].str.contains(PATIENTS[1])
    assert set(results.loc[leaked, "overlap"]) == {"seen-unlabelled"}
    assert set(results.loc[~leaked, "overlap"]) == {"clean"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'class="badge seen"' in page
    assert f"({PATIENTS[1]})" in page


def told(text: str) -> dict:
    """Return what a store says of itself, without its sources' times, which are not noted of new files."""
    attributes = json.loads(text)["attributes"]
    del attributes["table"]["source_stat"]
    return attributes


def test_a_store_of_before_leaves_it_open_and_a_second_ingest_mends_it(corpora, tmp_path):
    place = corpora / "tuab.zarr" / "zarr.json"
    now = place.read_text()
    old = json.loads(now)
    assert old["attributes"].pop("people_of") == {"tuab": "tuh"}
    place.write_text(json.dumps(old))
    try:
        assert set(open_store(place.parent).table["people_of"]) == {""}
        assert call(tmp_path, "evaluate", bench(corpora, tmp_path / "out")) == 0
        results = pd.read_csv(tmp_path / "out" / "results.csv")
        leaked = results["test_subjects"].str.contains(PATIENTS[1])
        assert set(results.loc[leaked, "overlap"]) == {"unknown"}
        again = ["ingest", f"{corpora}/tuab", "--recipe", "tuab", "--store", str(place.parent)]
        assert main(again) == 0
        assert told(place.read_text()) == told(now)
        # What is known now is said now, of folds that were computed before, too.
        kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "folds").iterdir()}
        assert call(tmp_path, "evaluate", bench(corpora, tmp_path / "out")) == 2
        allowed = bench(corpora, tmp_path / "out", allow_leakage="to see what a leak is worth")
        assert call(tmp_path, "evaluate", allowed) == 0
        results = pd.read_csv(tmp_path / "out" / "results.csv")
        assert set(results.loc[leaked, "overlap"]) == {"seen-unlabelled"}
        after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out" / "folds").iterdir()}
        assert after == kept
    finally:
        place.write_text(now)
