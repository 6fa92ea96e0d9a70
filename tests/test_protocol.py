from __future__ import annotations

import importlib
import json
import os
import re
import sys
import types
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from jsonargparse import ActionConfigFile, ArgumentParser
from planted import SFREQ, planted, sensors
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from brainfm import baselines
from brainfm.cli import main
from brainfm.errors import UsageError, WorkError
from brainfm.evaluation import ValidationThreshold, jobs
from brainfm.evaluation.attempt import SealedTest
from brainfm.evaluation.fingerprints import describe
from brainfm.evaluation.labels import AnnotationLabels, RecordingLabels
from brainfm.evaluation.leakage import find_leaks
from brainfm.evaluation.metrics import METRICS
from brainfm.evaluation.overlap import Twice, find_twice, histories_of
from brainfm.evaluation.parameters import flops_per_window
from brainfm.evaluation.protocol import run
from brainfm.evaluation.published import PublishedSplit
from brainfm.evaluation.shots import FewShot
from brainfm.evaluation.task import Task
from brainfm.evaluation.tuning import ValidationSearch
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations, Recording, Sensors, hold
from brainfm.stages.evaluate import evaluate
from brainfm.stages.ingest import ingest
from brainfm.store.hold import create_store, writing
from brainfm.store.read import open_store
from brainfm.store.write import write_recording
from brainfm.windows.purge import WithinRecordings
from brainfm.windows.splits import Fold, SubjectFolds, names_of
from brainfm.windows.trials import Trials

ROOT = Path(__file__).parent.parent
FOLDS = SubjectFolds(4, 0.25)
SEEN: list[dict] = []


class Spy(ClassifierMixin, BaseEstimator):
    """Notes what it is given, and predicts by the power of the signal."""

    def __init__(self, random_state=None, sfreq=None, sensors=None, crash=""):
        self.random_state, self.sfreq, self.sensors = random_state, sfreq, sensors
        self.crash = crash

    def fit(self, X, y, validation=None):
        if self.crash and self.random_state == 1:
            raise ValueError(self.crash)
        self.classes_ = np.unique(y)
        self.note = {"fit": X, "validation": validation, "seed": self.random_state}
        self.note |= {"sfreq": self.sfreq, "sensors": self.sensors, "tests": []}
        SEEN.append(self.note)
        return self

    def predict_proba(self, X):
        self.note["tests"].append(X)
        positive = 1 / (1 + np.exp(-(X.std(axis=(1, 2)) * 1e5 - 1.1)))
        return np.stack([1 - positive, positive], axis=1)


class Pretrained(Spy):
    """A spy with a history."""

    pretraining = {"fingerprints": ["f31"], "subjects": ["03"]}  # noqa: RUF012


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()


@pytest.fixture(scope="module")
def trials() -> Trials:
    return planted()


def known(X: np.ndarray) -> set[bytes]:
    return {x.tobytes() for x in X}


def test_test_windows_are_never_seen_before_they_are_opened_once(trials, tmp_path):
    run(trials, {"spy": Spy()}, folds=FOLDS, seeds=[0, 1], out=tmp_path)
    assert len(SEEN) == 8
    tested = {0: [], 1: []}
    for note in SEEN:
        validated, test = note["tests"]  # each predicted once
        fitted, chosen = known(note["fit"]), known(note["validation"][0])
        assert known(validated) == chosen
        assert not known(test) & (fitted | chosen)
        assert not fitted & chosen
        assert len(fitted) + len(chosen) + len(test) == len(trials)
        tested[note["seed"]].append(known(test))
        assert note["sfreq"] == SFREQ
        assert note["sensors"].names == trials.sensors.names
    for parts in tested.values():
        assert sum(len(p) for p in parts) == len(set.union(*parts)) == len(trials)


def test_a_sealed_test_opens_once(trials):
    sealed = SealedTest(trials, Fold(0, ("01",), (), ("03",)))
    opened = sealed.open()
    assert set(opened.meta["subject"]) == {"03"}
    with pytest.raises(WorkError, match=r"\['03'\] were already opened"):
        sealed.open()


def test_every_estimator_has_the_same_folds_and_nobody_fits_on_validation(trials, tmp_path):
    pair = {"a": Spy(), "b": Spy(crash="never")}
    run(trials, pair, folds=FOLDS, seeds=[0], out=tmp_path)
    for a, b in zip(SEEN[::2], SEEN[1::2], strict=True):
        np.testing.assert_array_equal(a["fit"], b["fit"])
        np.testing.assert_array_equal(a["tests"][1], b["tests"][1])
    table = pd.read_csv(tmp_path / "results.csv", dtype={"test_subjects": str})
    assert table.groupby("fold")["test_subjects"].nunique().eq(1).all()


