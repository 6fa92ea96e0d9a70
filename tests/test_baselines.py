from __future__ import annotations

import os
import re
from inspect import isclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from planted import SFREQ, planted, sensors
from pyriemann.classification import MDM, FgMDM
from pyriemann.estimation import Covariances, XdawnCovariances
from pyriemann.tangentspace import TangentSpace
from sklearn.base import ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.covariance import ledoit_wolf, oas
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from test_configs import built

from brainfm import baselines
from brainfm.errors import UsageError
from brainfm.evaluation import RecordingLabels, Task
from brainfm.evaluation.attempt import fill_in
from brainfm.evaluation.parameters import trained_parameters
from brainfm.evaluation.protocol import run
from brainfm.stages.ingest import ingest
from brainfm.windows.splits import SubjectFolds

PIPELINES = {
    "mdm": baselines.mdm,
    "fgmdm": baselines.fgmdm,
    "tangent_space_lr": baselines.tangent_space_lr,
    "tangent_space_svm": baselines.tangent_space_svm,
    "tangent_space_elastic_net": baselines.tangent_space_elastic_net,
    "xdawn_tangent_space_lr": baselines.xdawn_tangent_space_lr,
    "filter_bank_lr": lambda: baselines.filter_bank_lr(((4.0, 8.0), (8.0, 13.0))),
    "log_cospectra_lr": baselines.log_cospectra_lr,
    "block_toeplitz_tangent_space_svm": baselines.block_toeplitz_tangent_space_svm,
    "mdop": lambda: baselines.chosen_tangent_space_svm(baselines.MDOP(4, 5, series=8)),
    "search": lambda: baselines.AugmentedSearch((1, 2), (1, 4), C=(1.0,), folds=2),
    "augmented_tangent_space_svm": baselines.augmented_tangent_space_svm,
    "log_bandpower_lda": baselines.log_bandpower_lda,
    "in_band": lambda: baselines.InBand(baselines.tangent_space_lr(), 7.0, 13.0),
}


@pytest.fixture(scope="module")
def trials():
    return planted(subjects=4)


@pytest.fixture(params=PIPELINES)
def estimator(request, trials):
    return fill_in(PIPELINES[request.param](), trials, 0)


def test_a_pipeline_is_a_scikit_learn_classifier(estimator, trials):
    fitted = clone(estimator).fit(trials.X, trials.y)
    proba = fitted.predict_proba(trials.X)
    assert fitted.classes_.tolist() == ["arithmetic", "rest"]
    assert proba.shape == (len(trials), 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    # A machine's largest probability may be of another class than its decision, near the border.
    assert (fitted.predict(trials.X) == fitted.classes_[proba.argmax(axis=1)]).mean() > 0.95
    again = clone(fitted).fit(trials.X, trials.y).predict_proba(trials.X)
    np.testing.assert_array_equal(again, proba)
    assert trained_parameters(fitted) > trials.X.shape[1]


@pytest.mark.parametrize("factor", [1e6, 1e-8, 3.7])
def test_the_unit_of_the_signal_changes_nothing(estimator, trials, factor):
    want = clone(estimator).fit(trials.X, trials.y).predict_proba(trials.X)
    X = trials.X * np.float32(factor)
    got = clone(estimator).fit(X, trials.y).predict_proba(X)
    np.testing.assert_allclose(got, want, atol=2e-3)  # solvers stop at 1e-3


def test_a_window_is_predicted_alone(estimator, trials):
    fitted = clone(estimator).fit(trials.X, trials.y)
    whole = fitted.predict_proba(trials.X)
    np.testing.assert_allclose(fitted.predict_proba(trials.X[3:4]), whole[3:4], atol=1e-8)


def test_three_classes_are_told_apart(estimator):
    a, b = planted(subjects=3, effect=1.0), planted(subjects=3, effect=4.0, seed=0)
    strong = b.y == "rest"
    X = np.concatenate([a.X, b.X[strong]])
    y = np.concatenate([a.y, np.full(strong.sum(), "strong")])
    fitted = clone(estimator).fit(X, y)
    assert fitted.predict_proba(X).shape == (len(X), 3)
    assert np.mean(fitted.predict(X) == y) > 0.8


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (baselines.mdm(), [Covariances("oas"), MDM()]),
        (baselines.fgmdm("lwf"), [Covariances("lwf"), FgMDM()]),
        (
            baselines.tangent_space_lr(class_weight=None),
            [Covariances("oas"), TangentSpace(), LogisticRegression(max_iter=1000)],
        ),
        (
            baselines.xdawn_tangent_space_lr(2, class_weight=None),
            [
                XdawnCovariances(2, estimator="oas", xdawn_estimator="oas"),
                *(TangentSpace(), LogisticRegression(max_iter=1000)),
            ],
        ),
    ],
    ids=["mdm", "fgmdm", "tangent", "xdawn"],
)
def test_a_pipeline_s_probabilities_are_pyriemanns(ours, theirs, trials):
    held_out = trials.meta["subject"].eq("03").to_numpy()
    X, y = trials.X.astype(np.float64), trials.y
    got = ours.fit(X[~held_out], y[~held_out]).predict_proba(X[held_out])
    want = make_pipeline(*theirs).fit(1e5 * X[~held_out], y[~held_out])
    np.testing.assert_allclose(got, want.predict_proba(1e5 * X[held_out]), atol=1e-5)
    assert got.std(axis=0).min() > 0.005  # far more than they may differ


