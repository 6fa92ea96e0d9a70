"""One pass in blocks gives what MNE gives on the whole signal; what is broken is named."""

import os
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.recordings import clean
from brainfm.recordings.cleaning import clean_blocks
from brainfm.recordings.filters import Filter, design_filter
from brainfm.recordings.overlap import convolve, plan_frames
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.samples import RawSamples, Samples
from brainfm.recordings.synthetic import synthesise

SAMPLE = sorted((Path(__file__).parents[1] / "sample" / "eegmat").glob("*.edf"))
DATA = Path(os.environ.get("BRAINFM_DATA", ""))
AS_IT_IS = Recipe(l_freq=None, h_freq=None, line_freq=None)


class Held(Samples):
    """A signal in memory, read as a file is."""

    def __init__(self, signal, sfreq, *, limits=None):
        self.signal, self.sfreq, self.n_times = signal, float(sfreq), signal.shape[1]
        self.offset = np.zeros(len(signal))
        self.limits = np.full((len(signal), 2), np.nan) if limits is None else limits

    def read(self, start, stop):
        return self.signal[:, start:stop].astype(np.float32)


def run(signal, filter, *, piece=10_000, n_bytes=128_000_000):
    pieces = (signal[:, i : i + piece] for i in range(0, signal.shape[1], piece))
    n_channels, n_times = signal.shape
    blocks = convolve(pieces, filter, n_times=n_times, n_channels=n_channels, n_bytes=n_bytes)
    return np.concatenate(list(blocks), axis=1)


