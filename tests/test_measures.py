"""Measures of an evaluation, from the recordings to their tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import planted
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import brier_score_loss
from test_clinical import expected_error
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring

from brainfm.errors import UsageError
from brainfm.evaluation import Calibration, Hypnograms, OverlapLabels, SeizureEvents, Task
from brainfm.evaluation.calibration import at_temperature
from brainfm.evaluation.hypnogram import compare_hypnograms, unbroken
from brainfm.evaluation.intervals import Interval
from brainfm.evaluation.measures import Evidence, measure_all, over_subjects
from brainfm.evaluation.protocol import run
from brainfm.evaluation.records import FoldRecord, read_record
from brainfm.evaluation.report import write_report
from brainfm.evaluation.report.alarms import event_points
from brainfm.evaluation.report.comparison import compare_estimators
from brainfm.evaluation.report.inputs import read_results
from brainfm.evaluation.report.nights import describe_nights
from brainfm.evaluation.report.numbers import figure
from brainfm.evaluation.report.reliability import pooled_bins
from brainfm.evaluation.report.verdict import Family, Standing
from brainfm.evaluation.seizures import SHARES
from brainfm.recordings.recording import Annotations, Recording, Sensors, hold
from brainfm.store.hold import create_store, writing
from brainfm.store.write import write_recording
from brainfm.windows.splits import Fold, SubjectFolds
from brainfm.windows.trials import Trials

SFREQ, WINDOW, SECONDS = 32.0, 10, 2400
SUBJECTS = 6
TILES = OverlapLabels("background", {"seizure": "seizure"})


class Loudness(ClassifierMixin, BaseEstimator):
    """Probability by the power of a window: bold, so that it can be cooled."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        power = np.log(X.std(axis=(1, 2)))
        self.middle_ = (power[y == "seizure"].mean() + power[y == "background"].mean()) / 2
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-20 * (np.log(X.std(axis=(1, 2))) - self.middle_)))
        return np.stack([1 - p, p], axis=1)


