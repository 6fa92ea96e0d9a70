"""Numbers in place of classes: their measures, where they come from, and the protocol with regressors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import planted
from scipy.stats import pearsonr
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler

from brainfm import baselines
from brainfm.errors import UsageError
from brainfm.evaluation import Calibration, NumberLabels, Task
from brainfm.evaluation.metrics import score
from brainfm.evaluation.protocol import run
from brainfm.evaluation.regression import NUMBER_METRICS, number_scores
from brainfm.evaluation.shots import FewShot
from brainfm.evaluation.statistics import Pooled, score_intervals
from brainfm.layers.ridge import solve_ridge
from brainfm.recordings.recording import Annotations
from brainfm.windows.splits import SubjectFolds

NAMES = tuple(NUMBER_METRICS)
NO_MARKS = Annotations(np.empty(0), np.empty(0), ())


@given(seed=st.integers(0, 1000), n=st.integers(3, 30), scale=st.sampled_from([1e-7, 1.0, 1e5]))
def test_measures_of_numbers_are_scikit_learn_s_and_scipy_s_under_any_weights(seed, n, scale):
    rng = np.random.default_rng(seed)
    truth, guess = scale * rng.normal(size=(2, n))
    weight = rng.multinomial(n, np.full(n, 1 / n), size=4).astype(np.float32)
    weight[0] = 1
    found = number_scores(NAMES, truth[None], weight, guess)
    for i, times in enumerate(weight):
        y, p = (np.repeat(v, times.astype(int)) for v in (truth, guess))
        if len(np.unique(y)) < 3:
            continue
        wanted = (-mean_absolute_error(y, p), pearsonr(y, p).statistic, r2_score(y, p))
        for name, value in zip(NAMES, wanted, strict=True):
            assert found[name][i] == pytest.approx(value, rel=1e-6, abs=1e-9 * scale), name
    shuffled = np.stack([rng.permutation(truth) for _ in range(3)])
    once = number_scores(NAMES, shuffled, weight[:1], guess)
    for name in NAMES:
        alone = [score([name], y, guess[:, None], ())[name] for y in shuffled]
        np.testing.assert_allclose(once[name], alone)


def test_what_is_not_defined_of_numbers_is_nan():
    same, other = np.full((1, 5), 0.1), np.arange(5.0)
    once = np.ones((1, 5))
    of_one_number = number_scores(NAMES, same, once, other)
    assert np.isnan([of_one_number[name][0] for name in ("pearson_r", "r2")]).all()
    assert of_one_number["neg_mean_absolute_error"][0] == pytest.approx(-1.94)
    constant = number_scores(NAMES, other[None], once, np.full(5, 2.0))
    assert np.isnan(constant["pearson_r"][0])
    assert constant["r2"][0] == 0


def predicted(rng: np.random.Generator, subjects: int, windows: int = 6) -> Pooled:
    """Return predictions that are right by four tenths, with an error of the subject and of the window."""
    number = rng.normal(40, 10, subjects)
    by_subject = 25 + 0.4 * number + rng.normal(0, 5, subjects)
    name = np.repeat([f"{i:06d}" for i in range(subjects)], windows)
    guess = np.repeat(by_subject, windows) + rng.normal(0, 3, len(name))
    return Pooled(np.repeat(number, windows), name, name, guess[None, :, None])


@pytest.mark.parametrize("subjects", [10, 30])
def test_intervals_of_numbers_hold_the_truth_as_often_as_they_promise(subjects):
    rng, experiments = np.random.default_rng(subjects), 1000
    truth = {name: v[0] for name, v in predicted(rng, 50_000).scores(NAMES).items()}
    held = dict.fromkeys(NAMES, 0)
    for _ in range(experiments):
        found = score_intervals(predicted(rng, subjects), NAMES)
        for name, interval in found.items():
            held[name] += interval.low <= truth[name] <= interval.high
    assert all(0.93 <= count / experiments <= 0.97 for count in held.values()), held


# ------------------------------------------------------------------ where the numbers come from


def row(subject: str, run: str = "1") -> pd.Series:
    return pd.Series({"id": "r", "subject": subject, "run": run, "n_times": 400, "sfreq": 200.0})


def test_a_number_is_read_from_bids_s_participants_and_from_other_tables(tmp_path: Path):
    bids = tmp_path / "participants.tsv"
    bids.write_text("participant_id\tage\tsex\nsub-01\t31.5\tF\nsub-2\tn/a\tM\nsub-10\t7\tF\n")
    age = NumberLabels(bids, "age")
    assert age.names() == ()
    assert [age.selects(row(s)) for s in ("1", "01", "2", "10", "3")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    (span,) = age.spans(row("01"), NO_MARKS)
    assert (span.start, span.stop, float(span.label)) == (0.0, 2.0, 31.5)
    other = tmp_path / "info.csv"
    other.write_text("Subject,Score\nSubject00,0.1\nSubject01,-3e-5\n")
    rest = NumberLabels(other, "Score", subjects="Subject", prefix="Subject", runs=("1",))
    assert (rest.selects(row("00")), rest.selects(row("00", "2"))) == (True, False)
    assert float(rest.spans(row("01"), NO_MARKS)[0].label) == -3e-5


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("participant_id\tage\nsub-1\t3\n", "iq", "no column 'iq': choose from"),
        ("who\tage\n1\t3\n", "age", "no column 'participant_id'"),
        ("participant_id\tage\nsub-1\t3\nsub-01\t4\n", "age", "several rows of the subject '1'"),
        (None, "age", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(text, column, message, tmp_path: Path):
    path = tmp_path / "participants.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        NumberLabels(path, column).selects(row("1"))


# ------------------------------------------------------------------ the protocol


def numbered(subjects: int = 16):
    """Windows whose 10 Hz source grows with a number of the subject."""
    rng = np.random.default_rng(0)
    trials = planted(subjects=subjects, windows=4, effect=0.0)
    number = rng.uniform(20, 60, subjects)[trials.meta["subject"].astype(int)]
    wave = np.sin(2 * np.pi * 10 * np.arange(200) / 100)
    X = trials.X + 1e-5 * (number / 20)[:, None, None] * np.outer([1, -1, 2, 0, 1], wave)
    return replace(trials, X=X.astype(np.float32), y=number)


def test_a_planted_number_is_found_and_compared_subject_by_subject(tmp_path: Path):
    trials = numbered()
    estimators = {"ridge": baselines.tangent_space_ridge(), "mean": DummyRegressor()}
    call = {"folds": SubjectFolds(4, 0.2), "seeds": [0, 1], "reference": "mean", "draws": 100}
    outcome = run(trials, estimators, out=tmp_path, **call)
    outcome.check_complete()
    assert set(outcome.results["metric"]) == set(NAMES)
    told = outcome.statistics.set_index(["estimator", "metric"])
    assert told.loc[("ridge", "pearson_r"), "value"] > 0.9
    assert told.loc[("ridge", "r2"), "low"] > told.loc[("ridge", "r2"), "chance_high"]
    best = told.loc[("ridge", "neg_mean_absolute_error")]
    assert best["n_paired"] == 16
    assert best["difference_low"] > 0
    assert best["paired_by"] == "subjects"
    shared = told.loc[("ridge", "r2")]  # one number a subject has no variance to explain
    assert (shared["paired_by"], shared["n_paired"]) == ("pooled", 16)
    assert shared["difference_low"] > 0
    mine = outcome.predictions.query("estimator == 'ridge' and seed == 0")
    wanted = -mean_absolute_error(mine["y_true"], mine["y_pred"])
    seeds = [wanted] + [
        -mean_absolute_error(p["y_true"], p["y_pred"])
        for s, p in outcome.predictions.query("estimator == 'ridge'").groupby("seed")
        if s != 0
    ]
    assert best["value"] == pytest.approx(np.mean(seeds))


def test_the_baseline_s_penalty_leaves_out_the_subjects_that_the_protocol_names(tmp_path: Path):
    trials = numbered(6)
    groups = trials.meta["subject"].to_numpy(dtype=str)
    fitted = baselines.tangent_space_ridge().fit(trials.X, trials.y, groups=groups)
    features = fitted[:-1].transform(trials.X)
    scaled = StandardScaler().fit_transform(features)
    wanted = solve_ridge(scaled, trials.y[:, None], groups=groups)
    assert fitted["ridge"].alpha_ == wanted.alpha
    again = Ridge(wanted.alpha).fit(scaled, trials.y)
    np.testing.assert_allclose(fitted.predict(trials.X), again.predict(scaled), rtol=1e-6)
    outcome = run(
        trials, {"told": baselines.tangent_space_ridge()}, out=tmp_path, seeds=[0], draws=10,
        folds=SubjectFolds(2, 0.0),
    )  # fmt: skip
    (fold, *_) = SubjectFolds(2, 0.0).split(trials.table, 0)
    train = fold.rows("train", trials.meta)
    mine = baselines.tangent_space_ridge().fit(
        trials.X[train], trials.y[train], groups=groups[train]
    )
    test = fold.rows("test", trials.meta)
    found = outcome.predictions.query("fold == 0")["y_pred"]
    np.testing.assert_allclose(found, mine.predict(trials.X[test]), rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"estimators": {"mdm": baselines.mdm()}},
            "'mdm' .* is no regressor, and the task is of numbers",
        ),
        ({"metrics": ["auroc"]}, r"Unknown metrics \['auroc'\]: choose from \['neg_mean"),
        ({"few_shot": FewShot(trials=(2,))}, "the task is of numbers: give `subjects`"),
        ({"y": np.full(48, 3.0)}, "All windows have the number 3"),
    ],
)
def test_a_task_of_numbers_refuses_what_is_of_classes(change, message, tmp_path: Path):
    trials = numbered(6)
    trials = replace(trials, y=change.pop("y", trials.y))
    call = {"estimators": {"mean": DummyRegressor()}, "folds": SubjectFolds(2, 0.0)} | change
    with pytest.raises(UsageError, match=message):
        run(trials, call.pop("estimators"), out=tmp_path, **call)


def test_a_task_of_numbers_has_measures_of_numbers():
    label = NumberLabels(Path("none.csv"), "age")
    assert Task("age", Path("none"), label, 5.0).metrics == NAMES
    with pytest.raises(UsageError, match="leave `measures` out"):
        Task("age", Path("none"), label, 5.0, measures=(Calibration(),))
    with pytest.raises(UsageError, match=r"Unknown metrics \['kappa'\]"):
        Task("age", Path("none"), label, 5.0, metrics=("kappa",))
    with pytest.raises(UsageError, match="NaN or infinity"):
        replace(numbered(6), y=np.full(48, np.nan))
