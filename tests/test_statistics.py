from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import planted
from scipy import stats
from scipy.signal import lfilter
from statsmodels.stats.multitest import multipletests

from brainfm.evaluation.chance import chance
from brainfm.evaluation.contrast import Contestant, pooled_difference
from brainfm.evaluation.effects import hedges_g, interval_of_effect
from brainfm.evaluation.intervals import draw_subjects, interval_of_mean
from brainfm.evaluation.jackknife import AMOUNT, SHARE, Scale, free, jackknife, shown_by
from brainfm.evaluation.metrics import METRICS
from brainfm.evaluation.pairs import (
    difference,
    holm,
    nadeau_bengio_p,
    sign_flip_p,
    wilcoxon_p,
)
from brainfm.evaluation.ranks import rank_estimators
from brainfm.evaluation.records import FoldRecord
from brainfm.evaluation.seeds import Error, error_of, shared_error
from brainfm.evaluation.shuffles import all_shuffles, count_shuffles, permute_labels
from brainfm.evaluation.statistics import Pooled, score_intervals
from brainfm.evaluation.tables import pool, statistics_table
from brainfm.windows.trials import Trials

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


# ---- the intervals of scores -----------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """Subjects of few windows, of which few are positive, and an estimator that knows some better."""

    subjects: int
    windows: int
    positive: float
    uneven: float = (
        0.0  # how far the share of positives differs between subjects; 1: one class each
    )
    classes: int = 2
    seeds: int = 1
    seed_effect: float = 0.0
    skill: float = 1.0

    def draw(
        self, rng: np.random.Generator, subjects: int, shifts: Sequence[float] | np.ndarray
    ) -> Pooled:
        """Draw subjects; a shift is what a seed does to the skill with all of them."""
        each = np.full(subjects, self.positive)
        if self.uneven:
            many = 1 / self.uneven - 0.99
            each = rng.beta(self.positive * many, (1 - self.positive) * many, subjects)
        subject = np.repeat(np.arange(subjects), self.windows)
        n = len(subject)
        truth = np.where(rng.random(n) < each[subject], rng.integers(1, self.classes, n), 0)
        able = rng.normal(self.skill, 0.4, subjects)
        moved = rng.normal(0, 0.5, subjects)
        logits = []
        for shift in shifts:
            z = rng.normal(size=(n, self.classes))
            z[:, 0] += moved[subject]
            z[np.arange(n), truth] += np.maximum(able[subject] + shift, 0)
            logits.append(z)
        proba = np.exp(np.stack(logits))
        names = subject.astype(str)
        return Pooled(truth, names, names, proba / proba.sum(axis=2, keepdims=True))

    def coverage(self, experiments: int) -> dict[str, float]:
        """Return how often the interval of each measure holds its value in the population."""
        rng = np.random.default_rng(0)
        # The population's seeds are the middles of equal parts of all that there are.
        seeds = self.seed_effect * stats.norm.ppf((np.arange(20) + 0.5) / 20)
        shifts = seeds if self.seed_effect else [0.0]
        whole = self.draw(rng, 240_000 // self.windows, shifts).scores(list(METRICS))
        inside = dict.fromkeys(METRICS, 0.0)
        known = 0
        for _ in range(experiments):
            pooled = self.draw(rng, self.subjects, rng.normal(0, self.seed_effect, self.seeds))
            found = score_intervals(pooled, list(METRICS))
            known += np.isfinite(found["auroc"].low)
            for name, ends in found.items():
                inside[name] += ends.low <= whole[name][0] <= ends.high
        return {name: count / known for name, count in inside.items()}


WORLDS = {
    "few windows": World(subjects=30, windows=8, positive=0.1, uneven=0.1),
    "even": World(subjects=12, windows=12, positive=0.2),
    "hardly any skill": World(subjects=10, windows=12, positive=0.3, skill=0.0),
    "three classes": World(subjects=20, windows=10, positive=0.3, uneven=0.1, classes=3),
    "patients": World(subjects=30, windows=6, positive=0.4, uneven=1.0),
    "seeds": World(subjects=20, windows=12, positive=0.2, seeds=5, seed_effect=0.2),
}


@pytest.fixture(scope="module", params=WORLDS.values(), ids=list(WORLDS))
def coverage(request):
    return request.param.coverage(1000)


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_of_every_measure_covers_the_truth_as_often_as_it_says(coverage, metric):
    assert 0.93 <= coverage[metric] <= 0.97


def test_an_interval_needs_two_subjects_of_each_class():
    rng = np.random.default_rng(0)
    world = World(subjects=9, windows=4, positive=0.0)
    pooled = world.draw(rng, 9, [0.0])
    pooled.truth[:3] = 1  # the first subject alone has the event
    for ends in score_intervals(pooled, list(METRICS)).values():
        assert np.isnan([ends.low, ends.high]).all()
    pooled.truth[4:6] = 1
    found = score_intervals(pooled, list(METRICS))
    assert all(0 <= found[name].low < found[name].high <= 1 for name in METRICS if name != "kappa")


def test_a_perfect_score_of_few_subjects_is_not_certain():
    perfect = np.ones((1, 13))
    found = jackknife(perfect, SHARE)
    # Twelve of twelve: the exact binomial's end.
    want = stats.binomtest(12, 12).proportion_ci(0.95, method="exact").low
    assert (found.low, found.high) == (pytest.approx(want), 1)
    assert jackknife(perfect - 1, SHARE).high == pytest.approx(1 - want)
    assert np.isnan(jackknife(perfect - 1, AMOUNT).low)


def test_the_jackknife_of_a_mean_is_students_on_the_straightened_scale():
    x = np.random.default_rng(0).uniform(0.4, 0.8, 15)
    values = np.concatenate([[x.mean()], (x.sum() - x) / 14])[None]
    error, far = stats.sem(x), stats.t.ppf(0.975, 14)
    plain = jackknife(values, Scale(lowest=-1e6, highest=1e6))
    want = x.mean() - far * error, x.mean() + far * error
    assert (plain.low, plain.high) == (pytest.approx(want[0]), pytest.approx(want[1]))
    amount = jackknife(values, AMOUNT)
    assert np.log(amount.high / amount.low) == pytest.approx(2 * far * error / x.mean())


def test_subjects_that_show_other_classes_are_another_sample_as_welch_has_it():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 6), rng.normal(0, 3, 20)
    spread = np.concatenate([(x - x.mean()) ** 2 / len(x) / (len(x) - 1) for x in (a, b)])
    shown = shown_by(np.repeat([0, 1], [6, 20]), np.arange(26))
    assert shown.sum(axis=0).tolist() == [6, 20]
    found = free(spread, shown)
    assert found == pytest.approx(stats.ttest_ind(a, b, equal_var=False).df)
    assert free(spread, np.ones((26, 2), bool)) == pytest.approx(25)
    assert free(0 * spread, shown) == 25