@pytest.mark.parametrize(("name", "reference"), [("oas", oas), ("lwf", ledoit_wolf)])
def test_shrinkage_is_scikit_learns(name, reference, trials):
    X = trials.X[:20] * 1e5
    got = baselines.Covariance(name).fit_transform(X)
    want = [reference(x.T.astype(np.float64))[0] for x in X]
    np.testing.assert_allclose(got, want, atol=1e-13)


def test_shrinkage_of_a_perfect_identity_and_of_short_windows_is_scikit_learns():
    rng = np.random.default_rng(0)
    for X in (rng.normal(size=(3, 6, 4)), np.tile(np.array([[1.0, -1], [1, -1]]), (2, 1, 50))):
        for name, reference in (("oas", oas), ("lwf", ledoit_wolf)):
            want = [reference(x.T)[0] for x in X]
            np.testing.assert_allclose(baselines.Covariance(name).fit_transform(X), want)


def test_sample_covariance_is_numpys(trials):
    got = baselines.Covariance("scm").fit_transform(trials.X)
    np.testing.assert_allclose(
        got, [np.cov(x.astype(np.float64), bias=True) for x in trials.X], rtol=1e-10
    )


def test_covariances_do_not_depend_on_the_batch(trials, monkeypatch):
    whole = baselines.Covariance().fit_transform(trials.X)
    monkeypatch.setattr(baselines.Covariance, "batch", 7)
    np.testing.assert_array_equal(baselines.Covariance().fit_transform(trials.X), whole)


@pytest.mark.parametrize(("order", "lag"), [(1, 3), (2, 1), (3, 4), (5, 2)])
def test_the_delay_embedding_is_the_readable_loop(order, lag):
    X = np.random.default_rng(0).normal(size=(3, 2, 40)).astype(np.float32)
    got = baselines.DelayEmbedding(order, lag).fit_transform(X)
    if order == 1:
        np.testing.assert_array_equal(got, X)
        return
    length = 40 - order * lag
    assert got.shape == (3, order * 2, length)
    for trial in range(3):
        for copy in range(order):
            for channel in range(2):
                want = X[trial, channel, copy * lag : copy * lag + length]
                np.testing.assert_array_equal(got[trial, copy * 2 + channel], want)


class Remembering(baselines.LogBandPower):
    """Keeps what its ``fit`` was given."""

    def fit(self, X, y, validation=None, groups=None):
        self.seen_, self.validation_, self.classes_ = X, validation, np.unique(y)
        self.groups_ = groups
        return self


def test_an_estimator_in_a_band_sees_nothing_else():
    time = np.arange(800) / SFREQ
    waves = np.sin(2 * np.pi * np.array([2.0, 10.0, 30.0])[:, None] * time)
    X, y = np.stack([waves, waves[::-1]]).astype(np.float32), np.array(["a", "b"])
    whose = np.array(["s1", "s2"])
    fitted = baselines.InBand(Remembering(), 8.0, 13.0, sfreq=SFREQ).fit(X, y, (X, y), whose)
    seen = fitted.estimator_.seen_[0, :, 200:600]
    np.testing.assert_allclose(seen[1], X[0, 1, 200:600], atol=0.02)
    assert np.abs(seen[[0, 2]]).max() < 0.02
    np.testing.assert_array_equal(fitted.estimator_.validation_[0], fitted.estimator_.seen_)
    np.testing.assert_array_equal(fitted.estimator_.groups_, whose)


def test_a_band_takes_regressors_too(trials):
    age, whose = trials.X.std(axis=(1, 2)) * 1e5, trials.meta["subject"].to_numpy(dtype=str)
    in_band = baselines.InBand(baselines.tangent_space_ridge(), 8.0, 32.0, sfreq=SFREQ)
    assert is_regressor(in_band)
    assert is_classifier(baselines.InBand(baselines.mdm(), 8.0, 32.0))
    fitted = in_band.fit(trials.X, age, groups=whose)
    plain = baselines.tangent_space_ridge().fit(in_band._filtered(trials.X), age, groups=whose)
    np.testing.assert_array_equal(
        fitted.predict(trials.X), plain.predict(in_band._filtered(trials.X))
    )


