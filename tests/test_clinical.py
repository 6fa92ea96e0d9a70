"""Clinical measures: events by SzCORE's rules, calibration, hypnograms."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring

from brainfm.errors import UsageError
from brainfm.evaluation.calibration import at_temperature, binned, find_temperature
from brainfm.evaluation.events import (
    EventRules,
    EventScores,
    Scored,
    alarms_of,
    event_curve,
    merge,
    operating_point,
    score_events,
    split,
)
from brainfm.evaluation.hypnogram import compare_hypnograms, transition_counts
from brainfm.recordings.component import Component
from brainfm.recordings.files import read_recording
from brainfm.recordings.recipe import Recipe

HOURS = 3600.0


def spans(draw_from: list[tuple[int, int]]) -> np.ndarray:
    """Return events that do not touch, from (gap, length) in seconds."""
    events, now = [], 0.0
    for gap, length in draw_from:
        events.append([now + gap, now + gap + length])
        now += gap + length
    return np.array(events, dtype=np.float64).reshape(-1, 2)


lists = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 900)), max_size=6)


@settings(max_examples=200)
@given(lists, lists)
def test_events_are_scored_as_by_szcores_reference(truth, alarms):
    truth, alarms = spans(truth), spans(alarms)
    seconds = 3 * HOURS
    got = score_events(truth, alarms, seconds)
    samples = int(seconds * 10)
    want = EventScoring(
        *(Annotation([tuple(e) for e in x.tolist()], 10, samples) for x in (truth, alarms))
    )
    assert (got.n_events, got.n_found, got.n_false) == (want.refTrue, want.tp, want.fp)
    for mine, theirs in (
        (got.sensitivity, want.sensitivity), (got.precision, want.precision),
        (got.f1, want.f1), (got.false_alarms_a_day, want.fpRate),
    ):  # fmt: skip
        assert mine == pytest.approx(theirs, nan_ok=True)


def test_near_events_are_one_and_long_ones_several():
    events = np.array([[200.0, 210.0], [0.0, 10.0], [99.5, 120.0]])
    assert merge(events, 90.0).tolist() == [[0, 210]]
    assert merge(events, 80.0).tolist() == [[0, 10], [99.5, 120], [200, 210]]
    assert merge(events, 81.0).tolist() == [[0, 10], [99.5, 210]]
    assert split(np.array([[5.0, 605.0], [700.0, 710.0]]), 300.0).tolist() == [
        [5, 305], [305, 605], [700, 710],
    ]  # fmt: skip


def test_an_alarm_before_a_seizure_counts_up_to_30_s():
    seizure = np.array([[1000.0, 1060.0]])
    early = score_events(seizure, np.array([[960.0, 970.5]]), HOURS)
    too_early = score_events(seizure, np.array([[960.0, 970.0]]), HOURS)
    assert (early.n_found, early.n_false) == (1, 0)
    assert (too_early.n_found, too_early.n_false) == (0, 1)
    assert too_early.false_alarms_a_day == 24


def test_scores_of_recordings_add_up():
    total = EventScores(2, 1, 3, HOURS) + EventScores(2, 2, 1, HOURS)
    assert total == EventScores(4, 3, 4, 2 * HOURS)
    assert (total.sensitivity, total.false_alarms_a_day) == (0.75, 48)
    nothing = EventScores(0, 0, 0, HOURS)
    assert np.isnan([nothing.sensitivity, nothing.precision, nothing.f1]).all()


def test_windows_that_touch_are_one_alarm():
    onset = np.arange(0, 60, 5.0)
    score = np.array([0, 0.9, 0.8, 0, 0, 0.9, 0, 0, 0, 0, 0, 1.0])
    got = alarms_of(score, onset, length=5.0, threshold=0.5)
    assert got.tolist() == [[5, 15], [25, 30], [55, 60]]


def night(seed: int, *, skill: float) -> Scored:
    """Return four hours with two seizures, in windows of 10 s."""
    rng = np.random.default_rng(seed)
    onset = np.arange(0, 4 * HOURS, 10.0)
    events = np.array([[3000.0, 3060.0], [9000.0, 9100.0]])
    ictal = ((onset[:, None] < events[:, 1]) & (onset[:, None] + 10 > events[:, 0])).any(axis=1)
    return Scored(rng.normal(size=len(onset)) + skill * ictal, onset, 10.0, events, 4 * HOURS)


def test_the_operating_point_is_the_most_sensitive_that_is_allowed():
    nights = [night(seed, skill=4.0) for seed in range(5)]
    thresholds = np.linspace(-1, 5, 25).tolist()
    curve = event_curve(nights, thresholds)
    chosen = operating_point(nights, thresholds, false_alarms_a_day=6.0)
    mine = curve[thresholds.index(chosen)]
    assert mine.false_alarms_a_day <= 6
    assert mine.sensitivity == max(s.sensitivity for s in curve if s.false_alarms_a_day <= 6)
    with pytest.raises(UsageError, match="more than 0 false"):
        operating_point(nights, [-1.0, 0.0], false_alarms_a_day=0.0)
    quiet = [Scored(n.score, n.onset, n.length, np.zeros((0, 2)), n.seconds) for n in nights]
    with pytest.raises(UsageError, match="no events"):
        operating_point(quiet, [9.0], false_alarms_a_day=1.0)


def test_events_that_end_before_they_begin_are_refused():
    with pytest.raises(UsageError, match="ends before"):
        score_events(np.array([[5.0, 4.0]]), np.zeros((0, 2)), 10.0)


@pytest.mark.data
def test_the_absences_of_a_real_recording_are_found_by_their_3_hz_and_nothing_else_is():
    path = Path(os.environ["BRAINFM_DATA"]) / "eeghdf_clinical" / "absence_epilepsy.eeg.h5"
    recipe = Recipe(reader=Component("Eeghdf"), l_freq=None, h_freq=None, line_freq=None)
    recording = read_recording(str(path), recipe)
    marks, words = recording.annotations.onset, np.array(recording.annotations.description)
    truth = np.stack([marks[words == "SZ START"], marks[words == "SZ END"]], axis=1)
    length = 4.0
    n = round(length * recording.sfreq)
    signal = recording.load()[:19].astype(float)
    windows = signal[:, : signal.shape[1] // n * n].reshape(19, -1, n)
    power = np.abs(np.fft.rfft(windows * np.hanning(n), axis=-1)) ** 2
    freqs = np.fft.rfftfreq(n, 1 / recording.sfreq)
    score = np.median(power[..., (freqs >= 2.5) & (freqs <= 4)].sum(axis=-1), axis=0)
    seconds = recording.n_times / recording.sfreq
    onset = np.arange(len(score)) * length
    scored = Scored(score, onset, length, truth.astype(np.float64), seconds)
    loudest = float(np.sort(score)[-4])
    apart = scored.at(loudest, EventRules(gap=0.0))
    assert (apart.n_events, apart.n_found, apart.n_false) == (3, 3, 0)
    # Half a minute apart they are one event to SzCORE.
    assert (scored.at(loudest).n_events, scored.at(loudest).n_false) == (1, 0)


def probabilities(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels drawn from probabilities, and these probabilities at another temperature."""
    rng = np.random.default_rng(seed)
    true = at_temperature(rng.dirichlet(np.ones(3), n), 0.7)
    truth = (true.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return truth, at_temperature(true, temperature)


def calibration(truth: np.ndarray, proba: np.ndarray, bins: int = 15) -> tuple[float, float]:
    """Return the expected calibration error and the Brier score of a table of bins."""
    table = pd.DataFrame(binned(truth, proba, bins))
    assert table["count"].sum() == len(truth)
    share = table["count"] / len(truth)
    gap = (table["accuracy"] - table["confidence"]).abs()
    return float((share * gap).sum()), float((share * table["squared_error"]).sum())


def test_calibrated_probabilities_have_no_error_and_bold_ones_do():
    truth, calibrated = probabilities(20_000, 1.0)
    _, bold = probabilities(20_000, 0.4)
    (error, score), (bold_error, bold_score) = (
        calibration(truth, calibrated),
        calibration(truth, bold),
    )
    assert error < 0.02
    assert bold_error > 0.1
    assert score < bold_score


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_undoes_what_made_probabilities_bold(temperature):
    truth, proba = probabilities(20_000, temperature)
    found = find_temperature(truth, proba)
    assert found == pytest.approx(1 / temperature, rel=0.05)
    cooled = at_temperature(proba, found)
    assert (cooled.argmax(axis=1) == proba.argmax(axis=1)).all()
    assert log_loss(truth, cooled) <= log_loss(truth, proba) + 1e-6


def expected_error(truth: np.ndarray, proba: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error by a readable loop."""
    sure, right = proba.max(axis=1), proba.argmax(axis=1) == truth
    error = 0.0
    for i in range(bins):
        inside = (sure > i / bins) & (sure <= (i + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return error


def test_calibration_is_the_readable_loop_and_brier_scikit_learns():
    rng = np.random.default_rng(0)
    proba, truth = rng.dirichlet(np.ones(2), 300), rng.integers(0, 2, 300)
    error, score = calibration(truth, proba, bins=10)
    assert error == pytest.approx(expected_error(truth, proba, bins=10))
    assert score == pytest.approx(2 * brier_score_loss(truth, proba[:, 1]))


STAGES = ("W", "N1", "N2", "N3", "R")


def test_a_transition_found_an_epoch_late_is_found():
    truth = np.array(["W"] * 5 + ["N1"] * 3 + ["N2"] * 6 + ["W"] * 2)
    late = np.array(["W"] * 6 + ["N1"] * 2 + ["N2"] * 2 + ["N3"] * 4 + ["W"] * 2)
    got = compare_hypnograms(truth, late, STAGES)
    assert (got.true_transitions, got.found_transitions, got.false_transitions) == (3, 2, 2)
    assert got.accuracy == pytest.approx(11 / 16)
    assert np.isnan(got.f1[4])
    assert got.f1[3] == 0
    strict = compare_hypnograms(truth, late, STAGES, tolerance=0)
    assert strict.found_transitions == 1
    same = compare_hypnograms(truth, truth, STAGES)
    assert (same.kappa, same.found_transitions, same.false_transitions) == (1, 3, 0)


def test_transitions_are_counted_and_a_night_of_one_stage_has_none():
    counts = transition_counts(np.array(["W", "W", "N1", "W"]), STAGES)
    assert counts.sum() == 3
    assert (counts[0, 0], counts[0, 1], counts[1, 0]) == (1, 1, 1)
    asleep = np.array(["N2"] * 9)
    got = compare_hypnograms(asleep, asleep, STAGES)
    assert np.isnan(got.kappa)
    assert got.true_transitions == 0
    with pytest.raises(UsageError, match="9 and 8 epochs"):
        compare_hypnograms(asleep, asleep[1:], STAGES)
    with pytest.raises(UsageError, match="REM"):
        compare_hypnograms(asleep, np.array(["REM"] * 9), STAGES)