def test_finished_folds_are_not_computed_again(trials, tmp_path):
    first = run(trials, {"spy": Spy()}, folds=FOLDS, seeds=[0], out=tmp_path)
    written = (tmp_path / "results.csv").read_bytes()
    assert len(SEEN) == 4
    again = run(trials, {"spy": Spy()}, folds=FOLDS, seeds=[0], out=tmp_path)
    assert len(SEEN) == 4
    assert (tmp_path / "results.csv").read_bytes() == written
    pd.testing.assert_frame_equal(first.statistics, again.statistics)
    one = sorted((tmp_path / "folds").glob("*.json"))[0]
    one.write_text(one.read_text()[:100])  # as an interrupted disk would leave it
    run(trials, {"spy": Spy()}, folds=FOLDS, seeds=[0], out=tmp_path)
    assert len(SEEN) == 5


CHANGES = {
    "estimator": "an estimator's settings, code or checkpoint",
    "data": "data",
    "sensors": "data",
    "bad": "data",
    "folds": "the division into folds",
    "metrics": "metrics, classes or budget",
    "library": r"scikit-learn \(.*, now 99\)",
    "seed": "",  # a fold that never was
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_makes_new_folds_and_says_so(trials, tmp_path, what, monkeypatch, caplog):
    call = {"folds": FOLDS, "seeds": [0], "metrics": list(METRICS)}
    run(trials, {"spy": Spy()}, out=tmp_path, **call)
    other, spy = trials, Spy()
    if what == "estimator":
        spy = Spy(crash="no")
    if what == "data":
        X = trials.X.copy()
        X[0, 0, 0] += 1e-6
        other = Trials(X, trials.y, trials.meta, trials.sensors, trials.sfreq)
    if what == "sensors":
        turned = replace(trials.sensors, orientation=np.ones_like(trials.sensors.orientation))
        other = replace(trials, sensors=turned)
    if what == "bad":
        other = replace(trials, sensors=replace(trials.sensors, bad=(True,) * 5))
    if what == "library":
        newer = {"scikit-learn": "99"}
        monkeypatch.setattr(jobs, "version", lambda name: newer.get(name) or version(name))
    if what == "seed":
        call["seeds"] = [5]
    if what == "folds":
        call["folds"] = SubjectFolds(4, 0.5)
    if what == "metrics":
        call["metrics"] = ["kappa"]
    run(other, {"spy": spy}, out=tmp_path, **call)
    assert len(SEEN) == 8
    (said,) = [r.getMessage() for r in caplog.records] if CHANGES[what] else [""]
    told = f"4 folds kept in .*folds are computed anew, as these changed: {CHANGES[what]}[.]"
    assert re.fullmatch(told if CHANGES[what] else "", said)
    run(trials, {"spy": Spy()}, out=tmp_path, folds=FOLDS, seeds=[0], metrics=list(METRICS))
    assert len(SEEN) == 8  # what was made before is kept beside it


MINE = """
from sklearn.dummy import DummyClassifier

from {package}.signs import SIGN


class Mine(DummyClassifier):
    def predict_proba(self, X):
        return abs(super().predict_proba(X) - (X[:, :1, 0] > SIGN * 1e-5) * 0.1)
"""


def test_the_code_of_an_estimator_of_one_s_own_counts(store, tmp_path, monkeypatch, caplog):
    """A lab changes what its estimator does, in a file beside it, and gives the same command again."""
    package = tmp_path / "labcode"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(MINE.format(package="labcode"))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {
        "task": str(ROOT / "configs" / "tasks" / "eegmat-arithmetic.yaml"),
        "estimators": {"mine": {"class_path": "labcode.mine.Mine"}},
        "folds": {"folds": 2, "validation": 0},
        "seeds": [0],
        "out": str(tmp_path / "out"),
    }
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(config))
    values = []
    for sign in (0, 1, 1):
        (package / "signs.py").write_text(f"SIGN = {sign}\n")
        for name in [name for name in sys.modules if name.partition(".")[0] == "labcode"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        call = ["evaluate", "--config", f"{tmp_path}/bench.yaml", "--task.store", str(store)]
        assert main(call) == 0
        values.append(pd.read_csv(tmp_path / "out" / "results.csv")["value"].tolist())
    assert values[0] != values[1] == values[2]
    (said,) = [r.getMessage() for r in caplog.records if "computed anew" in r.getMessage()]
    assert said.endswith("as these changed: an estimator's settings, code or checkpoint.")


def test_a_class_that_was_given_another_value_counts(monkeypatch):
    before = describe(Spy())
    monkeypatch.setattr(Spy, "bias", 0.9, raising=False)
    assert describe(Spy()) != before


def test_what_stands_in_no_file_is_computed_anew():
    """As of a notebook: nobody can see whether it changed."""
    made = types.ModuleType("notebook_of_mine")
    exec(
        "from sklearn.dummy import DummyClassifier\nclass Mine(DummyClassifier): pass",
        made.__dict__,
    )
    sys.modules[made.__name__] = made
    try:
        assert describe(made.Mine()) != describe(made.Mine())
        assert describe(Spy()) == describe(Spy())
    finally:
        del sys.modules[made.__name__]
    assert describe(DummyClassifier()) == describe(DummyClassifier())
    assert "code" not in json.dumps(describe(baselines.mdm()))  # what a version says


class Loads(BaseEstimator):
    def __init__(self, checkpoint=None, head=None):
        self.checkpoint, self.head = checkpoint, head


def test_a_checkpoint_counts_by_its_content(tmp_path):
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"one")
    before = describe(Loads(str(tmp_path / "run")))
    assert describe(Loads(str(tmp_path / "run"))) == before
    (model / "model.safetensors").write_bytes(b"two")
    assert describe(Loads(str(tmp_path / "run"))) != before


