"""Support vector machines with few windows, with subjects told, and beside scikit-learn's and MOABB's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from planted import planted
from pyriemann.estimation import Covariances
from pyriemann.tangentspace import TangentSpace
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from test_baselines import PIPELINES

from brainfm import baselines
from brainfm.baselines.folds import inner_folds
from brainfm.baselines.svm import ProbabilisticSVM
from brainfm.errors import UsageError
from brainfm.evaluation.attempt import fill_in
from brainfm.evaluation.protocol import run
from brainfm.evaluation.shots import FewShot
from brainfm.windows.fitting import fit_validated
from brainfm.windows.splits import SubjectFolds
from brainfm.windows.trials import Trials

LEARNERS = PIPELINES | {
    "eegnet": lambda: baselines.EEGNet(2),
    "shallow": lambda: baselines.ShallowConvNet(2),
}
ONE = {"fgmdm", "log_bandpower_lda", "search"}  # cannot learn from one window of each class


@pytest.fixture(scope="module")
def trials() -> Trials:
    return planted(subjects=6, windows=6)


def few(trials: Trials, k: int) -> Trials:
    """Return k windows of each class, of several subjects."""
    rng = np.random.default_rng(k)
    rows = [rng.permutation(np.flatnonzero(trials.y == name))[:k] for name in trials.classes]
    return trials.take(np.sort(np.concatenate(rows)))


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("name", LEARNERS)
def test_baselines_learn_from_a_few_windows_or_say_how_many_they_need(trials, name, k) -> None:
    some, estimator = few(trials, k), fill_in(LEARNERS[name](), trials, 0)
    subject = some.meta["subject"].to_numpy(dtype=str)
    if k == 1 and name in ONE:
        with pytest.raises(UsageError, match="give more windows"):
            fit_validated(estimator, some.X, some.y, None, subject)
        return
    for groups in (None, subject):
        fitted = fit_validated(estimator, some.X, some.y, None, groups)
        assert fitted.predict_proba(trials.X).std() > 0


def test_the_curve_of_the_page_of_evaluation_has_all_points_of_machines(trials, tmp_path) -> None:
    estimators = {
        "linear": baselines.tangent_space_svm(),
        "search": baselines.AugmentedSearch((1, 2), (1,), C=(1.0,), kernels=("linear",)),
    }
    curve = FewShot(trials=(1, 5, 10), subjects=(1, 2))
    outcome = run(
        trials, estimators, folds=SubjectFolds(2, 0.2), seeds=[0], few_shot=curve, out=tmp_path,
        draws=20,
    )  # fmt: skip
    outcome.check_complete()
    assert set(outcome.results["shots"].dropna()) == {1, 2, 5, 10}


SEARCH = baselines.AugmentedSearch((1, 2), (1,))


@pytest.mark.parametrize(
    ("estimator", "validation"),
    [
        (baselines.log_bandpower_lda(), 0.2),
        (baselines.InBand(baselines.fgmdm(), 8.0, 30.0), 0.2),
        (SEARCH, 0.0),
    ],
)
def test_a_point_that_cannot_be_learned_from_is_refused_before_any_fit(
    trials, tmp_path, estimator, validation
) -> None:
    with pytest.raises(UsageError, match=r"'it' learns from 2 windows of each class .* with 1:"):
        run(
            trials, {"mdm": baselines.mdm(), "it": estimator}, folds=SubjectFolds(2, validation),
            few_shot=FewShot(trials=(1, 5)), out=tmp_path,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_point_whose_subjects_lack_a_class_is_refused_before_any_fit(tmp_path) -> None:
    trials = planted(subjects=12, windows=4)
    one_each = np.where(trials.meta["subject"].astype(int) % 2, "rest", "arithmetic")
    trials = trials.take(np.flatnonzero(trials.y == one_each))
    call = {"folds": SubjectFolds(2, 0.2), "seeds": [0], "out": tmp_path}
    with pytest.raises(UsageError, match="over 1 subjects, and in a fold those drawn have no"):
        run(trials, {"mdm": baselines.mdm()}, few_shot=FewShot(subjects=(1,)), **call)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", [2, 5, 20])
def test_probabilities_of_two_classes_are_in_the_order_of_decisions(k) -> None:
    """A sigmoid fitted on windows left out falls about as often as it rises where nothing is there."""
    rng, fell = np.random.default_rng(k), 0
    for _ in range(20):
        X, y = rng.normal(size=(2 * k, 6)), np.tile(["a", "b"], k)
        new, truth = rng.normal(size=(200, 6)), rng.integers(0, 2, 200)
        svm = ProbabilisticSVM().fit(X, y)
        proba, decision = svm.predict_proba(new)[:, 1], svm.decision_function(new)
        assert roc_auc_score(truth, proba) == pytest.approx(roc_auc_score(truth, decision))
        flat = proba.max() - proba.min() < 0.01
        fell += flat
        assert not flat or abs(proba.mean() - 0.5) < 0.01
    assert 3 <= fell <= 17


def blobs(classes: int, windows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points around a corner for each class, overlapping."""
    rng = np.random.default_rng(seed)
    y = np.arange(windows) % classes
    X = rng.normal(size=(windows, 20))
    X[np.arange(windows), y] += 1.2
    return X, np.array([*"abcdef"])[y]


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_predictions_are_scikit_learns(classes, class_weight) -> None:
    X, y = blobs(classes, 640)
    got = ProbabilisticSVM(class_weight=class_weight).fit(X[:64], y[:64])
    want = SVC(class_weight=class_weight).fit(X[:64], y[:64])
    np.testing.assert_array_equal(got.predict(X), want.predict(X))
    if classes != 3:  # the largest probability may be another class's, near the border
        assert (got.classes_[got.predict_proba(X).argmax(axis=1)] != want.predict(X)).any()


