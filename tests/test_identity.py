"""The identity check finds people where they were planted, and nobody where they were not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import planted
from scipy.stats import f_oneway
from sklearn.metrics import balanced_accuracy_score

from brainfm.baselines import tangent_space_lr, xdawn_tangent_space_lr
from brainfm.evaluation.identity import (
    PER_RECORDING,
    Identity,
    check_identity,
    judge,
    measure_identity,
    recording_number,
    variance_ratio,
)
from brainfm.evaluation.protocol import run
from brainfm.evaluation.report import write_report
from brainfm.windows.splits import Fold, SubjectFolds
from brainfm.windows.trials import Trials


def features(
    *, person: float = 0.0, label: float = 0.0, run: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """10 people, 4 recordings each (two a label), 8 windows each, with effects of each by choice."""
    rng = np.random.default_rng(seed)
    rows = [(s, r, r % 2) for s in range(10) for r in range(4) for _ in range(8)]
    subject, recording, y = np.array(rows).T
    X = rng.standard_normal((len(rows), 12))
    X += person * rng.standard_normal((10, 12))[subject]
    X += run * rng.standard_normal((40, 12))[4 * subject + recording]
    X[:, 0] += label * y
    meta = pd.DataFrame({"subject": [f"s{s}" for s in subject]})
    meta["recording"] = [f"s{s} r{r}" for s, r in zip(subject, recording, strict=True)]
    return X, np.array(["rest", "task"])[y], meta


def told(features: np.ndarray, y: np.ndarray, meta: pd.DataFrame) -> Identity:
    """Return what features tell that were learned from half of the people."""
    unseen = meta["subject"].isin([f"s{s}" for s in range(0, 10, 2)]).to_numpy()
    return measure_identity(features, y, meta, unseen=unseen)


def half(trials: Trials) -> Fold:
    """Return a fold that tests every other subject."""
    names = sorted(set(trials.meta["subject"]))
    return Fold(0, tuple(names[::2]), (), tuple(names[1::2]))


def test_people_are_found_where_they_were_planted() -> None:
    found = told(*features(person=1.0))
    assert found.n_subjects == 10
    assert found.subject_chance == pytest.approx(0.1)
    assert found.subject_accuracy > 0.6
    assert found.subject_chance < found.subject_low < found.subject_accuracy < found.subject_high
    assert found.label_low < found.label_chance < found.label_high
    assert found.subject_ratio > 10
    assert abs(found.label_accuracy - found.label_chance) < 0.2


def test_the_label_is_found_where_it_was_planted() -> None:
    found = told(*features(label=2.0))
    assert found.label_accuracy > 0.75
    assert found.label_ratio > 5
    assert found.subject_accuracy < 0.25


def test_a_likeness_within_recordings_is_not_taken_for_a_person() -> None:
    """Folds by window would name nearly everybody."""
    several = [told(*features(run=2.0, seed=s)) for s in range(5)]
    assert np.mean([f.subject_accuracy for f in several]) < 0.2
    assert np.mean([f.subject_ratio for f in several]) == pytest.approx(1, abs=0.35)


def test_the_ratio_is_that_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    unit = np.arange(12).repeat(3)
    group = unit // 4
    X = rng.standard_normal((36, 1)) + group[:, None]
    means = X.reshape(12, 3).mean(1)
    wanted = f_oneway(*means.reshape(3, 4)).statistic
    assert variance_ratio(X, group.astype(str), unit.astype(str)) == pytest.approx(wanted)
    assert np.isnan(variance_ratio(X, unit.astype(str), unit.astype(str)))


def test_accuracy_is_scikit_learns_and_its_interval_covers_other_subjects() -> None:
    rng = np.random.default_rng(0)
    subject, y = np.arange(20).repeat(10), np.tile([0, 1], 100)
    inside = 0
    for _ in range(400):
        skill = np.clip(rng.normal(0.7, 0.1, 20), 0, 1)[subject]
        predicted = np.where(rng.random(200) < skill, y, 1 - y)
        found = judge(y, predicted, subject)
        inside += found.interval.low <= 0.7 <= found.interval.high
    assert found.accuracy == pytest.approx(balanced_accuracy_score(y, predicted))
    assert 0.92 <= inside / 400 <= 0.98


def test_with_one_recording_each_people_are_not_judged() -> None:
    X, y, meta = features()
    meta["recording"] = meta["subject"]
    found = told(X, y, meta)
    assert found.n_subjects == 0
    assert np.isnan([found.subject_accuracy, found.subject_chance, found.subject_ratio]).all()
    assert np.isfinite(found.label_accuracy)


def test_a_window_a_recording_names_nobody_and_a_failed_look_costs_no_fold() -> None:
    X, y, meta = features()
    first = meta.assign(n=meta.groupby("recording").cumcount()).query("n == 0").index
    few = first[[r.endswith(("r0", "r1")) for r in meta.loc[first, "recording"]]]
    found = told(X[few], y[few], meta.loc[few].reset_index(drop=True))
    assert np.isnan(found.subject_accuracy)

    class Broken:
        def transform(self, X: np.ndarray) -> np.ndarray:
            return np.full((len(X), 3), np.nan)

    trials = planted(subjects=4, windows=6)
    assert check_identity(Broken(), trials, half(trials)) is None


def test_recordings_are_numbered_in_each_subject() -> None:
    subject, recording = np.array(list("abab")), np.array(["x", "u", "y", "u"])
    assert recording_number(subject, recording).tolist() == [0, 0, 1, 0]


def test_features_are_what_the_last_step_is_given() -> None:
    trials = planted(subjects=6, windows=PER_RECORDING + 4)
    fitted = tangent_space_lr().fit(trials.X, trials.y)
    found = check_identity(fitted, trials, half(trials))
    assert found is not None
    assert found.n_subjects == 6
    assert found.label_accuracy > 0.8
    assert check_identity(object(), trials, half(trials)) is None

    class Broken:
        def transform(self, X: np.ndarray) -> np.ndarray:
            raise ValueError("nothing")

    assert check_identity(Broken(), trials, half(trials)) is None


@pytest.mark.parametrize("make", [xdawn_tangent_space_lr, tangent_space_lr])
def test_features_that_were_fitted_on_labels_do_not_tell_them_of_noise(make) -> None:
    """xDAWN's averages know the labels of whom they were learned from, whoever is left out later."""
    accuracy, ratio = [], []
    for seed in range(6):
        trials = planted(subjects=10, windows=10, channels=12, effect=0.0, seed=seed)
        shuffled = np.random.default_rng(seed).permutation(trials.y)
        trials, fold = replace(trials, y=shuffled), half(trials)
        train = trials.take(np.flatnonzero(fold.rows("train", trials.meta)))
        found = check_identity(make().fit(train.X, train.y), trials, fold)
        assert found is not None
        accuracy.append(found.label_accuracy)
        ratio.append(found.label_ratio)
    assert abs(np.mean(accuracy) - 0.5) < 0.06
    assert abs(np.mean(ratio) - 1) < 0.4


