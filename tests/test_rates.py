"""Files that hold signals of several rates: each recording has one, and no border of a block shows."""

import mne
import numpy as np
import pytest

from brainfm.recordings import samples
from brainfm.recordings.files import read_recording
from brainfm.recordings.formats.rates import at_own_rate
from brainfm.recordings.recipe import Recipe

edfio = pytest.importorskip("edfio")

SECONDS = 120


def tones(rate, seed):
    t = np.arange(SECONDS * rate) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return 60 * np.sin(2 * np.pi * 0.7 * t + seed) + 20 * np.sin(2 * np.pi * 9 * t) + 3 * noise


def write(path, rates, notes=()):
    """Write a signal a label, at its rate in Hz, the same ones whatever stands beside them."""
    signals = [
        edfio.EdfSignal(
            tones(rate, i), rate, label=label, physical_dimension="uV", physical_range=(-200, 200)
        )
        for i, (label, rate) in enumerate(rates.items())
    ]
    marks = [edfio.EdfAnnotation(onset, None, text) for onset, text in notes]
    edfio.Edf(signals, annotations=marks, data_record_duration=1).write(path)
    return str(path)


EEG = {"EEG C3-A2": 125, "EEG C4-A1": 125}
PLAIN = {"l_freq": None, "h_freq": None, "line_freq": None}
MARKS = ((2.5, "eyes open"), (90.25, "eyes closed"))


@pytest.fixture
def small_pieces(monkeypatch):
    """Have a recording read in many pieces."""
    monkeypatch.setattr(samples, "PIECE_BYTES", 20_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("other", [50, 250, 500])
def test_signals_of_another_rate_that_nobody_wants_change_nothing(tmp_path, other):
    alone = read_recording(write(tmp_path / "a.edf", EEG, MARKS), Recipe())
    beside = {"ECG": other, **EEG, "Chin": 25}
    mixed = read_recording(write(tmp_path / "b.edf", EEG | beside, MARKS), Recipe())
    assert mixed.n_times == alone.n_times == SECONDS * 200
    assert mixed.provenance["original_sfreq"] == alone.provenance["original_sfreq"] == 125
    np.testing.assert_array_equal(mixed.load(), alone.load())
    np.testing.assert_array_equal(mixed.annotations.onset, [2.5, 90.25])
    assert mixed.annotations.description == alone.annotations.description


def test_channels_of_one_name_are_told_apart_at_their_own_rate(tmp_path):
    path = write(tmp_path / "a.edf", {"EEG C3": 125, "EEG C4": 125, "ECG": 250})
    data = (tmp_path / "a.edf").read_bytes().replace(b"EEG C4", b"EEG C3", 1)
    (tmp_path / "a.edf").write_bytes(data)
    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    own = at_own_rate(raw, ["EEG C3-1"])
    assert (own.ch_names, own.info["sfreq"]) == (["EEG C3-1"], 125)
    recipe = Recipe(drop=("EEG C3-0",), rename={"EEG C3-1": "C4"}, sfreq=125.0, **PLAIN)
    signal = read_recording(path, recipe).load()
    np.testing.assert_allclose(signal[0], 1e-6 * tones(125, 1), atol=1e-8)


def test_wanted_signals_of_unlike_rates_do_not_depend_on_the_pieces(tmp_path, monkeypatch):
    path = write(tmp_path / "a.edf", EEG | {"ECG": 250, "EMG chin": 500})
    recipe = Recipe(kinds=("eeg", "ecg"), sfreq=250.0, **PLAIN)
    recording = read_recording(path, recipe)
    assert recording.provenance["original_sfreq"] == 250
    signal = recording.load()
    raw = mne.io.read_raw_edf(path, exclude=["EMG chin"], preload=True, verbose="ERROR")
    np.testing.assert_allclose(signal, raw.get_data(), atol=1e-9)
    monkeypatch.setattr(samples, "PIECE_BYTES", 20_000)
    np.testing.assert_allclose(read_recording(path, recipe).load(), signal, atol=1e-12)


def test_a_trigger_channel_of_another_rate_keeps_its_times(tmp_path):
    rate, codes = 500, np.zeros(SECONDS * 500)
    codes[[10 * rate, 60 * rate]] = 3
    codes[[10 * rate + 1, 60 * rate + 1]] = 3
    signals = [
        edfio.EdfSignal(tones(125, i), 125, label=label, physical_dimension="uV")
        for i, label in enumerate(EEG)
    ]
    signals.append(edfio.EdfSignal(codes, rate, label="Trigger", physical_range=(-32768, 32767)))
    edfio.Edf(signals, data_record_duration=1).write(tmp_path / "a.edf")
    recording = read_recording(str(tmp_path / "a.edf"), Recipe())
    assert recording.provenance["original_sfreq"] == 125
    np.testing.assert_allclose(recording.annotations.onset, [10, 60], atol=1 / 125)
