from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from brainfm.evaluation.intervals import bca, draw, draw_subjects
from brainfm.evaluation.metrics import METRICS
from brainfm.evaluation.pairs import (
    difference,
    hedges_g,
    holm,
    nadeau_bengio_p,
    sign_flip_p,
    wilcoxon_p,
)
from brainfm.evaluation.ranks import rank_estimators
from brainfm.evaluation.statistics import (
    Pooled,
    bootstrap,
    chance,
    exchangeable_unit,
    permute_labels,
)

ONE = ["balanced_accuracy"]


def simulate(
    rng: np.random.Generator,
    *,
    subjects: int,
    windows: int,
    skill: float,
    spread: float = 0.0,
    seeds: int = 1,
) -> Pooled:
    """Return predictions right with a probability that differs from subject to subject."""
    truth = np.tile([0, 1], subjects * windows // 2)
    subject = np.repeat(np.arange(subjects), windows).astype(str)
    chance_of_right = np.clip(rng.normal(skill, spread, subjects), 0, 1).repeat(windows)
    proba = []
    for _ in range(seeds):
        right = rng.random(len(truth)) < chance_of_right
        guess = np.where(right, truth, 1 - truth)
        sure = rng.uniform(0.5, 1, len(truth))
        positive = np.where(guess == 1, sure, 1 - sure)
        proba.append(np.stack([1 - positive, positive], axis=1))
    recording = np.char.add(subject, np.where(np.arange(len(truth)) % windows < 5, "a", "b"))
    return Pooled(truth, subject, recording, np.stack(proba))


@pytest.mark.parametrize(("subjects", "seeds"), [(10, 1), (20, 3), (40, 1)])
def test_the_interval_covers_the_truth_as_often_as_it_says(subjects, seeds):
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        pooled = simulate(rng, subjects=subjects, windows=12, skill=0.7, spread=0.1, seeds=seeds)
        interval = bootstrap(pooled, ONE, draws=300, seed=1)["balanced_accuracy"]
        inside += interval.low <= 0.7 <= interval.high
    assert 0.93 <= inside / 1000 <= 0.97


@pytest.mark.parametrize("subjects", [5, 12, 30])
def test_the_interval_of_a_difference_covers_it_as_often_as_it_says(subjects):
    rng = np.random.default_rng(0)
    inside = effect_inside = 0
    for _ in range(1000):
        gaps = rng.normal(0.5, 1, (1, subjects))
        found = difference(gaps, np.zeros_like(gaps), draws=1000, seed=1)
        inside += found.interval.low <= 0.5 <= found.interval.high
        effect_inside += found.effect_interval.low <= 0.5 <= found.effect_interval.high
    assert 0.93 <= inside / 1000 <= 0.97
    if subjects >= 8:
        assert 0.93 <= effect_inside / 1000 <= 0.97
    else:
        assert effect_inside == 0  # too few subjects to say


def test_the_interval_covers_new_seeds_too():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        seed, subject = rng.normal(0, 0.3, (5, 1)), rng.normal(0, 1, 20)
        gaps = 0.5 + seed + subject + rng.normal(0, 0.5, (5, 20))
        found = difference(gaps, np.zeros_like(gaps), draws=500, seed=1)
        inside += found.interval.low <= 0.5 <= found.interval.high
    assert 0.93 <= inside / 1000 <= 0.97


@pytest.mark.parametrize(("seed_effect", "noise"), [(0.0, 1.0), (0.15, 0.5)])
def test_the_interval_of_an_effect_size_covers_that_of_the_mean_over_seeds(seed_effect, noise):
    rng = np.random.default_rng(0)
    inside = 0
    truth = 0.5 / np.sqrt(1 + noise**2 / 5)
    for _ in range(1000):
        seed, subject = rng.normal(0, seed_effect, (5, 1)), rng.normal(0, 1, 20)
        gaps = 0.5 + seed + subject + rng.normal(0, noise, (5, 20))
        found = difference(gaps, np.zeros_like(gaps), draws=500, seed=1)
        assert found.effect_interval.low <= found.effect <= found.effect_interval.high
        inside += found.effect_interval.low <= truth <= found.effect_interval.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_bca_is_scipys():
    rng = np.random.default_rng(0)
    x = rng.exponential(size=40)
    counts = draw_subjects(40, draws=4000, seed=0)
    got = bca(float(x.mean()), counts @ x / 40, (x.sum() - x) / 39)
    want = stats.bootstrap((x,), np.mean, n_resamples=4000, method="BCa", rng=1)
    width = want.confidence_interval.high - want.confidence_interval.low
    # Ours is wider by Student's quantile and n / (n - 1), some 4 % for 40 subjects.
    assert got.low == pytest.approx(want.confidence_interval.low, abs=0.06 * width)
    assert got.high == pytest.approx(want.confidence_interval.high, abs=0.06 * width)
    assert 1.0 < (got.high - got.low) / width < 1.1


def test_an_interval_of_tiny_values_is_that_of_large_ones():
    x = np.random.default_rng(0).exponential(size=12)
    counts = draw_subjects(12, draws=500, seed=0)
    ends = [bca(float(y.mean()), counts @ y / 12, (y.sum() - y) / 11) for y in (x, x * 2.0**-500)]
    assert ends[1].low == pytest.approx(ends[0].low * 2.0**-500)
    assert ends[1].high == pytest.approx(ends[0].high * 2.0**-500)


def test_seeds_that_differ_make_the_interval_wide():
    rng = np.random.default_rng(0)
    a = simulate(rng, subjects=20, windows=40, skill=0.75)
    b = simulate(rng, subjects=20, windows=40, skill=0.6)
    alike = Pooled(a.truth, a.subject, a.recording, np.concatenate([a.proba, a.proba]))
    unlike = Pooled(a.truth, a.subject, a.recording, np.concatenate([a.proba, b.proba]))
    (narrow,) = bootstrap(alike, ONE, draws=500, seed=0).values()
    (wide,) = bootstrap(unlike, ONE, draws=500, seed=0).values()
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_subjects_that_differ_make_the_interval_wide():
    rng = np.random.default_rng(0)
    alike = bootstrap(simulate(rng, subjects=20, windows=40, skill=0.7), ONE, draws=500, seed=0)
    unlike = simulate(rng, subjects=20, windows=40, skill=0.7, spread=0.2)
    wide = bootstrap(unlike, ONE, draws=500, seed=0)
    (a,), (b,) = alike.values(), wide.values()
    assert b.high - b.low > 1.5 * (a.high - a.low)


def test_the_chance_band_holds_guesses_and_not_knowledge():
    rng = np.random.default_rng(0)
    inside = above = 0
    for _ in range(1000):
        pooled = simulate(rng, subjects=6, windows=20, skill=0.5)
        band = chance(pooled, ONE, draws=200, seed=0)["balanced_accuracy"]
        value = pooled.scores(ONE)["balanced_accuracy"][0]
        inside += band.low <= value <= band.high
        above += value > band.high
    assert 0.93 <= inside / 1000 <= 0.97
    assert 0.01 <= above / 1000 <= 0.04  # found by chance: one side of 5 %
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


def false_positives(test, draw_null, experiments: int = 1000) -> float:
    return float(np.mean([test(draw_null()) <= 0.05 for _ in range(experiments)]))


def test_without_a_difference_wilcoxons_p_is_below_5_percent_in_5_percent():
    rng = np.random.default_rng(2)
    assert 0.03 <= false_positives(wilcoxon_p, lambda: rng.standard_t(3, 20)) <= 0.07


def test_wilcoxons_p_is_scipys_and_equal_subjects_are_alike():
    gap = np.random.default_rng(0).normal(0.4, 1, 15)
    assert wilcoxon_p(gap) == pytest.approx(stats.wilcoxon(gap).pvalue)
    assert wilcoxon_p(np.zeros(8)) == 1


def test_nadeau_and_bengio_keep_the_level_where_folds_share_their_training_windows():
    rng = np.random.default_rng(3)

    def folds() -> np.ndarray:
        """Accuracies of one threshold on either of two features alike, in 15 divisions of 50 windows."""
        y = np.arange(50) % 2
        features = rng.normal(size=(2, 50)) + 0.5 * y
        gaps = []
        for _ in range(15):
            test, train = np.split(rng.permutation(50), [10])
            middle = [
                (f[train][y[train] == 0].mean() + f[train][y[train] == 1].mean()) / 2
                for f in features
            ]
            right = [
                ((f[test] > m) == y[test]).mean() for f, m in zip(features, middle, strict=True)
            ]
            gaps.append(right[0] - right[1])
        return np.array(gaps)

    experiments = [folds() for _ in range(1000)]
    corrected = np.mean([nadeau_bengio_p(gap, 0.25) <= 0.05 for gap in experiments])
    naive = np.mean([nadeau_bengio_p(gap, 0.0) <= 0.05 for gap in experiments])
    assert naive > 0.2
    assert 0.02 <= corrected <= 0.07


def test_nadeau_and_bengios_p_is_students_without_sharing():
    gap = np.random.default_rng(0).normal(0.3, 1, 12)
    assert nadeau_bengio_p(gap, 0.0) == pytest.approx(stats.ttest_1samp(gap, 0).pvalue)
    assert nadeau_bengio_p(gap, 0.25) > nadeau_bengio_p(gap, 0.0)
    assert nadeau_bengio_p(np.zeros(4), 0.2) == 1
    assert np.isnan(nadeau_bengio_p(np.array([0.3]), 0.2))


def test_holm_keeps_the_family_at_5_percent_and_finds_what_stands_out():
    rng = np.random.default_rng(4)
    false = np.mean([(holm(rng.random(6)) <= 0.05).any() for _ in range(1000)])
    assert 0.03 <= false <= 0.07
    p = rng.random(20) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    corrected = holm([0.01, np.nan, 0.04])
    np.testing.assert_allclose(corrected[[0, 2]], [0.02, 0.04])
    assert np.isnan(corrected[1])
    assert np.isnan(holm([np.nan])).all()


def test_hedges_g_is_the_textbooks():
    gap = np.array([0.1, 0.3, 0.2, 0.5, -0.1])
    got = hedges_g(gap[None], np.ones((1, 5)))[0]
    assert got == pytest.approx(gap.mean() / gap.std(ddof=1) * (1 - 3 / (4 * 4 - 1)), rel=0.005)
    assert np.isnan(hedges_g(np.full((1, 5), 0.2), np.ones((1, 5)))[0])


def test_estimators_are_ranked_by_subject_and_the_alike_joined():
    rng = np.random.default_rng(0)
    ability = rng.normal(0, 1, 30)
    scores = {
        "good": ability + 2, "better": ability + 2 + rng.normal(0, 0.3, 30),
        "poor": ability + rng.normal(0, 0.1, 30),
    }  # fmt: skip
    ranking = rank_estimators(scores)
    assert ranking.names[2] == "poor"
    assert set(ranking.names[:2]) == {"good", "better"}
    assert ranking.mean_rank[2] == 3
    assert ranking.alike == ((0, 1),)
    assert ranking.p < 1e-6
    scores["good"][3] = np.nan
    assert rank_estimators(scores).n_subjects == 29
    same = rank_estimators(dict.fromkeys("abc", ability))
    assert (same.mean_rank, same.alike, same.p) == ((2, 2, 2), ((0, 2),), 1)
    assert rank_estimators({"a": ability, "b": ability}) is None


def test_without_a_difference_no_three_of_four_are_told_apart_in_95_percent():
    rng = np.random.default_rng(5)
    found = [rank_estimators(dict(zip("abcd", rng.normal(size=(4, 15)), strict=True)))
             for _ in range(1000)]  # fmt: skip
    assert np.mean([r.alike != ((0, 3),) for r in found]) <= 0.065
    assert 0.03 <= np.mean([r.p <= 0.05 for r in found]) <= 0.07


def test_a_difference_is_found_subject_by_subject():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.4, 0.9, (1, 12))
    easier = hard + 0.05 + rng.normal(0, 0.01, 12)
    found = difference(easier, hard, draws=1000, seed=0)
    assert found.value == pytest.approx(0.05, abs=0.01)
    assert 0 < found.interval.low < found.value < found.interval.high
    assert max(found.p, found.p_wilcoxon) < 0.01
    assert found.effect_interval.low > 1
    same = difference(hard, hard, draws=1000, seed=0)
    assert (same.value, same.p, same.p_wilcoxon) == (0, 1, 1)
    assert np.isnan(same.effect)


def test_undefined_subjects_are_left_out_and_counted():
    scores = np.array([[0.5, np.nan, 0.7], [0.5, 0.2, 0.7]])
    found = difference(scores, np.array([[0.4, 0.3, 0.4]] * 2), draws=100, seed=0)
    assert found.n_subjects == 2
    assert found.value == pytest.approx(0.2)
    nothing = difference(np.array([[np.nan, 0.5]]), np.array([[0.1, np.nan]]), draws=100, seed=0)
    assert nothing.n_subjects == 0
    assert np.isnan([nothing.value, nothing.p, nothing.interval.low, nothing.effect]).all()


def test_draws_of_seeds_are_whole_samples():
    drawn = draw(4, 5, draws=200, seed=0)
    np.testing.assert_allclose(drawn.seeds.sum(axis=1), 1)
    np.testing.assert_array_equal(drawn.seeds * 5, np.round(drawn.seeds * 5))
    assert (draw(4, 1, draws=9, seed=0).seeds == 1).all()


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