def test_what_is_yet_to_be_called_is_described_without_its_address():
    one, same, other = (
        describe(Loads(head=partial(planted, Recipe, sfreq=f))) for f in (1.0, 1.0, 2.0)
    )
    assert one == same != other
    assert "0x" not in json.dumps(one)
    # A lambda cannot be told from another, so it never matches a fold that is done.
    assert describe(Loads(head=lambda: 1)) != describe(Loads(head=lambda: 2))
    assert describe(Recipe()) == describe(Recipe())
    assert describe(Recipe()) != describe(Recipe(l_freq=1.0))


def test_a_crash_leaves_missing_folds_and_the_rest_stands(trials, tmp_path):
    pair = {"good": Spy(), "bad": Spy(crash="out of luck")}
    outcome = run(trials, pair, folds=FOLDS, seeds=[0, 1], out=tmp_path)
    with pytest.raises(WorkError, match=r"4 folds .*'bad' with seed 1 .*out of luck"):
        outcome.check_complete()
    results = pd.read_csv(tmp_path / "results.csv")
    lost = results[(results["estimator"] == "bad") & (results["seed"] == 1)]
    assert lost["value"].isna().all()
    assert lost["error"].eq("ValueError: out of luck").all()
    assert results[results["estimator"] == "good"]["value"].notna().all()
    statistics = pd.read_csv(tmp_path / "statistics.csv").set_index(["estimator", "metric"])
    bad = statistics.loc[("bad", "auroc")]
    assert (bad["folds_done"], bad["folds_expected"], bad["complete"]) == (4, 8, False)
    assert np.isnan(bad["value"])  # never the mean of what is left
    assert statistics.loc[("good", "auroc"), "complete"]
    # The same call again tries the missing folds only.
    SEEN.clear()
    run(trials, pair, folds=FOLDS, seeds=[0, 1], out=tmp_path)
    assert SEEN == []


def test_the_planted_rhythm_is_found_by_all_and_shuffled_labels_by_none(trials, tmp_path):
    estimators = {
        "mdm": baselines.mdm(),
        "tangent": baselines.tangent_space_lr(),
        "augmented": baselines.augmented_tangent_space_svm(),
        "bandpower": baselines.log_bandpower_lda(),
    }
    call = {"folds": FOLDS, "seeds": [0], "draws": 300}
    found = run(trials, estimators, out=tmp_path / "true", **call).statistics
    assert (found["low"] > found["chance_high"]).all()
    assert (found.loc[found["metric"] == "auroc", "value"] > 0.9).all()
    # Recordings keep one label each, and a subject one of each class.
    rng = np.random.default_rng(3)
    flip = (
        trials.meta["subject"]
        .map({s: rng.random() < 0.5 for s in sorted(set(trials.meta["subject"]))})
        .to_numpy()
    )
    swapped = np.where(trials.y == "rest", "arithmetic", "rest")
    y = np.where(flip, swapped, trials.y)
    shuffled = Trials(trials.X, y, trials.meta, trials.sensors, trials.sfreq)
    nothing = run(shuffled, estimators, out=tmp_path / "shuffled", **call).statistics
    assert (nothing["value"] >= nothing["chance_low"]).all()
    assert (nothing["value"] <= nothing["chance_high"]).all()


def test_the_tables_hold_what_they_promise(trials, tmp_path):
    pair = {"spy": Spy(), "dummy": DummyClassifier()}
    outcome = run(
        trials, pair, folds=FOLDS, seeds=[0, 1], out=tmp_path, task="toy", reference="dummy",
        classes=("rest", "arithmetic"),
    )  # fmt: skip
    promised = "task estimator fold seed metric value n_test trained_parameters seconds overlap"
    assert set(promised.split()) <= set(outcome.results)
    assert len(outcome.results) == 2 * 2 * 4 * len(METRICS)
    assert set(outcome.results["overlap"]) == {"clean"}
    assert len(outcome.predictions) == 2 * 2 * len(trials)
    columns = ["subject", "session", "recording", "onset", "y_true", "p_rest", "p_arithmetic"]
    assert outcome.predictions.columns.tolist()[4:] == columns
    spied = outcome.predictions[outcome.predictions["estimator"] == "spy"]
    loud = spied.loc[spied["y_true"] == "rest", "p_rest"].mean()
    assert loud > spied.loc[spied["y_true"] == "arithmetic", "p_rest"].mean()
    compared = outcome.statistics[outcome.statistics["estimator"] == "spy"]
    assert (compared["reference"] == "dummy").all()
    assert (compared["n_paired"] == 8).all()
    row = compared.set_index("metric").loc["auroc"]
    assert row["difference_low"] > 0
    assert row["p"] < 0.05
    assert row["p"] == row["p_holm"]  # one comparison
    assert max(row["p_wilcoxon"], row["p_nadeau_bengio"]) < 0.05
    assert row["effect"] > 1
    assert outcome.statistics["complete"].all()