# ---- differences of pooled scores ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subjects", "seeds", "seed_effect", "mixed"), [(30, 1, 0.0, 0.1), (20, 5, 0.3, 0.0)]
)
def test_patients_and_controls_are_compared_and_the_level_is_kept(
    subjects, seeds, seed_effect, mixed
):
    rng, two = np.random.default_rng(0), ["balanced_accuracy", "auroc"]
    truth = np.repeat(np.arange(subjects) % 2, 6)
    subject = np.repeat(np.arange(subjects), 6)
    changes = (rng.random(subjects) < mixed)[subject] & (np.arange(len(truth)) % 6 < 3)
    truth = np.where(changes, 1 - truth, truth)
    names = subject.astype(str)

    def contestant(skill: float, moved: np.ndarray) -> Contestant:
        each, shift = moved + rng.normal(0, 0.4, subjects), rng.normal(0, seed_effect, (seeds, 1))
        z = (skill + shift) * (truth - 0.5) + each[subject] + rng.normal(size=(seeds, len(truth)))
        p = 1 / (1 + np.exp(-z))
        return Contestant(Pooled(truth, names, names, np.stack([1 - p, p], axis=2)), two)

    called = dict.fromkeys(two, 0)
    for _ in range(200):
        a, b = (contestant(1.0, moved) for moved in [rng.normal(0, 0.5, subjects)] * 2)
        for name in two:
            found = a.against(b, name, draws=10, seed=0)
            assert (found.by, found.n_subjects) == ("pooled", subjects)
            assert (found.p <= 0.05) == (not found.interval.low <= 0 <= found.interval.high)
            called[name] += found.p <= 0.05
    assert all(0.01 <= n / 200 <= 0.08 for n in called.values())
    clear = contestant(4.0, np.zeros(subjects)).against(b, "auroc", draws=10, seed=0)
    assert clear.p < 0.01
    assert 0 < clear.interval.low < clear.value < clear.interval.high


def test_whoever_can_be_scored_alone_is_compared_alone():
    rng = np.random.default_rng(0)
    a, b = (Contestant(simulate(rng, subjects=12, windows=10, skill=x), ONE) for x in (0.8, 0.6))
    found = a.against(b, ONE[0], draws=200, seed=0)
    assert found == difference(a.alone[ONE[0]], b.alone[ONE[0]], draws=200, seed=0)
    assert found.by == "subjects"


def test_one_subject_who_cannot_be_scored_alone_leaves_nobody_out():
    rng = np.random.default_rng(0)
    sides = [simulate(rng, subjects=12, windows=10, skill=skill) for skill in (0.8, 0.6)]
    for side in sides:
        side.truth[:10] = 1
    a, b = (Contestant(side, ONE) for side in sides)
    found = a.against(b, ONE[0], draws=200, seed=0)
    assert (found.by, found.n_subjects) == ("pooled", 12)
    assert found.value == pytest.approx(np.subtract(*(s.scores(ONE)[ONE[0]][0] for s in sides)))
    assert np.isnan([found.p_wilcoxon, found.effect]).all()


