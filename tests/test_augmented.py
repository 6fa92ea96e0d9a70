"""The augmented covariance and its grid, against pyriemann, MOABB's pipeline and known signals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import planted
from pyriemann.geometry.mean import mean_riemann
from pyriemann.tangentspace import TangentSpace as PyriemannTangentSpace
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from brainfm import baselines
from brainfm.baselines.choice import embedded, some_series
from brainfm.baselines.geometry import Sight, approach, karcher, logarithms
from brainfm.baselines.lagged import AugmentedGrid, Delay
from brainfm.baselines.mutual_information import cao_e1, mutual_information
from brainfm.baselines.search import Setting, area_under_roc
from brainfm.errors import UsageError, WorkError


def matrices(count: int, size: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).normal(size=(count, size, 3 * size))
    return X @ X.swapaxes(1, 2) * 1e-10


@pytest.mark.parametrize("size", [1, 4, 12])
def test_the_mean_and_the_tangent_space_are_pyriemanns(size):
    X = matrices(20, size)
    tangent = karcher(X)
    np.testing.assert_allclose(tangent.reference, mean_riemann(X), rtol=1e-7, atol=1e-17)
    ours = baselines.TangentSpace().fit(X[:12])
    theirs = PyriemannTangentSpace().fit(X[:12])
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-7)
    np.testing.assert_allclose(ours.transform(X[:12]).sum(axis=0), 0, atol=1e-6)


def test_the_mean_does_not_depend_on_where_the_search_starts():
    X = matrices(9, 5)
    np.testing.assert_allclose(
        karcher(X, X[3]).reference, karcher(X).reference, rtol=1e-7, atol=1e-17
    )


@pytest.mark.parametrize("size", [2, 7])
def test_logarithms_follow_a_short_step_without_another_look(size):
    X, rng = matrices(6, size), np.random.default_rng(1)
    sight = Sight.of(X, X.mean(axis=0))
    direction = rng.normal(size=(size, size))
    errors = []
    for length in (1e-3, 1e-4):
        tangent = sight.from_nearby(length * (direction + direction.T))
        errors.append(np.abs(tangent.logarithms - logarithms(X, tangent.whitener)).max())
    assert errors[1] < errors[0] / 90  # what is left goes with the square of the step
    assert errors[1] < 1e-6


@pytest.mark.parametrize("spread", [1.0, 5.0, 10.0])
def test_a_mean_is_found_in_few_looks_however_far_apart_the_matrices_are(spread, monkeypatch):
    rng = np.random.default_rng(0)
    turns = np.linalg.qr(rng.normal(size=(3, 12, 12)))[0]
    X = turns * np.exp(rng.uniform(-spread, spread, (3, 1, 12))) @ turns.swapaxes(1, 2)
    looks, of = [], Sight.of
    monkeypatch.setattr(Sight, "of", lambda X, place: looks.append(place) or of(X, place))
    tangent = karcher((X + X.swapaxes(1, 2)) / 2)
    assert len(looks) <= 6
    assert np.linalg.norm(logarithms(X, tangent.whitener).mean(axis=0)) < 1e-7


def test_the_mean_of_some_is_nearly_known_from_the_sight_of_all():
    X = matrices(20, 6)
    everyone, rows = approach(X), np.arange(15)
    near = everyone.at(everyone.take(rows).step(1e-6))
    want = karcher(X[rows]).reference
    np.testing.assert_allclose(near, want, rtol=1e-2)
    assert np.abs(near - want).max() < np.abs(X.mean(axis=0) - want).max() / 10


def test_the_mean_moves_with_the_matrices():
    X, mixing = matrices(9, 4), np.random.default_rng(1).normal(size=(4, 4))
    moved = karcher(mixing @ X @ mixing.T).reference
    np.testing.assert_allclose(moved, mixing @ karcher(X).reference @ mixing.T, rtol=1e-6)


def test_singular_matrices_are_refused_with_the_remedy():
    X = matrices(5, 4)
    X[2, :, 0] = X[2, 0, :] = 0
    with pytest.raises(WorkError, match="shrinkage"):
        karcher(X)


def test_nearly_singular_matrices_have_a_mean_as_good_as_rounding_allows():
    rng = np.random.default_rng(0)
    mixing = np.linalg.qr(rng.normal(size=(30, 30)))[0] * np.logspace(0, -5.5, 30)
    X = mixing @ matrices(20, 30) @ mixing.T  # condition numbers of some 1e12
    tangent = karcher(X)
    assert np.linalg.norm(tangent.logarithms.mean(axis=0)) < 1e-4


def test_orders_with_singular_covariances_are_left_out_and_said(caplog):
    trials = planted(subjects=3, windows=6, channels=4)
    X = trials.X[..., :31]  # 7 copies of 4 channels have more rows than samples are left
    search = baselines.AugmentedSearch((1, 7), (3,), C=(1.0,), kernels=("linear",), estimator="scm")
    search.fit(X, trials.y)
    assert search.best_setting_.order == 1
    assert "order 7 and lag 3 are left out" in caplog.text
    with pytest.raises(WorkError, match="at every order"):
        search.set_params(orders=(7,)).fit(X, trials.y)


@pytest.mark.parametrize("estimator", ["scm", "oas", "lwf"])
def test_the_grid_gives_the_covariances_of_every_embedding(estimator):
    X = np.random.default_rng(0).normal(size=(5, 3, 80)).cumsum(axis=2)
    grid = AugmentedGrid((1, 2, 3, 4), (1, 2, 4), estimator)
    found = dict(grid(X))
    assert len(found) == 1 + 3 * 3
    for delay, got in found.items():
        embedding = baselines.DelayEmbedding(delay.order, delay.lag).fit_transform(X)
        want = baselines.Covariance(estimator).fit_transform(embedding)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_of_settings_of_equal_span_only_the_finest_is_computed(monkeypatch):
    computed = []
    monkeypatch.setattr(
        "brainfm.baselines.lagged._augmented",
        lambda X, delay, estimator: (
            computed.append(delay) or np.zeros((len(X), 2 * delay.order, 2 * delay.order))
        ),
    )
    delays = dict(AugmentedGrid((2, 4, 8), (1, 2, 4))(np.zeros((3, 2, 50))))
    assert len(delays) == 9
    # (2, 4) and (4, 2) are blocks of (8, 1), and so on by equal products.
    assert set(computed) == {Delay(2, 1), Delay(4, 1), Delay(8, 1), Delay(8, 2), Delay(8, 4)}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=4, max_size=40))
def test_the_area_under_the_curve_is_scikit_learns_to_the_last_digit(trials):
    positive, score = np.array([t[0] for t in trials]), np.array([t[1] for t in trials]) / 3
    if positive.all() or not positive.any():
        return
    assert area_under_roc(positive, score) == roc_auc_score(positive, score)


@pytest.mark.parametrize("scoring", ["auroc", "accuracy", "balanced_accuracy"])
def test_the_search_chooses_and_scores_as_grid_search_over_moabbs_pipeline(scoring):
    features = pytest.importorskip("moabb.pipelines.features", reason="MOABB is not installed")
    from pyriemann.estimation import Covariances

    trials = planted(subjects=3, windows=7, channels=4, effect=0.5)
    X, y = trials.X.astype(np.float64), trials.y
    machine = make_pipeline(
        features.AugmentedDataset(), Covariances("cov"), PyriemannTangentSpace(), SVC()
    )
    grid = {
        "augmenteddataset__order": [1, 2, 3], "augmenteddataset__lag": [1, 2, 4],
        "svc__C": [0.5, 1], "svc__kernel": ["rbf", "linear"],
    }  # fmt: skip
    scikit = {"auroc": "roc_auc"}.get(scoring, scoring)
    inner = StratifiedKFold(3, shuffle=True, random_state=0)
    want = GridSearchCV(machine, grid, cv=inner, scoring=scikit).fit(X, y)
    got = baselines.AugmentedSearch(
        (1, 2, 3),
        (1, 2, 4),
        estimator="scm",
        scoring=scoring,
        folds=inner,
        class_weight=None,
        C=(0.5, 1.0),
    ).fit(X, y)
    scores = [
        got.validation_scores_[Setting(p["augmenteddataset__order"], p["augmenteddataset__lag"],
                                       float(p["svc__C"]), p["svc__kernel"])]
        for p in want.cv_results_["params"]
    ]  # fmt: skip
    np.testing.assert_allclose(scores, want.cv_results_["mean_test_score"], atol=1e-12)
    best = want.best_params_
    assert (got.best_setting_.order, got.best_setting_.lag) == (
        best["augmenteddataset__order"], best["augmenteddataset__lag"],
    )  # fmt: skip
    assert (got.best_setting_.C, got.best_setting_.kernel) == (best["svc__C"], best["svc__kernel"])
    np.testing.assert_allclose(got.decision_function(X), want.decision_function(X), atol=1e-6)


def test_validation_subjects_choose_where_there_are_any():
    trials = planted(subjects=4, windows=6)
    X, y = trials.X, trials.y
    held_out = np.isin(trials.meta["subject"], ["03"])
    search = baselines.AugmentedSearch((1, 2), (1, 2), C=(1.0,), kernels=("linear",))
    search.fit(X[~held_out], y[~held_out], validation=(X[held_out], y[held_out]))
    mine = search.best_setting_
    alone = baselines.augmented_tangent_space_svm(mine.order, mine.lag, C=mine.C, kernel="linear")
    alone.fit(X[~held_out], y[~held_out])
    np.testing.assert_allclose(search.predict_proba(X), alone.predict_proba(X), atol=2e-3)
    steps = 12 * np.array(list(search.validation_scores_.values()))
    np.testing.assert_allclose(steps, steps.round(), atol=1e-9)  # of twelve windows


def test_a_grid_that_cannot_work_is_refused_before_it_is_tried():
    trials = planted(subjects=2)
    with pytest.raises(UsageError, match="do not fit"):
        baselines.AugmentedSearch((1, 30), (1, 10)).fit(trials.X, trials.y)
    three = np.array(["a", "b", "c", "d"]).repeat(len(trials) // 4)
    with pytest.raises(UsageError, match="two classes"):
        baselines.AugmentedSearch((1, 2), (1,), scoring="auroc").fit(trials.X, three)


def autoregression(channels: int, times: int, seed: int = 0) -> np.ndarray:
    """Return a stationary first-order process x(t) = A x(t - 1) + e(t) of many windows."""
    rng = np.random.default_rng(seed)
    A = 0.6 * np.linalg.qr(rng.normal(size=(channels, channels)))[0]
    x = np.zeros((40, channels))
    kept = np.empty((40, channels, times))
    for t in range(-50, times):
        x = x @ A.T + rng.normal(size=x.shape)
        if t >= 0:
            kept[..., t] = x
    return kept, A


def test_block_toeplitz_matrices_solve_the_yule_walker_equations():
    X, A = autoregression(3, 2000)
    matrix = baselines.ToeplitzCovariance(2, 1, shrinkage=0.0).fit_transform(X).mean(axis=0)
    now, later = matrix[:3, :3], matrix[:3, 3:]  # E x(t) x(t)ᵀ and E x(t) x(t + 1)ᵀ = Γ Aᵀ
    np.testing.assert_allclose(np.linalg.solve(now, later).T, A, atol=0.02)


def test_block_toeplitz_matrices_repeat_their_blocks_and_are_near_the_augmented_covariance():
    X, _ = autoregression(2, 3000)
    got = baselines.ToeplitzCovariance(3, 2, shrinkage=0.0).fit_transform(X)
    np.testing.assert_array_equal(got[:, :2, :2], got[:, 4:, 4:])
    np.testing.assert_array_equal(got[:, :2, 2:4], got[:, 2:4, 4:])
    assert (np.linalg.eigvalsh(got) > 0).all()
    want = baselines.Covariance("scm").fit_transform(
        baselines.DelayEmbedding(3, 2).fit_transform(X)
    )
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def henon(times: int) -> np.ndarray:
    x, y, kept = 0.1, 0.3, []
    for _ in range(times + 100):
        x, y = 1 - 1.4 * x**2 + y, 0.3 * x
        kept.append(x)
    return np.array(kept[100:])


def test_caos_statistic_finds_the_dimension_of_the_henon_map():
    e1 = cao_e1(henon(2000)[None], 1, 5)
    assert e1[0] < 0.5  # one copy does not unfold it
    assert (e1[1:] > 0.85).all()  # two do
    choice = baselines.MutualInformationCao(5, 1, saturation=0.85)
    X = np.tile(henon(2000), (2, 2, 1))
    assert choice.choose(X).order == 2


def test_mutual_information_falls_to_its_minimum_at_a_quarter_of_a_period():
    time = np.arange(2000)
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * time / 24.3) + 0.05 * rng.normal(size=2000)
    information = mutual_information(wave[None], 12, bins=16)
    assert abs(1 + information.argmin() - 6) <= 1
    noise = mutual_information(rng.normal(size=(4, 2000)), 12, bins=16)
    assert noise.max() < 0.1 < information.min()


def test_mdop_unfolds_a_wave_into_a_circle_and_leaves_a_line_alone():
    wave = np.sin(2 * np.pi * np.arange(1500) / (10 * np.sqrt(6)))  # never repeats exactly
    found = baselines.MDOP(6, 10).choose(np.tile(wave, (1, 2, 1)))
    assert found.order == 2
    assert abs(found.lag - 6) <= 2  # a quarter of a period
    line = np.tile(np.linspace(0, 1, 300), (1, 2, 1))
    assert baselines.MDOP(6, 3).choose(line) == Delay(1, 1)


def test_a_choice_is_made_on_training_windows_only_and_kept():
    trials = planted(subjects=2)
    embedding = baselines.ChosenEmbedding(baselines.MutualInformationCao(4, 5)).fit(trials.X)
    order, lag = embedding.order, embedding.lag
    assert embedding.transform(trials.X[:1] * 0).shape == (
        1, 5 * order, 200 - order * lag if order > 1 else 200,
    )  # fmt: skip
    with pytest.raises(UsageError, match="constant"):
        baselines.MDOP().choose(trials.X * 0)


def test_series_are_standardised_and_spread():
    X = np.arange(2 * 3 * 50, dtype=float).reshape(2, 3, 50) * np.array([1.0, 0, 1e-6])[:, None]
    picked = some_series(X, 6)
    assert picked.shape == (4, 50)  # the flat channel of both windows is left out
    np.testing.assert_allclose(picked.std(axis=1), 1)
    points = embedded(np.arange(6.0), [0, 2])
    np.testing.assert_array_equal(points, [[0, 2], [1, 3], [2, 4], [3, 5]])