def test_the_same_call_gives_the_same_numbers(trials, tmp_path):
    tables = []
    for folder in ("a", "b"):
        outcome = run(
            trials, {"t": baselines.tangent_space_lr()}, folds=FOLDS, seeds=[0],
            out=tmp_path / folder, draws=100,
        )  # fmt: skip
        tables.append(outcome)
    a, b = tables
    pd.testing.assert_frame_equal(a.statistics, b.statistics, check_exact=True)
    pd.testing.assert_frame_equal(a.predictions, b.predictions, check_exact=True)


def test_hyper_parameters_are_chosen_on_validation_subjects(trials, tmp_path):
    search = ValidationSearch(
        baselines.augmented_tangent_space_svm(), {"embedding__order": [1, 3], "svm__C": [1.0]}
    )
    outcome = run(trials, {"search": search}, folds=FOLDS, seeds=[0], out=tmp_path, draws=50)
    outcome.check_complete()
    assert (outcome.results["trained_parameters"] > 0).all()
    half = SubjectFolds(4, 0.0)
    nobody = run(trials, {"search": search}, folds=half, seeds=[0], out=tmp_path, draws=50)
    assert "needs validation subjects" in nobody.failed[0].error


def test_what_pretraining_has_seen_is_said(trials, tmp_path):
    call = {"folds": FOLDS, "seeds": [0], "out": tmp_path}
    with pytest.raises(UsageError, match=r"'fm' has seen test .* \(03\) of 1 of 4 folds"):
        run(trials, {"fm": Pretrained()}, **call)
    assert SEEN == []
    outcome = run(trials, {"fm": Pretrained()}, allow_leakage="to see what it is worth", **call)
    assert set(outcome.results["leakage"]) == {"to see what it is worth"}
    assert "'fm' has seen" in outcome.leaks[0]
    seen = outcome.results[outcome.results["overlap"] == "seen-unlabelled"]
    assert seen["test_subjects"].unique().size == 1
    assert "03" in seen["test_subjects"].iloc[0]
    rest = outcome.results.drop(seen.index)
    assert set(rest["overlap"]) == {"clean"}


def test_a_recording_under_two_names_or_in_two_data_sets_is_found(trials, tmp_path):
    rows = pd.DataFrame(
        {
            "fingerprint": ["f", "g", "f", "h", "h"],
            "subject": ["01", "02", "03", "04", "04"],
            "dataset": ["a", "a", "a", "a", "b"],
        }
    )
    assert find_twice(rows) == [
        Twice("f", (("a", "01"), ("a", "03"))),
        Twice("h", (("a", "04"), ("b", "04"))),
    ]
    assert find_twice(rows.iloc[:2]) == []
    meta = trials.meta.copy()
    copied = meta["subject"].eq("05") & meta["run"].eq("1")
    meta.loc[copied, "fingerprint"] = meta.loc[meta["subject"].eq("02"), "fingerprint"].iloc[0]
    twice = Trials(trials.X, trials.y, meta, trials.sensors, trials.sfreq)
    with pytest.raises(UsageError, match="subjects 02 and 05"):
        run(twice, {"spy": Spy()}, folds=FOLDS, seeds=[0], out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_history_is_found_inside_a_pipeline():
    inside = make_pipeline(FunctionTransformer(), Pretrained())
    assert histories_of(inside) == [Pretrained.pretraining]
    assert histories_of(make_pipeline(FunctionTransformer(), Spy())) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"estimators": {}}, "0 estimators"),
        ({"seeds": [1, 1]}, "repeat themselves"),
        ({"metrics": ["f2"]}, r"Unknown metrics \['f2'\]"),
        ({"reference": "x"}, "reference 'x' is no estimator"),
        ({"estimators": {"f": FunctionTransformer()}}, "no classifier with fit and predict_proba"),
        ({"classes": ("rest", "sleep")}, "a task needs two or more"),
        ({"folds": SubjectFolds(9, 0.2)}, "8 subjects cannot make 9 folds"),
    ],
)
def test_a_call_that_cannot_work_is_refused_before_any_fit(trials, tmp_path, change, message):
    call = {"estimators": {"spy": Spy()}, "folds": FOLDS, "seeds": [0], "out": tmp_path} | change
    with pytest.raises(UsageError, match=message):
        run(trials, call.pop("estimators"), **call)
    assert SEEN == []
    assert not list(tmp_path.iterdir())


def test_predictions_that_are_none_make_a_failed_fold(trials, tmp_path):
    class Nan(DummyClassifier):
        def predict_proba(self, X):
            return super().predict_proba(X) * np.nan

    outcome = run(trials, {"nan": Nan()}, folds=FOLDS, seeds=[0], out=tmp_path)
    assert len(outcome.failed) == 4
    assert "not finite" in outcome.failed[0].error


# ------------------------------------------------------------------ few labels, equal budgets, leakage