def test_a_pooled_difference_of_means_is_students_and_one_that_nobody_moves_is_not_certain():
    x = np.random.default_rng(0).normal(0.5, 1, 15)
    gap = np.concatenate([[x.mean()], (x.sum() - x) / 14])[None]
    found = pooled_difference(gap)
    want = stats.ttest_1samp(x, 0)
    assert found.p == pytest.approx(want.pvalue)
    assert found.interval.low == pytest.approx(want.confidence_interval(0.95).low)
    shown = np.repeat(np.eye(2, dtype=bool), [3, 12], axis=0)
    still = pooled_difference(np.full((2, 16), 0.5), shown)
    assert (still.p, still.interval.low, still.interval.high) == (1 / 4, 0.5, 0.5)
    assert pooled_difference(np.zeros((2, 16)), shown).p == 1
    assert np.isnan(pooled_difference(gap, shown[1:] & [False, True]).p)  # nobody shows the first


# ---- differences, with seeds -----------------------------------------------------------------------


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


# Subjects, seeds, and the spreads of what a seed does to all subjects, of subjects, and of what a seed does
# to one subject.
CROSSED = [
    (6, 5, 0.3, 1.0, 0.5), (20, 3, 0.3, 1.0, 0.5), (40, 3, 0.3, 0.3, 1.0), (20, 5, 1.0, 1.0, 1.0),
    (20, 5, 0.0, 1.0, 0.5), (20, 10, 0.3, 1.0, 0.5), (12, 10, 1.0, 1.0, 1.0),
]  # fmt: skip


def crossed(subjects, seeds, of_seeds, of_subjects, of_both, *, experiments=1000) -> np.ndarray:
    """Return (experiment, seed, subject) differences around 0."""
    rng = np.random.default_rng(0)
    shape = experiments, seeds, subjects
    return (
        of_seeds * rng.normal(size=(experiments, seeds, 1))
        + of_subjects * rng.normal(size=(experiments, 1, subjects))
        + of_both * rng.normal(size=shape)
    )


@pytest.mark.parametrize("world", CROSSED)
def test_seeds_that_shift_all_subjects_alike_are_not_taken_for_a_difference(world):
    p = {"draws": 400, "seed": 0}
    null = crossed(*world)
    # Ranks are coarse; six subjects have few signs, and three seeds lean to the wide side.
    least = 0.03 if world[0] > 6 and world[1] > 3 else 0.02
    assert least <= np.mean([sign_flip_p(gaps, **p) <= 0.05 for gaps in null]) <= 0.07
    assert 0.015 <= np.mean([wilcoxon_p(gaps) <= 0.05 for gaps in null]) <= 0.07
    subjects, seeds, of_seeds, of_subjects, of_both = world
    if of_seeds**2 / seeds > 0.25 * (of_subjects**2 + of_both**2 / seeds) / subjects:
        naive = [sign_flip_p(gaps.mean(axis=0)[None], **p) <= 0.05 for gaps in null]
        assert np.mean(naive) > 0.065  # what it is for
    # Four standard errors are found in 98 of 100 by whoever knows the variances.
    variance = of_seeds**2 / seeds + (of_subjects**2 + of_both**2 / seeds) / subjects
    far = null[:200] + 4 * np.sqrt(variance)
    found = np.mean([sign_flip_p(gaps, **p) <= 0.05 for gaps in far])
    assert found > (0.4 if seeds == 3 or subjects < 10 else 0.75)


@pytest.mark.parametrize("world", CROSSED)
def test_the_interval_of_a_difference_covers_other_seeds_too(world):
    found = [interval_of_mean(gaps, draws=500, seed=1) for gaps in crossed(*world)]
    covered = np.mean([i.low <= 0 <= i.high for i in found])
    assert 0.93 <= covered <= 0.97


# The same of two to five subjects, of whom signs alone can never say enough.
FEW = [
    (subjects, *world)
    for subjects in (2, 3, 4, 5)
    for world in ((1, 0.0, 1.0, 0.0), (5, 0.3, 1.0, 0.5), (5, 1.0, 1.0, 1.0))
]


def left_out(gaps: np.ndarray) -> np.ndarray:
    """Return the mean of everybody, and without each subject, seed by seed."""
    n = gaps.shape[1]
    whole = gaps.sum(axis=1, keepdims=True)
    return np.concatenate([whole / n, (whole - gaps) / (n - 1)], axis=1)


@pytest.mark.parametrize("world", FEW)
def test_two_to_five_subjects_never_tell_and_seeds_make_them_no_surer(world):
    draws = {"draws": 100, "seed": 0}
    for gaps in crossed(*world, experiments=100):
        alone = gaps.mean(axis=0)[None]
        found, want = (difference(g, 0 * g, **draws) for g in (gaps, alone))
        pooled, want_pooled = (pooled_difference(left_out(g)) for g in (gaps, alone))
        least = 2 / 2 ** world[0] * (1 - 1e-12)  # and so above 0.05
        assert found.p >= want.p >= least
        assert found.p_wilcoxon >= want.p_wilcoxon >= least > 0.05
        assert pooled.p >= max(want_pooled.p * (1 - 1e-9), least)
        for one, other in ((found, want), (pooled, want_pooled)):
            width = other.interval.high - other.interval.low
            assert one.interval.high - one.interval.low >= width * (1 - 1e-9) > 0