def eeg_like(n_channels, n_times, seed=0):
    """Noise with the spectrum of EEG and a standard deviation of 1."""
    white = np.random.default_rng(seed).standard_normal((n_channels, n_times))
    spectrum = 1 / np.sqrt(np.maximum(np.arange(n_times // 2 + 1), n_times / 400))
    signal = np.fft.irfft(np.fft.rfft(white) * spectrum, n_times)
    return signal / signal.std()


def decibel(error, signal):
    return 20 * np.log10(np.std(error) / np.std(signal))


# The filter


@pytest.mark.parametrize("sfreq", [128.0, 173.61, 250.0, 500.0])
def test_the_one_kernel_is_the_impulse_response_of_the_three_steps(sfreq):
    impulse = np.zeros((1, round(120 * sfreq) | 1))
    impulse[0, impulse.shape[1] // 2] = 1
    wanted = clean.notch(impulse, sfreq, line_freq=50.0)
    wanted = clean.band_pass(wanted, sfreq, l_freq=0.1, h_freq=40.0)[0]
    # At its own rate there is no third step, and before the limit of a new one there is no aliasing.
    got = design_filter(sfreq, l_freq=0.1, h_freq=40.0, line_freq=50.0, to=sfreq)
    at = len(wanted) // 2
    span = slice(at - got.reach, at + got.reach + 1)
    np.testing.assert_allclose(got.taps, wanted[span], rtol=0, atol=1e-9)
    assert np.abs(np.delete(wanted, np.arange(span.start, span.stop))).max() < 1e-9


@pytest.mark.parametrize(("sfreq", "to"), [(500.0, 200.0), (128.0, 200.0), (2034.5, 200.0)])
def test_the_limit_of_the_new_rate_passes_the_band_and_nothing_above(sfreq, to):
    filter = design_filter(sfreq, l_freq=None, h_freq=None, line_freq=None, to=to)
    freqs, size = np.fft.rfftfreq(1 << 17, 1 / sfreq), 1 << 17
    gain = np.abs(np.fft.rfft(filter.taps, size))
    half = min(sfreq, to) / 2
    np.testing.assert_allclose(gain[freqs <= 0.98 * half], 1, atol=2e-6)
    assert gain[freqs >= half].max(initial=0) < 2e-6


# One pass is the three steps


@pytest.mark.parametrize(
    "sfreq", [128.0, 160.0, 173.61, 200.0, 256.0, 500.0, 512.0, 1000.0, 2034.5]
)
def test_the_stream_is_mne_s_filter_notch_and_resample(sfreq):
    signal = eeg_like(2, round(90 * sfreq) + 11)
    filter = design_filter(sfreq, l_freq=0.1, h_freq=45.0, line_freq=50.0, to=200.0)
    got = run(signal.astype(np.float32), filter, n_bytes=1)
    wanted = clean.notch(signal, sfreq, line_freq=50.0)
    wanted = clean.band_pass(wanted, sfreq, l_freq=0.1, h_freq=45.0)
    wanted = clean.resample(wanted, sfreq, to=200.0)
    assert got.shape == wanted.shape
    assert decibel(got - wanted, wanted) < -60
    away = slice(200, -200)
    assert decibel((got - wanted)[:, away], wanted) < -75


@given(
    n_times=st.integers(1, 3000),
    sfreq=st.sampled_from([100.0, 128.0, 173.61, 200.0, 256.0, 500.0, 2034.5]),
    piece=st.integers(1, 4000),
    n_bytes=st.integers(1, 100_000),
    l_freq=st.sampled_from([None, 1.0, 5.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_pieces_and_frames_change_nothing(n_times, sfreq, piece, n_bytes, l_freq, seed):
    signal = eeg_like(9, n_times, seed) if n_times > 2 else np.ones((9, n_times))
    signal = signal.astype(np.float32)
    filter = design_filter(sfreq, l_freq=l_freq, h_freq=40.0, line_freq=50.0, to=200.0)
    whole = run(signal, filter, piece=n_times)
    assert whole.shape == (9, clean.resampled_length(n_times, sfreq, to=200.0))
    cut = run(signal, filter, piece=piece, n_bytes=n_bytes)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=3e-6 * max(np.abs(signal).max(), 1))


@given(
    n_times=st.integers(1, 300),
    reach=st.integers(0, 200),
    piece=st.integers(1, 300),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_overlap_save_is_convolution_of_the_reflected_signal(n_times, reach, piece, seed):
    rng = np.random.default_rng(seed)
    half = rng.standard_normal(reach + 1)
    filter = Filter(np.concatenate([half[:0:-1], half]), Fraction(1))
    signal = rng.standard_normal((1, n_times)).astype(np.float32)
    n = min(reach, n_times - 1)
    extended = np.pad(signal[0], n, mode="reflect", reflect_type="odd") if n else signal[0]
    extended = np.pad(extended, reach - n)
    wanted = np.convolve(extended, filter.taps, mode="valid")
    got = run(signal, filter, piece=piece, n_bytes=1)[0]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4)


@given(
    reach=st.integers(0, 50_000),
    ratio=st.fractions(Fraction(1, 50), 4, max_denominator=5000),
    n_times=st.integers(1, 10**8),
    n_channels=st.integers(1, 500),
)
def test_frames_hold_whole_samples_of_both_rates(reach, ratio, n_times, n_channels):
    filter = Filter(np.ones(2 * reach + 1), ratio)
    frames = plan_frames(filter, n_times, n_channels=n_channels, n_bytes=128_000_000)
    assert frames.step > 0
    assert frames.reach >= reach
    assert frames.new_size == frames.size * ratio
    assert frames.new_reach == frames.reach * ratio


def test_a_standing_voltage_costs_no_precision(tmp_path):
    signal = 1e-5 * eeg_like(1, 40 * 256) + 0.2
    info = mne.create_info(["Cz"], 256.0, "eeg")
    samples = RawSamples(mne.io.RawArray(signal, info, verbose="ERROR"), ["Cz"])
    sensors = synthesise(1, seconds=1.0)[0].sensors.pick([17])
    recipe = Recipe(line_freq=50.0)
    got = np.concatenate(list(clean_blocks(samples, sensors, recipe)), axis=1)
    wanted = clean.notch(signal, 256.0, line_freq=50.0)
    wanted = clean.band_pass(wanted, 256.0, l_freq=0.1, h_freq=75.0)
    wanted = clean.resample(wanted, 256.0, to=200.0)
    assert decibel((got - wanted)[:, 100:-100], wanted) < -80
    still = np.concatenate(list(clean_blocks(samples, sensors, AS_IT_IS)), axis=1)
    assert still.mean() == pytest.approx(0.2, abs=1e-5)