def test_a_few_shot_curve_is_nested_and_the_same_for_all(trials, tmp_path):
    curve = FewShot(trials=(1, 5), subjects=(2, 3))
    pair = {"a": Spy(), "b": Spy(crash="never")}
    call = {"folds": FOLDS, "seeds": [0], "out": tmp_path, "draws": 20}
    outcome = run(trials, pair, few_shot=curve, **call)
    outcome.check_complete()
    results = outcome.results[outcome.results["metric"] == "auroc"]
    assert len(results) == 2 * 4 * 5
    sizes = results.groupby(["shots_of", "shots"])["n_train"].agg(set)
    assert sizes["trials", 1] == {2}
    assert sizes["trials", 5] == {10}
    assert sizes["subjects", 2] == {2 * 16}
    assert (results["shots"].isna() == results["shots_of"].isna()).all()
    fits = {(n["fit"].shape[0], n["tests"][1].tobytes()): known(n["fit"]) for n in SEEN}
    by_test = {test for _, test in fits}
    for test in by_test:
        one, five, two, three = (fits[size, test] for size in (2, 10, 32, 48))
        assert one < five
        assert two < three
    a, b = SEEN[::2], SEEN[1::2]
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one["fit"], other["fit"])
    # The tables of all labels are as without the curve.
    assert len(outcome.predictions) == 2 * len(trials)
    assert outcome.statistics["folds_expected"].eq(4).all()
    plain = run(trials, pair, **call)
    assert len(SEEN) == 2 * 4 * 5  # nothing anew
    pd.testing.assert_frame_equal(plain.statistics, outcome.statistics)


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"trials": (500,)}, "over 500 trials, and a fold trains on .* windows of arithmetic"),
        ({"subjects": (8,)}, "over 8 subjects, and a fold trains on 4 subjects"),
    ],
)
def test_a_curve_over_more_labels_than_there_are_is_refused(trials, tmp_path, curve, message):
    with pytest.raises(UsageError, match=message):
        run(trials, {"spy": Spy()}, folds=FOLDS, few_shot=FewShot(**curve), out=tmp_path)
    assert SEEN == []
    with pytest.raises(UsageError, match="numbers from 1"):
        FewShot(trials=(0,))


def test_five_seeds_are_the_default(trials, tmp_path):
    outcome = run(trials, {"spy": Spy()}, folds=SubjectFolds(2, 0.2), out=tmp_path, draws=20)
    assert sorted(set(outcome.results["seed"])) == [0, 1, 2, 3, 4]


def test_the_cost_of_every_fit_is_counted(trials, tmp_path):
    pair = {"none": baselines.mdm(), "network": baselines.EEGNet(epochs=1)}
    outcome = run(trials, pair, folds=SubjectFolds(2, 0.3), seeds=[0], draws=20, out=tmp_path)
    outcome.check_complete()
    once = outcome.results[outcome.results["metric"] == "auroc"].set_index("estimator")
    assert (once["fit_seconds"] > 0).all()
    assert (once["fit_seconds"] <= once["seconds"]).all()
    assert once["flops"].notna().groupby("estimator").all().to_dict() == {
        "none": False, "network": True,
    }  # fmt: skip


def test_flops_are_those_of_the_network(trials):
    """A linear layer of 5 × 200 inputs and 2 outputs multiplies and adds 2,000 times."""

    class Linear(Spy):
        def fit(self, X, y, validation=None):
            import torch

            self.classes_ = np.unique(y)
            self.layer_ = torch.nn.Linear(1000, 2)
            return self

        def predict_proba(self, X):
            import torch

            with torch.no_grad():
                flat = torch.from_numpy(X.reshape(len(X), -1))
                return self.layer_(flat).softmax(1).double().numpy()

    fitted = Linear().fit(trials.X, trials.y)
    assert flops_per_window(fitted, trials.X) == 2 * 1000 * 2
    assert flops_per_window(make_pipeline(FunctionTransformer(), fitted), trials.X) == 4000
    assert flops_per_window(baselines.mdm().fit(trials.X, trials.y), trials.X) is None


def test_a_threshold_is_chosen_on_validation_and_keeps_the_order(trials):
    class Shy(Spy):
        """Never surer than 0.4 of the second class."""

        def predict_proba(self, X):
            positive = 0.4 / (1 + np.exp(-(X.std(axis=(1, 2)) * 1e5 - 1.1) * 20))
            return np.stack([1 - positive, positive], axis=1)

    train, held = trials.take(np.arange(64)), trials.take(np.arange(64, 128))
    plain = Shy().fit(train.X, train.y)
    shifted = ValidationThreshold(Shy()).fit(train.X, train.y, validation=(held.X, held.y))
    before, after = (e.predict_proba(held.X)[:, 1] for e in (plain, shifted))
    assert (np.argsort(before) == np.argsort(after)).all()
    truth = held.y == shifted.classes_[1]
    assert not (before >= 0.5).any()
    sums = [((before >= t) == truth)[truth].mean() + ((before >= t) == truth)[~truth].mean()
            for t in np.sort(before)]  # fmt: skip
    chosen = after >= 0.5
    assert (chosen == truth)[truth].mean() + (chosen == truth)[~truth].mean() == max(sums)
    assert before.min() < shifted.threshold_ < 0.4
    with pytest.raises(UsageError, match="validation subjects that have both"):
        ValidationThreshold(Shy()).fit(train.X, train.y)