def test_scale_is_by_sensor_kind():
    X = np.random.default_rng(0).normal(size=(30, 4, 100)) * np.array([1, 1, 1e-8, 1e-8])[:, None]
    plain = sensors(4)
    mixed = type(plain)(
        plain.names, ("eeg", "eeg", "mag", "mag"), plain.position, plain.orientation,
        plain.position_source,
    )  # fmt: skip
    scaled = baselines.Scale(mixed).fit_transform(X)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1, rtol=0.1)


def test_band_power_is_in_the_band_of_the_sine():
    time = np.arange(400) / SFREQ
    X = np.sin(2 * np.pi * np.array([3.0, 10.0, 20.0])[:, None] * time)[None]
    power = baselines.LogBandPower(((1.0, 4.0), (8.0, 13.0), (13.0, 30.0)), SFREQ).fit_transform(X)
    assert power.reshape(3, 3).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_flat_channel_in_a_window_is_survived(estimator, trials):
    X = trials.X.copy()
    X[5, 2] = 0
    assert np.isfinite(clone(estimator).fit(X, trials.y).predict_proba(X)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: baselines.log_bandpower_lda(), "sampling rate is not known"),
        (
            lambda: baselines.log_bandpower_lda(((40.0, 60.0),)).set_params(power__sfreq=100.0),
            "40.0–60.0 Hz",
        ),
        (lambda: baselines.InBand(baselines.mdm(), 8.0, 30.0), "sampling rate is not known"),
        (lambda: baselines.InBand(baselines.mdm(), 8.0, 60.0, sfreq=100.0), "8.0–60.0 Hz"),
        (lambda: baselines.InBand(baselines.mdm(), 0.1, 30.0, sfreq=100.0), "a cycle of 0.1 Hz"),
        (lambda: baselines.augmented_tangent_space_svm(order=20, lag=10), "20 copies 10 samples"),
        (lambda: baselines.augmented_tangent_space_svm(order=0), "Order 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, message, trials):
    with pytest.raises(UsageError, match=message):
        make().fit(trials.X, trials.y)


def test_channels_without_a_signal_are_refused(trials):
    with pytest.raises(UsageError, match="constant"):
        baselines.mdm().fit(np.zeros_like(trials.X), trials.y)


PAGE = (Path(__file__).parents[1] / "docs" / "baselines.md").read_text()


def test_the_page_of_baselines_has_them_all_and_nothing_else():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    public = {name: getattr(baselines, name) for name in baselines.__all__}
    fitted = (ClassifierMixin, baselines.InBand)
    estimators = [n for n, made in public.items() if not isclass(made) or issubclass(made, fitted)]
    assert sorted(rows) == sorted(estimators)


def test_who_follows_the_page_of_baselines_gets_results(tmp_path):
    (tmp_path / "bench.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    label = {"class_path": "RecordingLabels",
             "init_args": {"column": "run", "classes": {"1": "rest", "2": "arithmetic"}}}  # fmt: skip
    task = {"name": "toy", "store": "s.zarr", "label": label, "seconds": 2}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(task))
    estimators = built("evaluate", "--config", str(tmp_path / "bench.yaml")).estimators
    assert len(estimators) == 5
    outcome = run(
        planted(subjects=4, effect=2.0), estimators,
        folds=SubjectFolds(2, 0.25), seeds=[0], out=tmp_path / "out", task="toy", draws=20,
    )  # fmt: skip
    assert not outcome.failed
    assert outcome.results.groupby("estimator")["value"].mean().notna().all()


@pytest.mark.data
def test_covariance_and_mdm_beat_chance_on_real_arithmetic(tmp_path):
    root = Path(__file__).parent.parent
    source = Path(os.environ["BRAINFM_DATA"]) / "eegmat_arithmetic"
    recipe = root / "configs" / "datasets" / "eegmat.yaml"
    ingest([str(source)], store=tmp_path / "s.zarr", recipe=recipe)
    labels = RecordingLabels("run", {"1": "rest", "2": "arithmetic"})
    trials = Task("eegmat", tmp_path / "s.zarr", labels, 5.0).load()
    subjects = trials.meta["subject"].to_numpy()
    proba = np.empty(len(trials))
    for subject in np.unique(subjects):
        test = subjects == subject
        fitted = baselines.mdm().fit(trials.X[~test], trials.y[~test])
        proba[test] = fitted.predict_proba(trials.X[test])[:, 1]
    assert roc_auc_score(trials.y == "rest", proba) > 0.6