@pytest.mark.parametrize("world", [world for world in FEW if world[2] < 1])
def test_the_interval_of_two_to_five_subjects_is_wide_and_never_short(world):
    found = [interval_of_mean(g, draws=200, seed=1) for g in crossed(*world, experiments=400)]
    assert np.mean([i.low <= 0 <= i.high for i in found]) >= 0.92
    pooled = [pooled_difference(left_out(g)).interval for g in crossed(*world, experiments=400)]
    assert np.mean([i.low <= 0 <= i.high for i in pooled]) >= 0.92


def test_the_interval_of_a_score_of_two_subjects_and_five_seeds_is_never_short():
    few = World(subjects=2, windows=12, positive=0.3, seeds=5, seed_effect=0.2)
    assert min(few.coverage(150).values()) >= 0.93


def test_two_subjects_of_the_quickstart_who_differ_by_luck_are_not_certain():
    """Differences of five seeds, all of one sign; p was 0, and the interval a point."""
    each, seeds = np.array([-0.244, -0.674]), np.array([-0.1, -0.02, 0.0, 0.03, 0.09])
    found = difference(each + seeds[:, None], np.zeros((5, 2)), draws=1000, seed=0)
    assert found.value == pytest.approx(-0.459)
    assert min(found.p, found.p_wilcoxon) >= 0.5
    assert found.interval.high - found.interval.low > 2 * 12.7 * 0.215  # Student's, of one degree


def test_subjects_that_agree_by_luck_are_as_sure_as_their_seeds_are():
    opposed = np.array([[0.3, 0.1], [0.1, 0.3]])  # each subject's mean, and each seed's, is 0.2
    found = error_of(opposed)
    assert (found.subjects, found.shared) == (pytest.approx(0.1), 0)
    assert interval_of_mean(opposed, draws=100, seed=0).low == pytest.approx(
        0.2 - 12.706 * 0.1, abs=1e-4
    )
    assert pooled_difference(left_out(opposed)).interval.low < 0
    assert jackknife(left_out(opposed), SHARE).low < 0.1


@pytest.mark.parametrize("gap", [[0.1, 0.1], [0.1, 0.1, 0.0], [0.2, 0.1, 0.1, 0.1], [0.3] * 5])
def test_signed_ranks_that_tie_have_the_least_p_of_signs(gap):
    one = np.array([gap])
    least = 2.0 ** (1 - np.count_nonzero(gap))
    assert wilcoxon_p(one) >= least * (1 - 1e-12)
    assert wilcoxon_p(one + np.linspace(-0.2, 0.2, 5)[:, None]) >= least * (1 - 1e-12)


def test_p_and_interval_of_seeds_that_agree_are_those_of_subjects():
    rng = np.random.default_rng(0)
    for subjects in (7, 30):
        one = rng.normal(0.3, 1, (1, subjects))
        same = np.repeat(one, 5, axis=0)
        flips = [sign_flip_p(gaps, draws=500, seed=0) for gaps in (one, same)]
        assert flips[0] == flips[1]
        assert wilcoxon_p(same) == wilcoxon_p(one)
        several = [interval_of_mean(gaps, draws=500, seed=0) for gaps in (one, same)]
        assert several[0].low == pytest.approx(several[1].low)
        shifted = same + np.arange(5)[:, None]
        assert sign_flip_p(shifted - 2, draws=500, seed=0) > flips[1]
        assert wilcoxon_p(shifted - 2) > wilcoxon_p(same)


def test_the_seeds_error_is_that_of_two_ways_crossed():
    """The mean square of seeds, at the middle of χ², less that of the rest, over the number of values."""
    gaps = crossed(30, 8, 1.0, 1.0, 1.0, experiments=1)[0]
    k, n = gaps.shape
    of_seeds = n * gaps.mean(axis=1).var(ddof=1) * (k - 1) / stats.chi2.median(k - 1)
    rest = gaps - gaps.mean(axis=0) - gaps.mean(axis=1, keepdims=True) + gaps.mean()
    want = (of_seeds - (rest**2).sum() / ((k - 1) * (n - 1))) / (k * n)
    found = error_of(gaps)
    assert found.shared == shared_error(gaps.mean(axis=1), gaps) == pytest.approx(np.sqrt(want))
    assert found.subjects == pytest.approx(stats.sem(gaps.mean(axis=0)))
    # Seeds that do nothing have as often too large a mean square as too small a one.
    none = [shared_error(g.mean(axis=1), g) == 0 for g in crossed(60, 5, 0.0, 1.0, 1.0)]
    assert 0.45 <= np.mean(none) <= 0.55


def test_two_errors_have_the_degrees_of_freedom_of_satterthwaite():
    both = Error(subjects=3.0, shared=4.0, free_subjects=19.0, free_seeds=4)
    assert both.total == pytest.approx(5)
    assert both.free == pytest.approx(5**4 / (3**4 / 19 + 4**4 / 4))
    assert both.reach(0.95) == pytest.approx(5 * stats.t.ppf(0.975, both.free))
    # A p of subjects is that of a t three fifths as large, and the other way round.
    p = 2 * stats.t.sf(5.0, 19)
    assert both.widened(p) == pytest.approx(2 * stats.t.sf(3.0, both.free))
    assert both.of_subjects(15.0) == pytest.approx(stats.t.isf(both.widened(p) / 2, 19))
    alone = Error(subjects=3.0, shared=0.0, free_subjects=19.0, free_seeds=4)
    assert (alone.total, alone.free, alone.widened(0.3)) == (3, 19, 0.3)