def test_a_subject_on_both_sides_wants_a_reason_that_is_kept(trials, tmp_path):
    call = {
        "folds": WithinRecordings(4, 0.2, embargo=1.0),
        "seeds": [0],
        "out": tmp_path,
        "draws": 20,
    }
    with pytest.raises(
        UsageError, match=r"Subject '00' is in train and in validation .*allow_leakage"
    ):
        run(trials, {"spy": Spy()}, **call)
    with pytest.raises(UsageError, match="give the reason"):
        run(trials, {"spy": Spy()}, allow_leakage=" ", **call)
    assert not list(tmp_path.iterdir())
    outcome = run(trials, {"spy": Spy()}, allow_leakage="after a calibration", **call)
    outcome.check_complete()
    assert outcome.leaks == ("Subject '00' is in train and in validation of fold 0",)
    assert set(pd.read_csv(tmp_path / "results.csv")["leakage"]) == {"after a calibration"}
    assert outcome.results["n_train"].max() < len(trials) * 0.6  # purged


def test_windows_that_share_samples_across_sides_are_found(trials):
    names = names_of(trials.table, "window")
    mine = trials.meta["recording"].eq("sub-00_run-1")
    first = tuple(sorted(names[mine & (trials.meta["onset"] < 4)]))
    last = tuple(sorted(names[mine & (trials.meta["onset"] >= 4)]))
    fold = Fold(0, first, (), last, by="window")
    assert not any("shares samples" in leak for leak in find_leaks(trials.table, [fold]))
    longer = trials.table.assign(seconds=2.5)
    leaks = find_leaks(longer, [fold])
    assert "The window at 2 s of sub-00_run-1 is in train of fold 0 and shares samples" in leaks[-1]


def test_one_recording_in_two_data_sets_leaks_across_sides(trials):
    meta = trials.meta.assign(dataset="a")
    copied = meta["recording"].eq("sub-05_run-1")
    meta.loc[copied, "fingerprint"] = meta.loc[
        meta["recording"].eq("sub-02_run-1"), "fingerprint"
    ].iloc[0]
    meta.loc[copied, "dataset"] = "b"
    table = meta.assign(label=trials.y, seconds=2.0)
    apart = Fold(0, ("02",), (), ("05",))
    leaks = find_leaks(table, [apart])
    assert "stands under the subjects a 02 and b 05" in leaks[0]
    assert "Fingerprint 'f21' is in train and in test of fold 0" in leaks[1]
    together = find_leaks(table, [Fold(0, ("02", "05"), (), ("01",))])
    assert len(together) == 1  # one person under two names all the same


def test_the_reason_stands_on_the_report_s_first_screen(store, tmp_path):
    task = Task("eegmat", store, ARITHMETIC, 5.0)
    call = {"folds": SubjectFolds(2, 0.0), "seeds": [0], "out": tmp_path}
    reason = "the <pilot> had to be tested on itself"
    task = replace(task, splits={"inside": PublishedSplit(WithinRecordings(2, 0.0, embargo=5.0))})
    with pytest.raises(UsageError, match="allow_leakage"):
        evaluate(task, {"mdm": baselines.mdm()}, split="inside", **call)
    evaluate(task, {"mdm": baselines.mdm()}, split="inside", allow_leakage=reason, **call)
    page = (tmp_path / "report.html").read_text()
    first = page[page.index('class="first"') : page.index('id="table"')]
    assert "Leakage was allowed:" in first
    assert "the &lt;pilot&gt; had to be tested on itself" in first
    assert "Subject &#39;00&#39; is in train and in test of fold 0" in first
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["leakage"]["reason"] == reason
    assert manifest["split"] == "inside"
    # A journey that names no store has the task's.
    assert "Without a store" not in page
    assert open_store(store).fingerprint in page


def test_an_incomplete_table_is_red_and_the_command_fails(store, tmp_path):
    task = Task("eegmat", store, ARITHMETIC, 5.0)
    estimators = {"good": baselines.mdm(), "bad": Spy(crash="out of luck")}
    call = {"folds": SubjectFolds(2, 0.0), "seeds": [0, 1], "out": tmp_path}
    with pytest.raises(WorkError) as caught:
        evaluate(task, estimators, **call)
    assert caught.value.exit_code == 1
    page = (tmp_path / "report.html").read_text()
    first = page[page.index('class="first"') : page.index('id="table"')]
    assert "This table is incomplete." in first
    assert "2 folds missing: fold 0 seed 1 (ValueError: out of luck)" in first
    assert "lost-words" in first
    # Mended, the same command computes what is missing and nothing else.
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "folds").glob("*.json")}
    evaluate(task, {"good": baselines.mdm()}, **call)
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "folds").glob("*.json")}
    assert kept == done
    assert "This table is incomplete." not in (tmp_path / "report.html").read_text()