def seizures(subject: int) -> np.ndarray:
    """Return the (onset, duration) of a subject's two seizures."""
    return np.array([[400.0 + 31 * subject, 65.0], [1500.0 + 17 * subject, 40.0]])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Six people with two seizures each, which are louder; one of them often loud without."""
    path = tmp_path_factory.mktemp("seizures") / "s.zarr"
    create_store(path, {"sfreq": SFREQ, "unit": "SI"}, "abc")
    rng = np.random.default_rng(0)
    nowhere = np.full((2, 3), np.nan)
    sensors = Sensors(("C3", "C4"), ("eeg", "eeg"), nowhere, nowhere, ("unknown",) * 2)
    with writing(path):
        for subject in range(SUBJECTS):
            marks = seizures(subject)
            times = np.arange(int(SECONDS * SFREQ)) / SFREQ
            gain = np.ones_like(times)
            for onset, duration in marks:
                gain[(times >= onset) & (times < onset + duration)] = rng.uniform(1.2, 2.2)
            for start in range(100, SECONDS, 300 if subject == 0 else 1100):
                gain[(times >= start) & (times < start + 12)] = rng.uniform(1.1, 1.9)
            signal = 1e-5 * gain * rng.normal(size=(2, len(times)))
            recording = Recording(
                n_times=len(times), sensors=sensors, sfreq=SFREQ, subject=f"{subject:02d}",
                annotations=Annotations(marks[:, 0], marks[:, 1], ("seizure",) * 2), session=None,
                run=None, task=None, source=f"{subject}", provenance={"recipe": "planted"},
                blocks=hold(signal.astype(np.float32)),
            )  # fmt: skip
            write_recording(path, recording, f"{subject:064d}")
    return path


FOLDS = SubjectFolds(3, 0.5)
EVENTS = SeizureEvents(false_alarms_a_day=40.0)


@pytest.fixture(scope="module")
def evaluated(store, tmp_path_factory):
    task = Task("seizures", store, TILES, seconds=float(WINDOW), measures=(EVENTS, Calibration()))
    out = tmp_path_factory.mktemp("evaluation")
    run(
        task.load(), {"loudness": Loudness()}, folds=FOLDS, seeds=[0, 1], out=out, draws=50,
        task=task.name, classes=task.classes, measures=task.measures, store=store,
    )  # fmt: skip
    return out


def read(out, name: str) -> pd.DataFrame:
    return pd.read_csv(out / f"{name}.csv", dtype={"subject": str})


def test_the_locked_threshold_gives_what_szcores_scorer_gives(evaluated):
    events, predictions = read(evaluated, "events"), read(evaluated, "predictions")
    locked = events[events["locked"]]
    assert len(locked) == SUBJECTS * 2  # a subject is scored once a seed
    for row in locked.itertuples():
        mine = predictions.query("seed == @row.seed and subject == @row.subject")
        mask = np.repeat(mine.sort_values("onset")["p_seizure"].to_numpy() >= row.threshold, WINDOW)
        truth = [(on, on + d) for on, d in seizures(int(row.subject)).tolist()]
        want = EventScoring(Annotation(truth, 1, SECONDS), Annotation(mask, 1))
        got = (row.n_events, row.n_found, row.n_false)
        assert got == (want.refTrue, want.tp, want.fp)
    assert 0 < locked["n_found"].sum() <= locked["n_events"].sum()
    assert locked["n_false"].sum() > 0


def test_the_threshold_is_chosen_without_a_look_at_the_test_subjects(evaluated):
    table = read(evaluated, "events")
    for _, fold in table.groupby(["seed", "fold"]):
        assert fold[fold["locked"]]["threshold"].nunique() == 1
    # The curve goes from no alarm at all to alarms everywhere.
    by_share = table.groupby("loud")
    sums = by_share[["n_found", "n_false"]].sum()
    assert tuple(sums.loc[0.0]) == (0, 0)
    assert sums["n_found"].is_monotonic_increasing
    assert sums["n_false"].max() > table[table["locked"]]["n_false"].sum()
    # Every point is of all patients, also where a fold's thresholds are equal.
    assert by_share.size().eq(SUBJECTS * 2).all()
    assert (table.groupby(["seed", "fold"])["threshold"].nunique() < len(SHARES)).any()


def test_nothing_is_chosen_by_the_test_subjects(evaluated, store):
    task = Task("seizures", store, TILES, seconds=float(WINDOW))
    evidence = Evidence(task.load(), task.classes, store)
    records = [r for p in sorted((evaluated / "folds").glob("*.json")) if (r := read_record(p))]
    assert len(records) == 3 * 2

    def chosen(records: list[FoldRecord]) -> pd.DataFrame:
        events = EVENTS.measure(evidence, records).tables["events"].query("locked")
        bins = Calibration().measure(evidence, records).tables["calibration"]
        fold = ["seed", "fold"]
        return pd.concat(
            [events.groupby(fold)["threshold"].max(), bins.groupby(fold)["temperature"].max()],
            axis=1,
        )

    first = chosen(records)
    turned = [replace(r, proba=(1 - np.asarray(r.proba)).tolist()) for r in records]
    pd.testing.assert_frame_equal(chosen(turned), first)
    softer = [
        replace(r, validation_proba=at_temperature(np.asarray(r.validation_proba), 1.5).tolist())
        for r in records
    ]
    changed = chosen(softer)
    np.testing.assert_allclose(changed["temperature"], first["temperature"] / 1.5, rtol=0.02)
    assert (changed["threshold"] < first["threshold"]).all()


def test_measures_are_the_sums_of_their_tables(evaluated):
    measures = read(evaluated, "measures").set_index("quantity")
    locked = read(evaluated, "events").query("locked").groupby("seed")
    sums = locked[["n_events", "n_found", "n_false", "seconds"]].sum()
    sensitivity = (sums["n_found"] / sums["n_events"]).mean()
    alarms = (sums["n_false"] / sums["seconds"] * 86_400).mean()
    assert measures.loc["sensitivity", "value"] == pytest.approx(sensitivity)
    assert measures.loc["false_alarms_a_day", "value"] == pytest.approx(alarms)
    row = measures.loc["false_alarms_a_day"]
    assert row["low"] < row["value"] < row["high"]
    assert row["n_subjects"] == SUBJECTS


def test_calibration_is_that_of_the_pooled_predictions(evaluated):
    measures = read(evaluated, "measures").set_index("quantity")["value"]
    errors, scores = [], []
    for _, part in read(evaluated, "predictions").groupby("seed"):
        truth = (part["y_true"] == "seizure").to_numpy(dtype=np.int64)
        proba = part[["p_background", "p_seizure"]].to_numpy()
        errors.append(expected_error(truth, proba))
        scores.append(2 * brier_score_loss(truth, proba[:, 1]))
    assert measures["ece, as predicted"] == pytest.approx(np.mean(errors))
    assert measures["brier, as predicted"] == pytest.approx(np.mean(scores))
    table = read(evaluated, "calibration")
    scaled = table[table["proba"] == "temperature-scaled"].groupby(["seed", "fold"])
    assert scaled["temperature"].nunique().eq(1).all()
    assert scaled.size().nunique() > 1  # a fold counts once, however many rows it has
    one_a_fold = scaled["temperature"].first()
    assert one_a_fold.nunique() > 1
    assert measures["temperature"] == pytest.approx(np.exp(np.log(one_a_fold).mean()))


def test_without_validation_subjects_there_is_no_temperature(tmp_path):
    trials = planted()
    classes = trials.classes
    spy = _Prior()
    folds = SubjectFolds(4, 0.0)
    run(
        trials, {"a": spy}, folds=folds, seeds=[0], out=tmp_path, draws=20, measures=[Calibration()]
    )
    table = read(tmp_path, "measures")
    assert set(table["quantity"]) == {"ece, as predicted", "brier, as predicted"}
    assert len(classes) == 2


class _Prior(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, n = np.unique(y, return_counts=True)
        self.prior_ = n / n.sum()
        return self

    def predict_proba(self, X):
        return np.tile(self.prior_, (len(X), 1))


def test_what_cannot_be_measured_is_refused_before_any_fit(store):
    trials = Task("t", store, TILES, seconds=float(WINDOW)).load()
    evidence = Evidence(trials, ("background", "seizure"), store)
    folds = FOLDS.split(trials.meta, 0)
    SeizureEvents().check(evidence, folds)
    with pytest.raises(UsageError, match="No recording of the task"):
        SeizureEvents(annotations=("spike",)).check(evidence, folds)
    with pytest.raises(UsageError, match="of fold 0 have no event"):
        SeizureEvents().check(evidence, [Fold(0, ("00",), (), ("01",))])
    with pytest.raises(UsageError, match="no store"):
        SeizureEvents().check(Evidence(trials, evidence.classes), folds)
    half = trials.take(trials.meta["onset"].to_numpy() < SECONDS / 2)
    with pytest.raises(UsageError, match="show 1200 s of the 2400 s"):
        SeizureEvents().check(Evidence(half, evidence.classes, store), folds)


def test_the_report_draws_what_was_measured(evaluated):
    (comparison,) = compare_estimators(read_results(evaluated))
    events, calibration = comparison.measured.tables
    assert (events.measure, calibration.measure) == ("SeizureEvents", "Calibration")
    (line,) = events.lines
    measures = read(evaluated, "measures").set_index("quantity")
    assert line.cells[0][0] == figure(measures.loc["sensitivity", "value"])
    (diagram,) = comparison.measured.diagrams
    bins = pooled_bins(read(evaluated, "calibration").query("proba == 'as predicted'"))
    assert diagram.drawing.count("<title>as predicted") == len(bins)
    assert bins["count"].sum() == len(read(evaluated, "predictions"))
    (patients,) = comparison.measured.alarms.patients
    assert patients.false.count("<title>") == SUBJECTS
    html = write_report(evaluated).read_text(encoding="utf-8")
    assert "SzCORE" in html
    assert "locked on the validation subjects" in html


def test_the_curve_passes_through_the_sums_of_its_table(evaluated):
    events = read(evaluated, "events")
    curve = event_points(events)
    loudest = events[events["loud"] == events["loud"].max()]
    seeds = loudest.groupby("seed")[["n_found", "n_events"]].sum()
    assert curve["sensitivity"].iloc[-1] == pytest.approx(
        (seeds["n_found"] / seeds["n_events"]).mean()
    )
    assert curve["false"].iloc[0] == 0


STAGES = ("W", "N1", "N2", "N3", "R")


def nights(seed: int) -> tuple[Trials, FoldRecord]:
    """Return three nights, the second with a gap, and predictions that are right in 8 of 10 epochs."""
    rng = np.random.default_rng(seed)
    base = planted()
    truth, onset, subject = [], [], []
    for person in range(3):
        stages = np.repeat(rng.permutation(5).tolist() * 4, 6)
        at = np.arange(len(stages)) * 30.0
        if person == 1:
            at[60:] += 90.0
        truth.append(stages)
        onset.append(at)
        subject += [f"{person}"] * len(stages)
    y, n = np.concatenate(truth), len(subject)
    meta = pd.DataFrame(
        {
            "recording": subject, "subject": subject, "session": "", "run": "",
            "onset": np.concatenate(onset), "fingerprint": subject,
        }
    )  # fmt: skip
    guess = np.where(rng.random(n) < 0.8, y, rng.integers(0, 5, n))
    proba = 0.8 * np.eye(5)[guess] + 0.04
    X = np.zeros((n, len(base.sensors), 30), np.float32)
    trials = Trials(X, np.array(STAGES)[y], meta, base.sensors, 1.0)
    record = FoldRecord(
        "sleep", "a", 0, 0, ["0", "1", "2"], n, 1.0, trials=list(range(n)), proba=proba.tolist()
    )
    return trials, record


def test_hypnograms_agree_night_by_night_and_no_change_is_counted_across_a_gap():
    trials, record = nights(0)
    found = Hypnograms().measure(Evidence(trials, STAGES), [record])
    table, pairs = found.tables["hypnograms"], found.tables["transitions"]
    values = {v.quantity: v for v in found.values}
    predicted = np.array(STAGES)[np.asarray(record.proba).argmax(axis=1)]
    kappas = []
    for name, rows in trials.meta.groupby("recording").indices.items():
        want = compare_hypnograms(trials.y[rows], predicted[rows], STAGES)
        row = table.set_index("recording").loc[name]
        assert row["kappa"] == pytest.approx(want.kappa)
        assert row["f1_N2"] == pytest.approx(want.f1[2])
        kappas.append(want.kappa)
    assert values["kappa"].value == pytest.approx(np.mean(kappas))
    assert values["kappa"].interval.low < np.mean(kappas) < values["kappa"].interval.high
    # 119 pairs of epochs a night, and one fewer where a stretch is missing.
    assert pairs["true"].sum() == pairs["predicted"].sum() == 3 * 119 - 1
    changes = sum(pairs["true"][pairs["before"] != pairs["after"]])
    assert table["true_transitions"].sum() == changes


def test_the_report_says_what_follows_each_stage(tmp_path):
    trials, record = nights(0)
    evidence = Evidence(trials, STAGES)
    tables = measure_all([Hypnograms()], evidence, [record])
    standing = Standing("a", Family.riemann, 0.5, 0.4, 0.6, 0.4, 0.5, 0.01, complete=True)
    stages, (scored, mine) = describe_nights(tables["transitions"], [standing])
    assert stages == STAGES
    assert [sum(cell.share for cell in row) for row in scored.cells] == pytest.approx([1] * 5)
    # Six epochs of a stage follow each other, and errors break them up.
    assert scored.cells[2][2].share > 0.8 > mine.cells[2][2].share


def test_stretches_without_a_gap():
    assert unbroken(np.array([0.0, 30, 60, 150, 180]), 30.0) == [slice(0, 3), slice(3, 5)]
    assert unbroken(np.array([0.0]), 30.0) == [slice(0, 1)]


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        events = rng.integers(2, 8, (1, 24)).astype(float)
        skill = np.clip(rng.normal(0.7, 0.15, 24), 0, 1)
        found = rng.binomial(events.astype(int), skill).astype(float)
        ends: Interval = over_subjects("sensitivity", found, events).interval
        inside += ends.low <= 0.699 <= ends.high
    assert 0.93 <= inside / 1000 <= 0.97