def three_kinds() -> tuple[np.ndarray, np.ndarray]:
    """Return windows without a rhythm, with a weak one and with a strong one."""
    weak, strong = planted(subjects=4, effect=0.4), planted(subjects=4, effect=0.8)
    X = np.concatenate([weak.X, strong.X[strong.y == "rest"]]).astype(np.float64)
    y = np.concatenate([weak.y, np.full((strong.y == "rest").sum(), "strong")])
    mixed = np.random.default_rng(0).permutation(len(y))
    return X[mixed], y[mixed]


def test_predictions_of_three_classes_are_those_of_moabbs_pipelines() -> None:
    features = pytest.importorskip("moabb.pipelines.features", reason="MOABB is not installed")
    (X, y), half = three_kinds(), slice(0, 48)
    plain = make_pipeline(Covariances("oas"), TangentSpace(), SVC(kernel="linear"))
    ours = baselines.tangent_space_svm(class_weight=None).fit(X[half], y[half])
    np.testing.assert_array_equal(
        ours.predict(X), plain.fit(1e5 * X[half], y[half]).predict(1e5 * X)
    )

    augmented = make_pipeline(
        features.AugmentedDataset(), Covariances("cov"), TangentSpace(), SVC()
    )
    grid = {"augmenteddataset__order": [1, 2], "augmenteddataset__lag": [1, 4]}
    inner = StratifiedKFold(3)
    want = GridSearchCV(augmented, grid, cv=inner).fit(1e5 * X[half], y[half])
    got = baselines.AugmentedSearch(
        (1, 2), (1, 4), C=(1.0,), kernels=("rbf",), estimator="scm", scoring="accuracy",
        folds=inner, class_weight=None,
    ).fit(X[half], y[half])  # fmt: skip
    predicted = got.predict(X)
    np.testing.assert_array_equal(predicted, want.predict(1e5 * X))
    assert 0.4 < np.mean(predicted == y) < 0.99


def fingerprints(
    subjects: int = 12, windows: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return windows that tell their subject and no class; each subject shows one class."""
    rng, X = np.random.default_rng(0), []
    for _ in range(subjects):
        mixing = rng.normal(size=(5, 5))
        X += [mixing @ rng.normal(size=(5, 200)) for _ in range(windows)]
    subject = np.arange(subjects).repeat(windows)
    mixed = rng.permutation(len(subject))
    subject = subject[mixed]
    return np.array(X, np.float32)[mixed], np.array(["a", "b"])[subject % 2], subject.astype(str)


def test_a_search_that_is_told_subjects_leaves_them_out_whole() -> None:
    X, y, subject = fingerprints()
    search = baselines.AugmentedSearch([1], [1], C=(1.0,), kernels=("rbf",))
    (alone,) = search.fit(X, y).validation_scores_.values()
    (told,) = search.fit(X, y, groups=subject).validation_scores_.values()
    assert alone > 0.75  # who a window is of tells its class
    assert told < 0.6  # as there is nothing to tell it by
    again = baselines.InBand(search, 1.0, 40.0, sfreq=100.0).fit(X, y, groups=subject)
    assert next(iter(again.estimator_.validation_scores_.values())) < 0.7


@pytest.mark.parametrize(
    "make",
    [
        lambda: baselines.augmented_tangent_space_svm(1, 1),
        lambda: baselines.AugmentedSearch([1], [1], C=(1.0,), kernels=("rbf",)),
    ],
)
def test_a_machine_that_is_told_subjects_is_not_sure_of_new_ones(
    make: Callable[[], BaseEstimator],
) -> None:
    X, y, subject = fingerprints()
    sure: list[Any] = []
    for groups in (None, subject):
        proba = fit_validated(make(), X, y, None, groups).predict_proba(X).max(axis=1)
        sure.append(proba.mean())
    assert sure[0] > 0.85
    assert sure[1] < 0.65


def test_folds_are_by_subject_as_far_as_every_side_shows_every_class() -> None:
    y = np.array([*"abababab", *"aabb"])
    groups = np.array([*"sstttuuu", *"vvww"])
    for train, test in inner_folds(y, groups, 5):
        assert not set(groups[train]) & set(groups[test])
        assert set(y[train]) == set(y[test]) == {"a", "b"}
    assert len(inner_folds(y, groups, 5)) > 1
    # One subject alone shows b: the windows are divided.
    lonely = np.array([*"aaaaaabb"])
    assert len(inner_folds(lonely, np.array([*"sstttuuu"]), 5)) == 2
    np.testing.assert_array_equal(
        [test for _, test in inner_folds(y, None, 3)],
        [test for _, test in StratifiedKFold(3).split(y, y)],
    )
    assert inner_folds(np.array(["a", "b", "b"]), None, 5) == []