@pytest.mark.parametrize(
    ("world", "g"),
    [
        ((8, 1, 0.0, 1.0, 0.0), 0.5), ((12, 1, 0.0, 1.0, 0.0), 1.0), ((30, 1, 0.0, 1.0, 0.0), 1.5),
        ((20, 5, 0.0, 1.0, 1.0), 0.5), ((20, 5, 0.15, 1.0, 0.5), 0.5), ((20, 5, 0.5, 1.0, 0.5), 1.5),
        ((20, 3, 0.3, 1.0, 0.5), 0.5),
    ],
)  # fmt: skip
def test_the_interval_of_an_effect_size_covers_that_of_the_mean_over_seeds(world, g):
    _, seeds, _, _, noise = world
    mean = g * np.sqrt(1 + noise**2 / seeds)
    found = [interval_of_effect(gaps, draws=400, seed=1) for gaps in mean + crossed(*world)]
    assert 0.93 <= np.mean([i.low <= g <= i.high for i in found]) <= 0.97


def test_an_effect_size_needs_eight_subjects_who_differ():
    gaps = np.random.default_rng(0).normal(0.5, 1, (2, 8))
    call = {"draws": 200, "seed": 0}
    found, (g,) = interval_of_effect(gaps, **call), hedges_g(gaps.mean(0)[None], np.ones((1, 8)))
    assert found.low < g < found.high
    mirrored = interval_of_effect(-gaps, **call)
    assert mirrored.low < -g < mirrored.high
    assert np.isnan(interval_of_effect(gaps[:, :7], **call).low)
    assert np.isnan(interval_of_effect(np.full((1, 9), 0.2), **call).low)


def test_seeds_that_differ_make_the_interval_wide():
    rng = np.random.default_rng(0)
    a = simulate(rng, subjects=20, windows=40, skill=0.75)
    b = simulate(rng, subjects=20, windows=40, skill=0.6)
    alike = Pooled(a.truth, a.subject, a.recording, np.concatenate([a.proba, a.proba]))
    unlike = Pooled(a.truth, a.subject, a.recording, np.concatenate([a.proba, b.proba]))
    (narrow,) = score_intervals(alike, ONE).values()
    (wide,) = score_intervals(unlike, ONE).values()
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_subjects_that_differ_make_the_interval_wide():
    rng = np.random.default_rng(0)
    alike = score_intervals(simulate(rng, subjects=20, windows=40, skill=0.7), ONE)
    unlike = simulate(rng, subjects=20, windows=40, skill=0.7, spread=0.2)
    wide = score_intervals(unlike, ONE)
    (a,), (b,) = alike.values(), wide.values()
    assert b.high - b.low > 1.5 * (a.high - a.low)


def test_the_chance_band_holds_guesses_and_not_knowledge():
    rng = np.random.default_rng(0)
    inside = above = 0
    for _ in range(1000):
        pooled = simulate(rng, subjects=6, windows=20, skill=0.5)
        luck = chance(pooled, ONE, draws=200, seed=0)["balanced_accuracy"]
        value = pooled.scores(ONE)["balanced_accuracy"][0]
        inside += luck.band.low <= value <= luck.band.high
        above += luck.p <= 0.025
    assert 0.93 <= inside / 1000 <= 0.97
    assert 0.01 <= above / 1000 <= 0.04  # found by chance: one side of 5 %
    skilled = simulate(rng, subjects=6, windows=20, skill=0.9)
    bands = chance(skilled, list(METRICS), draws=500, seed=0)
    for name, value in skilled.scores(list(METRICS)).items():
        assert value[0] > bands[name].band.high
        assert bands[name].p == bands[name].least == 1 / 501  # no shuffling comes near


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


