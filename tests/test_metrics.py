from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainfm.errors import UsageError
from brainfm.evaluation.metrics import METRICS, score
from brainfm.evaluation.weighted import weighted_scores

ALL = tuple(METRICS)


def test_two_classes_by_hand():
    y = np.array(["n", "n", "n", "p"])
    positive = np.array([0.1, 0.2, 0.7, 0.6])
    got = score(ALL, y, np.stack([1 - positive, positive], axis=1), ("n", "p"))
    assert got["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert got["auroc"] == pytest.approx(2 / 3)  # of three pairs, one is the wrong way round
    assert got["auc_pr"] == pytest.approx(1 / 2)  # the one positive is found second
    assert got["kappa"] == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))
    f1_n, f1_p = 2 * 2 / (2 * 2 + 0 + 1), 2 * 1 / (2 * 1 + 1 + 0)
    assert got["weighted_f1"] == pytest.approx(3 / 4 * f1_n + 1 / 4 * f1_p)


def test_three_classes_by_hand():
    y = np.array(["a", "b", "c"])
    proba = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    got = score(ALL, y, proba, ("a", "b", "c"))
    assert got["balanced_accuracy"] == pytest.approx(2 / 3)
    assert got["auroc"] == pytest.approx(1.0)
    assert got["kappa"] == pytest.approx((2 / 3 - 3 / 9) / (1 - 3 / 9))
    assert got["weighted_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_the_second_class_is_the_positive_one():
    y = np.array(["n", "n", "n", "p"])
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    there = score(["auc_pr"], y, proba, ("n", "p"))["auc_pr"]
    back = score(["auc_pr"], y, proba[:, ::-1], ("p", "n"))["auc_pr"]
    assert there == pytest.approx(1 / 2)
    assert back == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_one_class_only_is_nan():
    got = score(ALL, np.array(["n", "n"]), np.array([[0.5, 0.5], [0.1, 0.9]]), ("n", "p"))
    assert list(got) == list(ALL)
    assert all(np.isnan(value) for value in got.values())


def test_an_unknown_metric_lists_the_known():
    with pytest.raises(UsageError, match=r"accuracyy.*balanced_accuracy"):
        score(["accuracyy"], np.array(["a"]), np.ones((1, 2)), ("a", "b"))


@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 4),
    n=st.integers(2, 30),
    digits=st.integers(1, 3),  # few digits make ties
)
def test_weighted_scores_are_scikit_learns_of_repeated_windows(seed, n_classes, n, digits):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    proba = np.round(rng.dirichlet(np.ones(n_classes), n), digits)
    weight = rng.integers(0, 4, (6, n)).astype(np.float32)
    got = weighted_scores(ALL, truth[None], weight, proba)
    classes = tuple("abcd"[:n_classes])
    for draw, w in enumerate(weight.astype(int)):
        rows = np.repeat(np.arange(n), w)
        want = score(ALL, np.array(classes)[truth[rows]], proba[rows], classes)
        for name in ALL:
            assert got[name][draw] == pytest.approx(want[name], abs=1e-12, nan_ok=True)


def test_draws_in_parts_are_draws_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (50, 20))
    proba = rng.dirichlet([1, 1], 20)
    weight = np.ones((1, 20), np.float32)
    whole = weighted_scores(ALL, truth, weight, proba)
    monkeypatch.setattr("brainfm.evaluation.weighted.CHUNK", 140)
    parts = weighted_scores(ALL, truth, weight, proba)
    for name in ALL:
        np.testing.assert_array_equal(whole[name], parts[name])
        assert len(parts[name]) == 50