# ------------------------------------------------------------------ tasks, on real recordings


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("task") / "store.zarr"
    files = sorted(map(str, (ROOT / "sample" / "eegmat").glob("Subject0[0-3]_*.edf")))
    ingest(files, store=path, recipe=ROOT / "configs" / "datasets" / "eegmat.yaml")
    return path


ARITHMETIC = RecordingLabels("run", {"01": "rest", "2": "arithmetic"})


def test_a_task_cuts_real_recordings_into_windows(store):
    task = Task("eegmat", store, ARITHMETIC, 5.0)
    trials = task.load()
    opened = open_store(store)
    assert task.classes == ("rest", "arithmetic")
    assert trials.X.shape[1:] == (19, round(5 * trials.sfreq))
    whole = sum(int(n // round(5 * trials.sfreq)) for n in opened.table["n_times"])
    assert len(trials) == whole
    assert set(trials.meta["subject"]) == {"00", "01", "02", "03"}
    last = trials.meta.iloc[-1]
    start = round(last["onset"] * trials.sfreq)
    signal = opened.read(last["recording"], start, start + trials.X.shape[2])
    rows = [opened.sensors(last["recording"]).names.index(n) for n in trials.sensors.names]
    np.testing.assert_array_equal(trials.X[-1], signal[rows])
    assert 1e-6 < trials.X.std() < 1e-3  # volts


def test_a_task_takes_named_channels_in_their_order_and_overlapping_windows(store):
    task = Task("two", store, ARITHMETIC, 4.0, 2.0, channels=("O2", "Fz"))
    trials = task.load()
    assert trials.sensors.names == ("O2", "Fz")
    assert np.diff(trials.meta["onset"][:3]).tolist() == [2.0, 2.0]
    half = trials.X.shape[2] // 2
    np.testing.assert_array_equal(trials.X[0][:, half:], trials.X[1][:, :half])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: Task("t", s, ARITHMETIC, 5.0, channels=("Fz", "F99")), "F99"),
        (lambda s: Task("t", s, ARITHMETIC, 5.0, kinds=("mag",)), "no channel of kind"),
        (lambda s: Task("t", s, RecordingLabels("rnu", {"1": "a"}), 5.0), "no column 'rnu'"),
        (lambda s: Task("t", s, RecordingLabels("run", {"7": "a"}), 5.0), "None of the 8"),
        (
            lambda s: Task("t", s, RecordingLabels("run", {"1": "a", "9": "b"}), 5.0),
            r"No window of class \['b'\]",
        ),
        (lambda s: Task("t", s, AnnotationLabels({"T1": "a"}, 0.0, 1.0), 1.0), r"class \['a'\]"),
        (lambda s: Task("t", s, ARITHMETIC, 5.0, dataset="theirs"), "None of the 8"),
        (lambda s: Task("t", s, ARITHMETIC, -1.0), "above 0"),
        (lambda s: Task("t", s, ARITHMETIC, 5.0, metrics=("acc",)), "Unknown metrics"),
        (lambda s: Task("t", s / "no", ARITHMETIC, 5.0), "no"),
    ],
)
def test_a_task_that_does_not_fit_the_store_is_refused(store, make, message):
    with pytest.raises(UsageError, match=message):
        make(store).load()


def stored(path: Path, recordings: dict[str, tuple[str, float]]) -> Path:
    """Make a store of 10 s recordings with cues at 1 s, 4 s and 9.5 s.

    A channel of the name "x", "y" or "z" is 0, 1 or 2 plus a ramp, in run 2 a parabola.
    """
    recipe = Recipe()
    create_store(path, recipe.preprocessing, recipe.preprocessing_hash)
    cues = Annotations(np.array([1.0, 4.0, 9.5]), np.zeros(3), ("T1", "T2", "T1"))
    with writing(path):
        for run, (names, sfreq) in recordings.items():
            plain = sensors(len(names))
            named = Sensors(
                tuple(names), plain.kind, plain.position, plain.orientation, plain.position_source
            )
            time = np.arange(round(10 * sfreq), dtype=np.float32) / 1e4
            level = np.array(["xyz".index(n) for n in names], dtype=np.float32)
            signal = level[:, None] + (time**2 if run == "2" else time)
            made = Recording(
                n_times=signal.shape[1],
                sensors=named,
                sfreq=sfreq,
                annotations=cues,
                subject=f"s{run}",
                session=None,
                run=run,
                task=None,
                source=f"{run}.edf",
                provenance={},
                blocks=hold(signal),
            )
            write_recording(path, made, "0" * 64, encoding="float32")
    return path


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (("x", 100.0), r"lacks the channels \['y'\]"),
        (("xyz", 100.0), r"has \['z'\] besides"),
        (("xy", 128.0), "different sampling rates"),
    ],
)
def test_recordings_that_differ_are_refused_not_padded(tmp_path, second, message):
    path = stored(tmp_path / "s.zarr", {"1": ("xy", 100.0), "2": second})
    with pytest.raises(UsageError, match=message):
        Task("t", path, ARITHMETIC, 1.0).load()