@pytest.mark.parametrize("learned", ["test", "one label"])
def test_nothing_is_said_of_labels_where_no_new_subject_shows_two(learned: str) -> None:
    trials = planted(subjects=6, windows=4)
    fold, fitted = half(trials), tangent_space_lr().fit(trials.X, trials.y)
    if learned == "test":  # each window by itself: all subjects are on both sides
        names = (trials.meta["recording"] + trials.meta["onset"].map("@{:.6f}".format)).tolist()
        fold = Fold(0, tuple(names[::2]), (), tuple(names[1::2]), by="window")
    else:
        trials = trials.take(np.flatnonzero((trials.y == "rest") | ~fold.rows("test", trials.meta)))
    found = check_identity(fitted, trials, fold)
    assert found is not None
    assert np.isnan([found.label_accuracy, found.label_low, found.label_ratio]).all()
    assert np.isfinite(found.subject_accuracy) or learned != "test"


def test_an_evaluation_checks_once_a_seed(tmp_path: Path) -> None:
    folds = SubjectFolds(folds=2, validation=0.0)
    estimators = {"riemann": tangent_space_lr()}
    run(planted(subjects=4), estimators, folds=folds, seeds=[0, 1], out=tmp_path, draws=10)
    table = pd.read_csv(tmp_path / "identity.csv")
    assert table[["estimator", "seed"]].to_numpy().tolist() == [["riemann", 0], ["riemann", 1]]
    assert {
        "subject_accuracy",
        "subject_chance",
        "subject_low",
        "label_high",
        "label_ratio",
    } <= set(table)
    assert "Does it know who it is?" in write_report(tmp_path).read_text()
