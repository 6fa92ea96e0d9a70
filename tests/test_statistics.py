from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from brainfm.evaluation.metrics import METRICS
from brainfm.evaluation.statistics import (
    Pooled,
    bootstrap,
    chance,
    difference,
    draw_subjects,
    exchangeable_unit,
    permute_labels,
    sign_flip_p,
)

ONE = ["balanced_accuracy"]


def simulate(
    rng: np.random.Generator, *, subjects: int, windows: int, skill: float, spread: float = 0.0
) -> Pooled:
    """Return predictions right with a probability that differs from subject to subject."""
    truth = np.tile([0, 1], subjects * windows // 2)
    subject = np.repeat(np.arange(subjects), windows).astype(str)
    chance_of_right = np.clip(rng.normal(skill, spread, subjects), 0, 1).repeat(windows)
    right = rng.random(len(truth)) < chance_of_right
    guess = np.where(right, truth, 1 - truth)
    sure = rng.uniform(0.5, 1, len(truth))
    positive = np.where(guess == 1, sure, 1 - sure)
    proba = np.stack([1 - positive, positive], axis=1)[None]
    recording = np.char.add(subject, np.where(np.arange(len(truth)) % windows < 5, "a", "b"))
    return Pooled(truth, subject, recording, proba)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        pooled = simulate(rng, subjects=30, windows=12, skill=0.7, spread=0.1)
        interval = bootstrap(pooled, ONE, draws=300, seed=1)["balanced_accuracy"]
        inside += interval.low <= 0.7 <= interval.high
    assert 0.90 <= inside / 300 <= 0.98


def test_subjects_that_differ_make_the_interval_wide():
    rng = np.random.default_rng(0)
    alike = bootstrap(simulate(rng, subjects=20, windows=40, skill=0.7), ONE, draws=500, seed=0)
    unlike = simulate(rng, subjects=20, windows=40, skill=0.7, spread=0.2)
    wide = bootstrap(unlike, ONE, draws=500, seed=0)
    (a,), (b,) = alike.values(), wide.values()
    assert b.high - b.low > 1.5 * (a.high - a.low)


def test_the_chance_band_holds_guesses_and_not_knowledge():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        pooled = simulate(rng, subjects=6, windows=20, skill=0.5)
        band = chance(pooled, ONE, draws=200, seed=0)["balanced_accuracy"]
        inside += band.low <= pooled.scores(ONE)["balanced_accuracy"][0] <= band.high
    assert inside / 200 >= 0.92
    skilled = simulate(rng, subjects=6, windows=20, skill=0.9)
    bands = chance(skilled, list(METRICS), draws=500, seed=0)
    for name, value in skilled.scores(list(METRICS)).items():
        assert value[0] > bands[name].high


def test_seeds_are_averaged():
    rng = np.random.default_rng(0)
    a = simulate(rng, subjects=4, windows=10, skill=0.9)
    b = simulate(rng, subjects=4, windows=10, skill=0.6)
    both = Pooled(a.truth, a.subject, a.recording, np.concatenate([a.proba, b.proba]))
    for name in METRICS:
        alone = [p.scores([name])[name][0] for p in (a, b)]
        assert both.scores([name])[name][0] == pytest.approx(np.mean(alone))


def pooled_of(truth: list[int], subject: str, recording: str) -> Pooled:
    proba = np.full((1, len(truth), 2), 0.5)
    return Pooled(np.array(truth), np.array(list(subject)), np.array(list(recording)), proba)


@pytest.mark.parametrize(
    ("pooled", "unit"),
    [
        (pooled_of([0, 0, 1, 1, 0, 0], "aabbcc", "112233"), "subject"),
        (pooled_of([0, 0, 1, 1, 0, 1], "aaaabb", "112234"), "recording"),
        (pooled_of([0, 1, 1, 0, 0, 1], "aaaabb", "112233"), "window"),
    ],
)
def test_labels_move_between_units_that_may_be_exchanged(pooled, unit):
    assert exchangeable_unit(pooled) == unit
    shuffled = permute_labels(pooled, draws=200, seed=0)
    groups = {"subject": pooled.subject, "recording": pooled.recording}.get(unit)
    moved = np.unique(shuffled, axis=0)
    assert len(moved) > 1
    for row in moved:
        if groups is not None:  # a unit keeps one label
            assert all(len(set(row[groups == g])) == 1 for g in set(groups))
        if unit == "window":  # and a subject its labels
            for s in set(pooled.subject):
                mine = pooled.subject == s
                assert sorted(row[mine]) == sorted(pooled.truth[mine])
    if unit == "recording":  # a: 1 and 2 change places or not; b: 3 and 4 likewise
        assert len(moved) == 4


def test_the_sign_flip_p_is_scipys_exact_one():
    rng = np.random.default_rng(0)
    for _ in range(5):
        gap = rng.normal(0.3, 1, 9)
        want = stats.permutation_test(
            (gap,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert sign_flip_p(gap, draws=10, seed=0) == pytest.approx(want)


@pytest.mark.parametrize("subjects", [10, 15])
def test_without_a_difference_p_is_below_5_percent_in_5_percent(subjects):
    rng = np.random.default_rng(1)
    gaps = rng.normal(size=(1000, subjects))
    p = np.array([sign_flip_p(gap, draws=1000, seed=0) for gap in gaps])
    assert 0.03 <= np.mean(p <= 0.05) <= 0.07


def test_a_difference_is_found_subject_by_subject():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.4, 0.9, 12)
    found = difference(hard + 0.05 + rng.normal(0, 0.01, 12), hard, draws=1000, seed=0)
    assert found.value == pytest.approx(0.05, abs=0.01)
    assert 0 < found.interval.low < found.value < found.interval.high
    assert found.p < 0.01
    same = difference(hard, hard, draws=1000, seed=0)
    assert (same.value, same.p) == (0, 1)


def test_undefined_subjects_are_left_out_and_counted():
    found = difference(np.array([0.5, np.nan, 0.7]), np.array([0.4, 0.3, 0.4]), draws=100, seed=0)
    assert found.n_subjects == 2
    assert found.value == pytest.approx(0.2)
    nothing = difference(np.array([np.nan, 0.5]), np.array([0.1, np.nan]), draws=100, seed=0)
    assert nothing.n_subjects == 0
    assert np.isnan([nothing.value, nothing.p, nothing.interval.low]).all()


def test_one_subject_has_no_interval():
    pooled = pooled_of([0, 1, 0, 1], "aaaa", "1234")
    assert np.isnan(bootstrap(pooled, ONE, draws=50, seed=0)["balanced_accuracy"].low)


def test_draws_are_whole_samples_and_follow_the_seed():
    counts = draw_subjects(7, draws=100, seed=3)
    assert (counts.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(counts, draw_subjects(7, draws=100, seed=3))
    assert (counts != draw_subjects(7, draws=100, seed=4)).any()


def test_a_thousand_draws_of_ten_estimators_take_seconds():
    rng = np.random.default_rng(0)
    pooled = [simulate(rng, subjects=36, windows=48, skill=0.7) for _ in range(10)]
    start = time.perf_counter()
    for p in pooled:
        bootstrap(p, list(METRICS), draws=1000, seed=0)
        chance(p, list(METRICS), draws=1000, seed=0)
    # Some 2 s on two shared cores; the bound only shows a loop where there should be none.
    assert time.perf_counter() - start < 20