def test_channels_in_another_order_are_put_in_order(tmp_path):
    path = stored(tmp_path / "s.zarr", {"1": ("xy", 100.0), "2": ("yx", 100.0)})
    trials = Task("t", path, ARITHMETIC, 1.0).load()
    assert trials.sensors.names == ("x", "y")
    np.testing.assert_allclose(trials.X[:, 1, 0] - trials.X[:, 0, 0], 1, atol=1e-5)


def test_trials_around_cues_end_before_the_recording_does(tmp_path, caplog):
    path = stored(tmp_path / "s.zarr", {"1": ("xy", 100.0), "2": ("xy", 100.0)})
    labels = AnnotationLabels({"T1": "left", "T2": "right"}, 0.5, 2.5, runs=("01",))
    trials = Task("t", path, labels, 1.0).load()
    assert trials.y.tolist() == ["left", "left", "right", "right"]
    assert trials.meta["onset"].tolist() == [1.5, 2.5, 4.5, 5.5]
    np.testing.assert_allclose(trials.X[0, 0], np.arange(150, 250) / 1e4, atol=1e-6)
    assert "1 trials pass the ends" in caplog.text  # the cue at 9.5 s


def test_a_copy_of_a_recording_counts_once(tmp_path, caplog):
    path = stored(tmp_path / "s.zarr", {"1": ("xy", 100.0), "3": ("xy", 100.0)})
    labels = RecordingLabels("run", {"1": "rest", "3": "rest"})
    trials = Task("t", path, labels, 1.0).load()
    assert set(trials.meta["subject"]) == {"s1"}
    assert "1 copies" in caplog.text


@pytest.mark.data
def test_imagined_movements_are_cut_at_their_cues(tmp_path, caplog):
    root = Path(os.environ["BRAINFM_DATA"])
    files = [str(p) for r in ("01", "04", "08") for p in root.rglob(f"S001R{r}.edf")]
    recipe = ROOT / "configs" / "datasets" / "eegmmidb.yaml"
    ingest(files, store=tmp_path / "s.zarr", recipe=recipe)
    labels = AnnotationLabels({"T1": "left", "T2": "right"}, 0.5, 3.5, runs=("4", "8", "12"))
    trials = Task("mi", tmp_path / "s.zarr", labels, 3.0).load()
    assert trials.X.shape[1:] == (64, round(3 * trials.sfreq))
    assert len(trials) == 30
    store = open_store(tmp_path / "s.zarr")
    marks = store.annotations(trials.meta["recording"].iloc[0])
    cues = [o for o, d in zip(marks.onset, marks.description, strict=True) if d in ("T1", "T2")]
    assert trials.meta["onset"].iloc[0] == pytest.approx(cues[0] + 0.5, abs=1 / trials.sfreq)


# ------------------------------------------------------------------ the command's YAML


def test_evaluate_is_built_from_yaml_and_runs(store, tmp_path, monkeypatch):
    shared = (ROOT / "configs" / "tasks" / "eegmat-arithmetic.yaml").read_text()
    (tmp_path / "task.yaml").write_text(shared.replace("runs/quickstart/store.zarr", str(store)))
    (tmp_path / "bench.yaml").write_text(
        """
task: task.yaml
estimators:
  mdm: {class_path: brainfm.baselines.mdm, init_args: {estimator: lwf}}
  bands:
    class_path: brainfm.baselines.log_bandpower_lda
    init_args: {bands: [[4, 8], [8, 13]]}
  tree: {class_path: sklearn.dummy.DummyClassifier}
  search:
    class_path: brainfm.evaluation.ValidationSearch
    init_args:
      estimator: {class_path: brainfm.baselines.tangent_space_lr}
      grid: {lr__C: [0.1, 1]}
folds: {folds: 2, validation: 0.3}
seeds: [0]
reference: mdm
journey: {store: here.zarr}
"""
        + f"out: {tmp_path / 'out'}\n"
    )
    parser = ArgumentParser()
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_function_arguments(evaluate, sub_configs=True, as_positional=False)
    built = parser.instantiate(parser.parse_args(["--config", str(tmp_path / "bench.yaml")]))
    assert built.estimators["mdm"].get_params()["covariance__estimator"] == "lwf"
    written = []
    page = SimpleNamespace(write_report=lambda out, *, journey: written.append(journey))
    monkeypatch.setitem(sys.modules, "brainfm.evaluation.report", page)
    arguments = {k: v for k, v in vars(built).items() if k != "config"}
    evaluate(**arguments)
    assert written[0].store == Path("here.zarr")
    statistics = pd.read_csv(tmp_path / "out" / "statistics.csv")
    assert statistics["complete"].all()
    assert set(statistics["estimator"]) == {"mdm", "bands", "tree", "search"}
    record = json.loads(next((tmp_path / "out" / "folds").glob("*.json")).read_text())
    assert record["task"] == "eegmat-arithmetic"


@pytest.mark.parametrize("name", ["eegmat-arithmetic", "eegmmidb-left-right"])
def test_every_task_file_builds(name):
    parser = ArgumentParser()
    parser.add_argument("--task", type=Task)
    file = ROOT / "configs" / "tasks" / f"{name}.yaml"
    built = parser.instantiate(parser.parse_args([f"--task={file}"]))
    assert built.task.name == name