SHUFFLES = {
    "subjects of one label each": (
        pooled_of([0, 0, 1, 1, 0, 0], "aabbcc", "112233"), {"001100", "110000", "000011"}
    ),
    "recordings of one label each, within a subject": (
        pooled_of([0, 0, 1, 1, 0, 1], "aaaabb", "112234"),
        {"001101", "001110", "110001", "110010"},
    ),
    "windows turn within their recording": (
        pooled_of([0, 1, 1, 0, 0, 1], "aaaabb", "111122"),
        {"011001", "001101", "100101", "110001", "011010", "001110", "100110", "110010"},
    ),
    "a patient with both labels leaves the others theirs to exchange": (
        pooled_of([0, 0, 1, 0, 1], "abbcd", "12345"),
        {"00101", "00110", "10100", "01001", "01010", "11000"},
    ),
    "one subject alone of one label keeps it": (
        pooled_of([0, 0, 1, 0, 1], "aabbb", "11222"), {"00101", "00110", "00011"}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pooled", "ways"), SHUFFLES.values(), ids=list(SHUFFLES))
def test_labels_move_between_units_that_may_be_exchanged(pooled, ways):
    drawn = {"".join(map(str, row)) for row in permute_labels(pooled, 300, seed=0)}
    every = ["".join(map(str, row)) for row in all_shuffles(pooled)]
    assert drawn == set(every) == ways
    assert len(every) == count_shuffles(pooled) == len(ways)
    shares = np.unique(permute_labels(pooled, 4000, seed=1), axis=0, return_counts=True)[1] / 4000
    np.testing.assert_allclose(shares, 1 / len(ways), atol=0.03)  # each as often


def test_one_odd_label_among_many_subjects_has_as_many_places():
    truth = np.zeros(998, int)
    truth[0] = 1
    names = np.arange(998).astype(str)
    every = all_shuffles(Pooled(truth, names, names, np.full((1, 998, 2), 0.5)))
    assert (np.sort(every.argmax(axis=1)) == np.arange(998)).all()
    assert (every.sum(axis=1) == 1).all()


def record(trials: Trials, rows: np.ndarray, proba: np.ndarray, **changes) -> FoldRecord:
    """Return a finished fold that has tested some rows."""
    about = {"task": "t", "estimator": "e", "fold": 0, "seed": 0, "seconds": 0.0, "n_train": 40}
    about |= {"test_subjects": sorted(set(trials.meta["subject"][rows])), "n_test": len(rows)}
    return FoldRecord(**about | {"trials": rows.tolist(), "proba": proba.tolist()} | changes)


def test_pooled_predictions_stand_in_order_of_time_whatever_order_the_windows_have():
    rng = np.random.default_rng(0)
    trials = planted(subjects=3, windows=5)
    trials = trials.take(rng.permutation(len(trials)))
    onset = trials.meta["onset"].to_numpy() / 10
    proba = np.stack([onset, 1 - onset], axis=1)
    folds = [
        record(trials, rows, proba[rows], fold=i, seed=seed)
        for seed in (0, 1)
        for i, rows in enumerate(np.array_split(rng.permutation(len(trials)), 3))
    ]
    pooled = pool(folds, trials, trials.classes)
    for name in set(pooled.recording):
        mine = pooled.recording == name
        np.testing.assert_array_equal(pooled.proba[:, mine, 0], [np.arange(5) / 5] * 2)
        assert set(pooled.subject[mine]) == {name[4:6]}
        assert set(pooled.truth[mine]) == {int(name.endswith("1"))}


def test_one_patient_with_both_labels_leaves_the_chance_of_the_others_as_it_was():
    rng = np.random.default_rng(0)
    for mixed in (0, 1, 5):
        truth = np.repeat(np.arange(60) % 2, 10)
        subject = np.repeat(np.arange(60), 10).astype(str)
        truth[: 10 * mixed] = np.arange(10 * mixed) % 10 < 5
        recording = np.char.add(subject, np.where(np.arange(600) % 10 < 5, "a", "b"))
        second = 1 / (1 + np.exp(-(1.5 * (truth - 0.5) + rng.normal(size=600))))
        known = Pooled(truth, subject, recording, np.stack([1 - second, second], axis=1)[None])
        luck = chance(known, ["auroc"], draws=500, seed=0)["auroc"]
        assert luck.p == 1 / 501
        assert 0.38 < luck.band.low < 0.47
        assert 0.53 < luck.band.high < 0.62


def test_windows_side_by_side_that_know_nothing_are_above_chance_as_often_as_they_may_be():
    rng = np.random.default_rng(0)

    def slow() -> np.ndarray:
        """Eight recordings of 200 windows, whose values last some 15 windows."""
        noise = lfilter([1], [1, -np.exp(-1 / 15)], rng.normal(size=(8, 400)))
        return noise[:, 200:].ravel()

    name = np.repeat(np.arange(8), 200).astype(str)
    found = []
    for _ in range(300):
        truth, second = (slow() > 0).astype(int), 1 / (1 + np.exp(-slow()))
        unrelated = Pooled(truth, name, name, np.stack([1 - second, second], axis=1)[None])
        found.append(chance(unrelated, ONE, draws=100, seed=0)[ONE[0]].p <= 0.05)
    assert 0.02 <= np.mean(found) <= 0.08


def test_a_p_of_few_ways_to_shuffle_is_exact_and_the_same_of_every_seed():
    rng = np.random.default_rng(0)
    # Eight subjects of two recordings, one of each class: 256 ways, in one of which each is right.
    truth = np.tile([0, 0, 1, 1], 8)
    subject = np.repeat(np.arange(8), 4).astype(str)
    recording = np.char.add(subject, np.tile(list("aabb"), 8))
    sure = np.where(truth == 1, 0.9, 0.2)
    perfect = Pooled(truth, subject, recording, np.stack([1 - sure, sure], 1)[None])
    found = {chance(perfect, ONE, draws=1000, seed=s)[ONE[0]] for s in range(3)}
    assert [(c.p, c.least) for c in found] == [(1 / 256, 1 / 256)]
    sure = np.clip(rng.normal(np.where(truth == 1, 0.6, 0.4), 0.2), 0.01, 0.99)
    fair = Pooled(truth, subject, recording, np.stack([1 - sure, sure], 1)[None])
    value = fair.scores(ONE)[ONE[0]][0]
    swapped = [np.where(np.repeat(rng.random(8) < 0.5, 4), 1 - truth, truth) for _ in range(4000)]
    drawn = fair.scores(ONE, truth=np.stack(swapped))[ONE[0]]
    want = np.mean(drawn >= value - 1e-9)
    (exact,) = {chance(fair, ONE, draws=256, seed=s)[ONE[0]].p for s in range(3)}
    assert 0 < exact < 1
    assert exact == pytest.approx(want, abs=4 * np.sqrt(want * (1 - want) / 4000))
    assert chance(fair, ONE, draws=255, seed=0)[ONE[0]].least == 1 / 256  # drawn, and its own


def test_the_sign_flip_p_is_scipys_exact_one():
    rng = np.random.default_rng(0)
    for _ in range(5):
        gap = rng.normal(0.3, 1, 9)
        want = stats.permutation_test(
            (gap,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert sign_flip_p(gap[None], draws=10, seed=0) == pytest.approx(want)


@pytest.mark.parametrize("subjects", [10, 15])
def test_without_a_difference_p_is_below_5_percent_in_5_percent(subjects):
    rng = np.random.default_rng(1)
    gaps = rng.normal(size=(1000, subjects))
    p = np.array([sign_flip_p(gap[None], draws=1000, seed=0) for gap in gaps])
    assert 0.03 <= np.mean(p <= 0.05) <= 0.07


def test_without_a_difference_wilcoxons_p_is_below_5_percent_in_5_percent():
    rng = np.random.default_rng(2)
    p = [wilcoxon_p(rng.standard_t(3, (1, 20))) for _ in range(1000)]
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07


def test_wilcoxons_p_is_scipys_and_equal_subjects_are_alike():
    gap = np.random.default_rng(0).normal(0.4, 1, 15)
    assert wilcoxon_p(gap[None]) == pytest.approx(stats.wilcoxon(gap).pvalue)
    assert wilcoxon_p(np.zeros((3, 8))) == 1


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


def test_nadeau_and_bengios_p_is_their_formula():
    gap = np.array([0.02, 0.05, -0.01, 0.04, 0.03, 0.0, 0.06, 0.01, 0.02, 0.03])
    # Their equation 9 with n2/n1 = 1/9 of a ten-fold cross-validation.
    t = gap.mean() / np.sqrt((1 / 10 + 1 / 9) * ((gap - gap.mean()) ** 2).sum() / 9)
    assert nadeau_bengio_p(gap, 1 / 9) == pytest.approx(2 * stats.t.cdf(-t, 9))


def test_nadeau_and_bengios_p_is_students_without_sharing():
    gap = np.random.default_rng(0).normal(0.3, 1, 12)
    assert nadeau_bengio_p(gap, 0.0) == pytest.approx(stats.ttest_1samp(gap, 0).pvalue)
    assert nadeau_bengio_p(gap, 0.25) > nadeau_bengio_p(gap, 0.0)
    assert nadeau_bengio_p(np.zeros(4), 0.2) == 1
    assert np.isnan(nadeau_bengio_p(np.full(4, 0.1), 0.2))  # without spread nothing is known
    assert np.isnan(nadeau_bengio_p(np.array([0.3]), 0.2))


def test_seeds_of_one_published_fold_are_not_taken_for_folds():
    trials = planted(subjects=4, windows=5)
    subject = trials.meta["subject"].to_numpy()
    call = {"metrics": ONE, "reference": "b", "draws": 20, "seed": 0}

    def p(*tested: tuple[str, ...]) -> float:
        """Return the p of folds that test the same under all of three seeds, and differ a little."""
        folds = [
            record(
                trials, rows := np.flatnonzero(np.isin(subject, who)), np.full((len(rows), 2), 0.5),
                fold=fold, seed=seed, estimator=name,
                scores={ONE[0]: 0.6 + (name == "a") * (fold + seed / 10 + 1) / 50},
            )
            for seed in range(3)
            for fold, who in enumerate(tested)
            for name in "ab"
        ]  # fmt: skip
        table = statistics_table(folds, trials, trials.classes, **call)
        return table.set_index("estimator").loc["a", "p_nadeau_bengio"]

    assert np.isnan(p(("00", "01")))
    want = nadeau_bengio_p(np.array([1.1, 2.1]) / 50, 20 / 40)
    assert p(("00", "01"), ("02", "03")) == pytest.approx(want)


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


# J(m) of m degrees of freedom, Hedges 1981, table 2.
@pytest.mark.parametrize(
    ("free", "correction"), [(2, 0.5642), (3, 0.7236), (4, 0.7979), (10, 0.9228), (50, 0.9849)]
)
def test_hedges_g_is_the_papers(free, correction):
    gap = np.random.default_rng(free).normal(0.3, 1, free + 1)
    got = hedges_g(gap[None], np.ones((1, free + 1)))[0]
    assert got == pytest.approx(correction * gap.mean() / gap.std(ddof=1), rel=1e-4)
    assert np.isnan(hedges_g(np.full((1, 5), 0.2), np.ones((1, 5)))[0])
    twice = hedges_g(gap[None], np.full((1, free + 1), 2.0))[0]  # weights are repetitions
    assert twice == pytest.approx(hedges_g(np.tile(gap, 2)[None], np.ones((1, 2 * free + 2)))[0])


def test_mean_ranks_are_those_of_demsars_table():
    """Demšar 2006, table 6: four decision trees on 14 data sets, with what rounding hid in the 13th."""
    table = np.array([
        [763, 768, 771, 798], [599, 591, 590, 569], [954, 971, 968, 967], [628, 661, 654, 657],
        [882, 888, 886, 898], [936, 931, 916, 931], [661, 668, 609, 685], [583, 583, 563, 625],
        [775, 838, 866, 875], [1000, 1000, 1000, 1000], [940, 962, 965, 962], [619, 666, 614, 669],
        [972, 981, 975.1, 975], [957, 978, 946, 970],
    ]).T / 1000  # fmt: skip
    names = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
    ranking = rank_estimators({n: row[None] for n, row in zip(names, table, strict=True)})
    got = dict(zip(ranking.names, ranking.mean_rank, strict=True))
    want = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert got == pytest.approx(want, abs=5e-4)
    assert ranking.p == pytest.approx(stats.friedmanchisquare(*table).pvalue)


@settings(max_examples=10)  # statsmodels collects garbage on every call
@given(seed=st.integers(0, 10_000), estimators=st.integers(3, 6), subjects=st.integers(6, 30))
def test_who_is_alike_is_what_scipy_and_statsmodels_say(seed, estimators, subjects):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(estimators, subjects)) + rng.normal(0, 0.7, (estimators, 1))
    ranking = rank_estimators({str(i): row[None] for i, row in enumerate(scores)})
    table = scores[[int(n) for n in ranking.names]]
    pairs = list(combinations(range(estimators), 2))
    p = [stats.wilcoxon(table[a], table[b]).pvalue for a, b in pairs]
    told_apart = {
        x for x, one in zip(pairs, multipletests(p, method="holm")[0], strict=True) if one
    }
    runs = {
        (a, b) for a, b in pairs if not told_apart & set(combinations(range(a, b + 1), 2))
    }  # every stretch within which nobody differs, and of those the longest
    longest = {r for r in runs if not any(o != r and o[0] <= r[0] and r[1] <= o[1] for o in runs)}
    assert set(ranking.alike) == longest


def test_estimators_are_ranked_by_subject_and_the_alike_joined():
    rng = np.random.default_rng(0)
    ability = rng.normal(0, 1, 30)
    scores = {
        "good": ability + 2, "better": ability + 2 + rng.normal(0, 0.3, 30),
        "poor": ability + rng.normal(0, 0.1, 30),
    }  # fmt: skip
    scores = {name: one[None] for name, one in scores.items()}
    ranking = rank_estimators(scores)
    assert ranking.names[2] == "poor"
    assert set(ranking.names[:2]) == {"good", "better"}
    assert ranking.mean_rank[2] == 3
    assert ranking.alike == ((0, 1),)
    assert ranking.p < 1e-6
    scores["good"][0, 3] = np.nan
    assert rank_estimators(scores).n_subjects == 29
    same = rank_estimators(dict.fromkeys("abc", ability[None]))
    assert (same.mean_rank, same.alike, same.p) == ((2, 2, 2), ((0, 2),), 1)
    assert rank_estimators({"a": ability[None], "b": ability[None]}) is None


def test_without_a_difference_no_three_of_four_are_told_apart_in_95_percent():
    rng = np.random.default_rng(5)
    found = [rank_estimators(dict(zip("abcd", rng.normal(size=(4, 1, 15)), strict=True)))
             for _ in range(1000)]  # fmt: skip
    assert np.mean([r.alike != ((0, 3),) for r in found]) <= 0.065
    assert 0.03 <= np.mean([r.p <= 0.05 for r in found]) <= 0.07


def test_seeds_that_favour_one_estimator_leave_it_alike():
    """Five seeds, each of which moves an estimator on all subjects by far more than these differ."""
    rng = np.random.default_rng(0)
    apart = 0
    for _ in range(200):
        scores = rng.normal(size=(3, 1, 20)) * 0.1 + rng.normal(size=(3, 5, 1))
        apart += rank_estimators(dict(zip("abc", scores, strict=True))).alike != ((0, 2),)
    assert apart / 200 <= 0.05


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


def test_one_subject_has_no_interval():
    pooled = pooled_of([0, 1, 0, 1], "aaaa", "1234")
    assert np.isnan(score_intervals(pooled, ONE)["balanced_accuracy"].low)
    found = difference(np.array([[0.5], [0.7]]), np.array([[0.2], [0.3]]), draws=100, seed=0)
    assert (found.value, found.n_subjects) == (pytest.approx(0.35), 1)
    assert np.isnan([found.p, found.interval.low, found.effect]).all()


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
        score_intervals(p, list(METRICS))
        chance(p, list(METRICS), draws=1000, seed=0)
    # Some 2 s on two shared cores; the bound only shows a loop where there should be none.
    assert time.perf_counter() - start < 20
