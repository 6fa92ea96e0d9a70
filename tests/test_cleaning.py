"""One pass in blocks gives what MNE gives on the whole signal; what is broken is named."""

import os
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.recordings.cleaning import bads, clean, faults, filters, stream
from brainfm.recordings.cleaning.bads import find_bads
from brainfm.recordings.cleaning.filters import Filter, design_filters
from brainfm.recordings.cleaning.overlap import convolve, plan_frames
from brainfm.recordings.cleaning.plausible import RANGES, amplitudes, check_amplitude
from brainfm.recordings.cleaning.stream import clean_blocks, look_first
from brainfm.recordings.files import read_recording
from brainfm.recordings.formats.edf_samples import EdfSamples, read_edf
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import consume
from brainfm.recordings.samples import RawSamples, Samples, read_pieces, read_segments
from brainfm.recordings.spread import spread_samples
from brainfm.recordings.synthetic import synthesise, write_edf

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


def run(signal, filters, *, n_out=None, piece=10_000, n_bytes=128_000_000):
    pieces = (signal[:, i : i + piece] for i in range(0, signal.shape[1], piece))
    n_channels, n_times = signal.shape
    blocks = convolve(
        pieces,
        filters,
        n_times=n_times,
        n_out=n_times if n_out is None else n_out,
        n_channels=n_channels,
        n_bytes=n_bytes,
    )
    return np.concatenate(list(blocks), axis=1)


def eeg_like(n_channels, n_times, seed=0):
    """Noise with the spectrum of EEG and a standard deviation of 1."""
    white = np.random.default_rng(seed).standard_normal((n_channels, n_times))
    spectrum = 1 / np.sqrt(np.maximum(np.arange(n_times // 2 + 1), n_times / 400))
    signal = np.fft.irfft(np.fft.rfft(white) * spectrum, n_times)
    return signal / signal.std()


def decibel(error, signal):
    return 20 * np.log10(np.std(error) / np.std(signal))


# The steps, each on a whole signal


FS = 256.0


def tone(freq, sfreq=FS, seconds=60.0):
    return np.sin(2 * np.pi * freq * np.arange(round(seconds * sfreq)) / sfreq)[None]


def middle(signal):
    return signal[:, signal.shape[1] // 4 : -signal.shape[1] // 4]


@pytest.mark.parametrize(("freq", "kept"), [(0.01, 0), (1, 1), (40, 1), (74, 1), (95, 0)])
def test_band_pass_keeps_the_band(freq, kept):
    wave = tone(freq, seconds=200.0)
    got = middle(clean.band_pass(wave, FS, l_freq=0.1, h_freq=75.0))
    np.testing.assert_allclose(got, kept * middle(wave), atol=0.02)


def test_band_pass_passes_an_edge_over_that_the_recording_cannot_hold():
    wave = tone(10, 100.0)
    got = clean.band_pass(wave, 100.0, l_freq=None, h_freq=75.0)
    assert np.array_equal(got, wave)


@pytest.mark.parametrize("line", [50.0, 60.0])
def test_line_is_found_and_taken_out_with_its_harmonics(line):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 256 * 60))
    hum = tone(line) + 0.5 * tone(2 * line)
    assert clean.detect_line_freq(noise, FS) is None
    assert clean.detect_line_freq(noise + hum, FS) == line
    got = clean.notch(np.vstack([hum, tone(10)]), FS, line_freq=line)
    assert np.abs(middle(got)[0]).max() < 0.02
    np.testing.assert_allclose(middle(got)[1:], middle(tone(10)), atol=0.02)


@pytest.mark.parametrize("sfreq", [128.0, 160.0, 250.0, 256.0, 500.0, 512.0, 1000.0, 2048.0])
@pytest.mark.parametrize("seconds", [7.0, 61.0])
def test_resampling_keeps_a_rhythm_where_it_is(sfreq, seconds):
    got = clean.resample(tone(10, sfreq, seconds), sfreq, to=200.0)
    wanted = tone(10, 200.0, seconds)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(middle(got), middle(wanted), atol=2e-3)


def test_resampling_from_an_odd_rate_keeps_time():
    sfreq = 300.3074951171875
    got = clean.resample(tone(10, sfreq, 600.0), sfreq, to=200.0)
    wanted = tone(10, 200.0, 600.0)[:, : got.shape[1]]
    assert abs(got.shape[1] - 120_000) <= 1
    np.testing.assert_allclose(middle(got), middle(wanted), atol=2e-3)


@given(n_times=st.integers(1, 400), sfreq=st.sampled_from([100.0, 160.0, 256.0, 500.0, 1000.0]))
@settings(max_examples=50)
def test_resampling_takes_any_length(n_times, sfreq):
    got = clean.resample(np.ones((2, n_times)), sfreq, to=200.0)
    assert got.shape == (2, max(round(n_times * 200 / sfreq), 1))
    assert np.isfinite(got).all()


# The filter


@pytest.mark.parametrize("sfreq", [128.0, 173.61, 250.0, 500.0])
def test_the_one_kernel_is_the_impulse_response_of_the_three_steps(sfreq):
    impulse = np.zeros((1, round(120 * sfreq) | 1))
    impulse[0, impulse.shape[1] // 2] = 1
    wanted = clean.notch(impulse, sfreq, line_freq=50.0)
    wanted = clean.band_pass(wanted, sfreq, l_freq=0.1, h_freq=40.0)[0]
    # At its own rate there is no third step, and before the limit of a new one there is no aliasing.
    (got,) = design_filters(sfreq, l_freq=0.1, h_freq=40.0, line_freq=50.0, to=sfreq)
    at = len(wanted) // 2
    span = slice(at - got.reach, at + got.reach + 1)
    np.testing.assert_allclose(got.taps, wanted[span], rtol=0, atol=1e-9)
    assert np.abs(np.delete(wanted, np.arange(span.start, span.stop))).max() < 1e-9


@pytest.mark.parametrize(("sfreq", "to"), [(500.0, 200.0), (128.0, 200.0), (1017.25, 200.0)])
def test_the_limit_of_the_new_rate_passes_the_band_and_nothing_above(sfreq, to):
    (filter,) = design_filters(sfreq, l_freq=None, h_freq=None, line_freq=None, to=to)
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
    filters = design_filters(sfreq, l_freq=0.1, h_freq=45.0, line_freq=50.0, to=200.0)
    n_out = clean.resampled_length(signal.shape[1], sfreq, to=200.0)
    got = run(signal.astype(np.float32), filters, n_out=n_out, n_bytes=1)
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
@settings(max_examples=60)
def test_pieces_and_frames_change_nothing(n_times, sfreq, piece, n_bytes, l_freq, seed):
    signal = eeg_like(9, n_times, seed) if n_times > 2 else np.ones((9, n_times))
    signal = signal.astype(np.float32)
    filters = design_filters(sfreq, l_freq=l_freq, h_freq=40.0, line_freq=50.0, to=200.0)
    n_out = clean.resampled_length(n_times, sfreq, to=200.0)
    whole = run(signal, filters, n_out=n_out, piece=n_times)
    assert whole.shape == (9, n_out)
    cut = run(signal, filters, n_out=n_out, piece=piece, n_bytes=n_bytes)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=3e-6 * max(np.abs(signal).max(), 1))


@given(
    n_times=st.integers(1, 300),
    reach=st.integers(0, 200),
    piece=st.integers(1, 300),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_overlap_save_is_convolution_of_the_reflected_signal(n_times, reach, piece, seed):
    rng = np.random.default_rng(seed)
    half = rng.standard_normal(reach + 1)
    filter = Filter(np.concatenate([half[:0:-1], half]), Fraction(1))
    signal = rng.standard_normal((1, n_times)).astype(np.float32)
    n = min(reach, n_times - 1)
    extended = np.pad(signal[0], n, mode="reflect", reflect_type="odd") if n else signal[0]
    extended = np.pad(extended, reach - n)
    wanted = np.convolve(extended, filter.taps, mode="valid")
    got = run(signal, [filter], piece=piece, n_bytes=1)[0]
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


def test_signal_is_mne_s_own_after_the_same_filters():
    raw = mne.io.read_raw_edf(SAMPLE[0], preload=True, verbose="ERROR")
    raw.pick(raw.ch_names[:19])
    raw.notch_filter([50, 100, 150, 200], verbose="ERROR")
    wanted = raw.filter(0.1, 75, verbose="ERROR").get_data()
    got = read_recording(str(SAMPLE[0]), Recipe(sfreq=500.0, line_freq=50.0)).load()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=0, atol=5e-7 * np.abs(wanted).max())


def test_signal_is_mne_s_own_after_resampling_too_where_mne_s_padding_fits(tmp_path):
    # 160 to 200 Hz: a power of two, times 5 / 4, is whole. What lies between the band's edge and half
    # the rate is in neither's passband.
    (recording, *_) = synthesise(1, seconds=40.0, sfreq=160.0)
    path = write_edf(recording, tmp_path)
    raw = mne.io.read_raw_edf(path, preload=True, verbose="ERROR")
    raw.notch_filter([60], verbose="ERROR").filter(0.1, 75, verbose="ERROR")
    wanted = raw.resample(200, verbose="ERROR").get_data()
    error = read_recording(str(path), Recipe(line_freq=60.0)).load() - wanted
    error = mne.filter.filter_data(error, 200.0, None, 75.0, h_trans_bandwidth=2, verbose="ERROR")
    assert middle(error).std() < 1e-3 * wanted.std()
    np.testing.assert_allclose(error, 0, rtol=0, atol=0.1 * wanted.std())


def test_signal_is_mne_s_other_method_where_it_does_not():
    raw = mne.io.read_raw_edf(SAMPLE[0], preload=True, verbose="ERROR")
    raw.pick(raw.ch_names[:19]).filter(0.1, 75, verbose="ERROR")
    wanted = raw.resample(200, method="polyphase", verbose="ERROR").get_data()
    got = read_recording(str(SAMPLE[0]), Recipe(line_freq=None)).load()
    assert (middle(got) - middle(wanted)).std() < 0.003 * middle(wanted).std()


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


# Line, reference and unit


@given(
    line=st.sampled_from([50.0, 60.0]),
    sfreq=st.sampled_from([160.0, 173.61, 256.0, 1000.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_the_mains_are_found_in_segments_as_in_the_whole(line, sfreq, seed):
    noise = eeg_like(4, round(120 * sfreq), seed)
    hum = np.sin(2 * np.pi * line * np.arange(noise.shape[1]) / sfreq)
    for signal, wanted in ((noise, None), (noise + 0.3 * hum, line)):
        segments = read_segments(Held(signal, sfreq), seconds=8.0, count=12, n_bytes=10**9)
        assert clean.detect_line_freq(np.concatenate(segments), sfreq) == wanted
        assert clean.detect_line_freq(signal, sfreq) == wanted


def test_segments_are_spread_and_bounded():
    samples = Held(np.arange(10_000.0)[None], 100.0)
    got = read_segments(samples, seconds=8.0, count=5, n_bytes=10**9)
    assert [int(s[0, 0]) for s in got] == [0, 2300, 4600, 6900, 9200]
    assert len(read_segments(samples, seconds=8.0, count=12, n_bytes=1)) == 4
    (short,) = read_segments(Held(np.ones((1, 5)), 100.0), seconds=8.0, count=12, n_bytes=1)
    assert short.shape == (1, 5)


@pytest.mark.parametrize("freq", [10.0, 20.0, 40.0])
@pytest.mark.parametrize("seconds", [105, 300, 1200])
def test_the_amplitude_of_a_steady_rhythm_is_its_own_however_it_is_cut(monkeypatch, freq, seconds):
    """Every so many periods it would be met at one phase, and look flat."""
    noise = 1e-7 * np.random.default_rng(0).standard_normal((2, seconds * 200))
    signal = 5e-5 * tone(freq, 200.0, seconds) + noise
    low, high = np.quantile(signal, [0.16, 0.84])
    found = []
    for n_bytes in (1, 100_000, 10**9):
        monkeypatch.setattr("brainfm.recordings.samples.PIECE_BYTES", n_bytes)
        found.append(cleaned(signal, 200.0, montage(2))[1].amplitude["eeg"])
    assert found[0] == pytest.approx((high - low) / 2, rel=0.1)
    assert found[0] == found[1] == found[2]


@given(n_times=st.integers(0, 10**9), n=st.integers(1, 2000))
def test_samples_that_are_looked_at_lie_in_equal_stretches(n_times, n):
    found = spread_samples(n_times, n=n)
    assert len(found) == min(n_times, n)
    stretch = max(n_times / n, 1)
    place = found - np.arange(len(found)) * stretch
    assert ((place > -1) & (place <= stretch)).all()
    assert np.array_equal(found, spread_samples(n_times, n=n))


def montage(n_channels=19):
    sensors = synthesise(1, seconds=1.0)[0].sensors
    return sensors.pick(range(n_channels))


def of_kinds(*kinds):
    return replace(montage(len(kinds)), kind=kinds)


def cleaned(signal, sfreq, sensors, recipe=AS_IT_IS, **held):
    parts = [np.empty((len(sensors), 0), np.float32)]
    found = consume(clean_blocks(Held(signal, sfreq, **held), sensors, recipe), parts.append)
    return np.concatenate(parts, axis=1), found


def brainlike(n_channels=19, seconds=30, sfreq=200, seed=0):
    """EEG of which neighbours share much."""
    shared = eeg_like(1, seconds * sfreq, seed + 1)
    return 1e-5 * (eeg_like(n_channels, seconds * sfreq, seed) + shared)


def test_the_average_reference_is_that_of_the_good_channels():
    signal = brainlike()
    signal[3] = 1e-3 * np.random.default_rng(5).standard_normal(signal.shape[1])
    got, found = cleaned(signal, 200.0, montage(), Recipe(reference="average", **vars_of(AS_IT_IS)))
    assert found.bads == ("F4",)
    wanted = signal - np.delete(signal, 3, axis=0).mean(axis=0)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9)


def vars_of(recipe):
    return {k: getattr(recipe, k) for k in ("l_freq", "h_freq", "line_freq")}


def test_a_named_reference_is_their_mean_and_must_be_there():
    signal, sensors = brainlike(), montage()
    recipe = Recipe(reference=("T7", "T8"), **vars_of(AS_IT_IS))
    got, _ = cleaned(signal, 200.0, sensors, recipe)
    rows = [sensors.names.index(name) for name in ("T7", "T8")]
    np.testing.assert_allclose(got, signal - signal[rows].mean(axis=0), rtol=0, atol=1e-10)
    with pytest.raises(Refused, match="lack M1, which") as refused:
        cleaned(signal, 200.0, sensors, Recipe(reference=("M1", "T8")))
    assert refused.value.reason is Reason.missing_reference


def test_a_file_is_rereferenced_and_says_so():
    recording = read_recording(str(SAMPLE[0]), Recipe(reference="average"))
    assert set(recording.sensors.reference) == {"average"}
    assert recording.provenance["reference"] == "average"
    assert np.abs(recording.load().mean(axis=0)).max() < 1e-10
    assert Recipe(reference="average").preprocessing_hash != Recipe().preprocessing_hash


@pytest.mark.parametrize("reference", ["average", ("C3",)])
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("C3-A2", "C4-A1", "O1-A2", "O2-A1"), "against A1, A2, where"),
        (("C3-A2", "C4-M1", "Pz"), "against A2, M1, one that is not known, where"),
        (("C3-A2", "C4-A2", "O1-A2"), None),
        (("EEG C3-REF", "EEG C4", "EEG A1-REF"), None),
    ],
)
def test_only_channels_of_one_reference_are_rereferenced(tmp_path, labels, told, reference):
    data = 2e-5 * np.random.default_rng(0).standard_normal((len(labels), 2000))
    info = mne.create_info(list(labels), 200.0, "eeg")
    path = tmp_path / "night.edf"
    mne.export.export_raw(path, mne.io.RawArray(data, info, verbose="ERROR"), verbose="ERROR")
    recording = read_recording(str(path), Recipe(reference=reference))
    if told is None:
        assert recording.load().shape == data.shape
        return
    with pytest.raises(Refused, match=told) as refused:
        recording.load()
    assert refused.value.reason is Reason.missing_reference


@pytest.mark.parametrize("kind", sorted(RANGES))
@pytest.mark.parametrize("power", [-6, -3, 3, 6])
def test_every_kind_is_refused_when_off_by_a_thousand_or_a_million(kind, power):
    usual = RANGES[kind].usual
    signal = usual * np.random.default_rng(0).standard_normal((3, 1000))
    assert check_amplitude(amplitudes(signal), [kind] * 3)[kind] == pytest.approx(usual, rel=0.1)
    with pytest.raises(Refused, match=rf"10\^{power} times.*unit_reason") as refused:
        check_amplitude(amplitudes(signal * 10.0**power), [kind] * 3)
    # What is to be typed is a number in YAML, which 1e3 is not.
    told = re.search(r"unit_scale \((.*?)\)", refused.value.detail)[1]
    assert yaml.safe_load(told) == pytest.approx(10.0**-power)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("fif/neuromag122_test_file-raw.fif", {"grad_planar"}),
        ("fif/sample_audvis_trunc_raw_sss.fif", {"mag"}),
        ("fif/sample_audvis_trunc_raw_sss.fif", {"grad_planar"}),
        ("fif/triux_bmlhus_erm_raw_sss.fif", {"mag"}),
        ("fif/triux_bmlhus_erm_raw_sss.fif", {"grad_planar"}),
        ("kit/Example_PQA160C_1001-export_anonymyze.con", {"grad_axial"}),
        ("kit/Example_PQA160C_1001-export_anonymyze.con", {"ref_meg"}),
        ("kit/MQKIT_125_2sec.con", {"grad_axial"}),
        ("kit/MQKIT_125_2sec.con", {"ref_meg"}),
        ("bti/4Dsim/c,rfDC", {"mag"}),
        ("bti/4Dsim/c,rfDC,fn50,o", {"mag"}),
    ],
)
def test_every_real_meg_file_is_refused_when_off_by_a_thousand_and_not_as_it_is(file, kinds):
    as_it_is = Recipe(kinds=tuple(kinds), min_seconds=0.1)
    path = str(DATA / "formats" / file)
    found = consume(read_recording(path, as_it_is).blocks(), lambda _: None)
    assert set(found.amplitude) == kinds
    recipe = replace(as_it_is, unit_scale=1e3, unit_reason="a test")
    with pytest.raises(Refused, match=r"10\^3 times") as refused:
        consume(read_recording(path, recipe).blocks(), lambda _: None)
    assert refused.value.reason is Reason.implausible_amplitude


def test_microvolts_taken_for_volts_are_refused(tmp_path):
    (recording, *_) = synthesise(1, seconds=5.0)
    check_amplitude(amplitudes(recording.load()), recording.sensors.kind)
    for factor in (1e3, 1e6):
        with pytest.raises(Refused, match="unit_scale"):
            check_amplitude(amplitudes(recording.load() * factor), recording.sensors.kind)


def test_flat_recordings_are_refused():
    with pytest.raises(Refused) as refused:
        check_amplitude(np.zeros(2), ["eeg", "eeg"])
    assert refused.value.reason is Reason.flat


def test_a_kind_that_is_flat_beside_one_that_is_not_is_bad_and_no_reason_to_refuse():
    signal = brainlike(5)
    signal[3:] = 0
    _, found = cleaned(signal, 200.0, of_kinds("eeg", "eeg", "eeg", "ecg", "ecg"))
    assert found.bads == ("F4", "F7")
    assert set(found.provenance["bad_channels"].values()) == {"flat"}
    assert found.amplitude["ecg"] == 0
    with pytest.raises(Refused, match="Most of its ecg and eeg channels are flat") as refused:
        cleaned(0 * signal, 200.0, of_kinds("eeg", "eeg", "eeg", "ecg", "ecg"))
    assert refused.value.reason is Reason.flat


@pytest.mark.parametrize("reference", [None, "average"])
@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-2])
@pytest.mark.parametrize("n_channels", [3, 12])
def test_a_channel_of_another_unit_is_bad_and_spreads_to_no_other(factor, n_channels, reference):
    signal = brainlike(n_channels)
    signal[1] *= factor
    recipe = Recipe(reference=reference, **vars_of(AS_IT_IS))
    got, found = cleaned(signal, 200.0, montage(n_channels), recipe)
    assert found.bads == ("Fp2",)
    assert found.provenance["bad_channels"] == {"Fp2": "amplitude"}
    good = np.delete(signal, 1, axis=0)
    wanted = good if reference is None else good - good.mean(axis=0)
    np.testing.assert_allclose(np.delete(got, 1, axis=0), wanted, rtol=0, atol=1e-9)


def test_the_channel_that_is_the_reference_is_bad():
    recipe = Recipe(reference=("F7",), **vars_of(AS_IT_IS))
    got, found = cleaned(brainlike(), 200.0, montage(), recipe)
    assert not got[4].any()
    assert found.provenance["bad_channels"] == {"F7": "flat"}


def test_one_scale_is_not_advised_where_it_mends_one_kind_and_spoils_another():
    signal = brainlike(3)
    signal[2] *= 1e6
    sensors = of_kinds("eeg", "eeg", "eog")
    with pytest.raises(
        Refused, match="and leave its eeg as it is, take eog out of the recipe's kinds"
    ):
        cleaned(signal, 200.0, sensors)
    recipe = Recipe(unit_scale=1e-6, unit_reason="a test", **vars_of(AS_IT_IS))
    with pytest.raises(Refused, match="take eeg out of the recipe's kinds"):
        cleaned(signal, 200.0, sensors, recipe)
    # What is plausible by chance is no reason to keep a wrong unit.
    with pytest.raises(Refused, match=r"set the recipe's unit_scale \(1\.0e-3\) and unit_reason"):
        cleaned(1e3 * brainlike(3) * [[1], [1], [0.03]], 200.0, sensors)


def test_a_scale_mends_the_unit_of_a_stream():
    signal = brainlike()
    with pytest.raises(Refused, match=r"10\^6"):
        cleaned(1e6 * signal, 200.0, montage())
    recipe = Recipe(unit_scale=1e-6, unit_reason="a test", **vars_of(AS_IT_IS))
    got, found = cleaned(1e6 * signal, 200.0, montage(), recipe)
    np.testing.assert_allclose(got, signal, rtol=1e-5, atol=1e-12)
    assert found.amplitude["eeg"] == pytest.approx(np.std(signal), rel=0.2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 3000, 5999])
def test_a_value_that_is_not_finite_is_refused_wherever_it_is(value, at):
    signal = brainlike()
    signal[2, at] = value
    with pytest.raises(Refused) as refused:
        cleaned(signal, 200.0, montage(), Recipe())
    assert refused.value.reason is Reason.not_finite


# Faults


@given(start=st.integers(0, 400), length=st.integers(0, 200), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_flat_seconds_are_those_that_are_flat(start, length, seed):
    signal = brainlike(2, 60, 100, seed)
    begin, end = 10 * start, min(10 * (start + length), 6000)
    signal[1, begin:end] = np.median(signal[1])  # at an extreme it would be saturated
    _, found = cleaned(signal, 100.0, montage(2))
    first, last = -(-begin // 100), end // 100
    if last - first < faults.FLAT_SECONDS:
        assert len(found.annotations) == 0
    else:
        assert found.annotations.description == ("BAD_flat",)
        assert found.annotations.channels == (("Fp2",),)
        assert found.annotations.onset.tolist() == [first]
        assert found.annotations.duration.tolist() == [last - first]


def test_a_channel_that_is_mostly_flat_is_bad_and_not_annotated():
    signal = brainlike()
    signal[4, 100:] = 0
    _, found = cleaned(signal, 200.0, montage())
    assert found.bads == ("F7",)
    assert found.provenance["bad_channels"] == {"F7": "flat"}
    assert len(found.annotations) == 0


@given(runs=st.lists(st.tuples(st.integers(0, 290), st.integers(1, 9)), max_size=4))
@settings(max_examples=50)
def test_saturated_seconds_hold_a_run_at_the_end_of_the_range(runs):
    signal = brainlike(2, 3, 100)
    at_end = np.zeros(300, dtype=bool)
    for start, length in runs:
        at_end[start : start + length] = True
    signal[0, at_end] = 3e-3
    limits = np.array([[-2.9e-3, 2.9e-3]] * 2)
    _, found = cleaned(signal, 100.0, montage(2), limits=limits)
    seconds = [
        s for s in range(3) if "111" in "".join(map(str, 1 * at_end[100 * s : 100 * s + 100]))
    ]
    covered = {
        second
        for onset, duration in zip(found.annotations.onset, found.annotations.duration, strict=True)
        for second in range(round(onset), round(onset + duration))
    }
    assert covered == set(seconds)
    assert set(found.annotations.channels) <= {("Fp1",)}
    assert set(found.annotations.description) <= {"BAD_saturated"}


def test_saturation_and_flatness_are_found_in_a_file(tmp_path):
    (recording, *_) = synthesise(1, seconds=60.0)
    data = bytearray(write_edf(recording, tmp_path).read_bytes())
    path = next(tmp_path.glob("*.edf"))
    samples = read_edf(mne.io.read_raw_edf(path, verbose="ERROR"), ["EEG Fp1", "EEG Cz"])
    assert isinstance(samples, EdfSamples)
    # Second 10 of the second signal at its greatest, seconds 20 to 29 of the first at nought.
    layout = samples._layout
    for channel, first, last, value in ((1, 10, 11, 32767), (0, 20, 30, 0)):
        for second in range(first, last):
            at = layout.begin + 2 * (second * layout.record + int(layout.first[channel]))
            data[at : at + 400] = np.full(200, value, "<i2").tobytes()
    path.write_bytes(data)
    found = consume(read_recording(str(path), AS_IT_IS).blocks(), lambda block: None).annotations
    assert found.description == ("BAD_saturated", "BAD_flat")
    assert found.channels == (("Cz",), ("Fp1",))
    assert (found.onset.tolist(), found.duration.tolist()) == ([10, 20], [1, 10])


def write_brainvision(path, counts, names):
    head = ["Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]"]
    head += [f"DataFile={path.stem}.eeg", f"MarkerFile={path.stem}.vmrk", "DataFormat=BINARY"]
    head += ["DataOrientation=MULTIPLEXED", f"NumberOfChannels={len(names)}"]
    head += ["SamplingInterval=5000", "[Binary Infos]", "BinaryFormat=INT_16", "[Channel Infos]"]
    head += [f"Ch{i}={name},,0.1,µV" for i, name in enumerate(names, 1)]
    path.write_text("\n".join(head), encoding="utf-8")
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={path.stem}.eeg\n[Marker Infos]\nMk1=New Segment,,1,1,0\n"
    )
    path.with_suffix(".eeg").write_bytes(counts.T.astype("<i2").tobytes())


def write_fif(path, counts, names):
    info = mne.create_info(list(names), 200.0, "eeg")
    raw = mne.io.RawArray(1e-7 * counts, info, verbose="ERROR")
    raw.save(path, verbose="ERROR")


def write_nicolet(path, counts, names):
    path.write_bytes(counts.T.astype("<i2").tobytes())
    path.with_suffix(".head").write_text(
        "start_ts=2014-01-01 10:10:10.000\n"
        f"num_samples={counts.shape[1]}\nsample_freq=200\nconversion_factor=0.1\n"
        f"num_channels={len(names)}\nelec_names=[{','.join(names)}]\npat_id=1\nadm_id=1\n"
        "rec_id=1\nduration_in_sec=30\nsample_bytes=2\n"
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.vhdr", write_brainvision), ("a_raw.fif", write_fif), ("a.data", write_nicolet)],
)
def test_saturation_is_found_in_formats_that_tell_no_range(tmp_path, name, write):
    """The amplifier ends at 20,000 steps, far from the end of the file's integers."""
    counts = np.round(1e7 * brainlike(3))
    counts[1, 2050:2090] = counts[1, 5500:5530] = 20_000
    counts[2, 4000:4100] = -20_000
    write(tmp_path / name, counts, ("Fp1", "Cz", "Oz"))
    found = consume(read_recording(str(tmp_path / name), AS_IT_IS).blocks(), lambda _: None)
    marks = found.annotations
    assert marks.description == ("BAD_saturated",) * 3
    assert marks.channels == (("Cz",), ("Oz",), ("Cz",))
    assert marks.onset.tolist() == [10, 20, 27]
    assert marks.duration.tolist() == [1, 1, 1]


@given(
    held=st.lists(st.tuples(st.integers(0, 2900), st.integers(0, 60)), max_size=4),
    piece=st.integers(1, 30),
    sign=st.sampled_from([-1, 1]),
)
@settings(max_examples=60)
def test_plateaus_are_those_of_the_readable_rule_whatever_the_pieces(held, piece, sign):
    signal = np.round(1e6 * brainlike(1, 30, 100))
    for i, (start, length) in enumerate(held):
        signal[0, start : start + length] = (
            300 + i // 2
        )  # above all else, two at each of two levels
    plateaus = faults.Plateaus(("eeg",), 100)
    by_second = (sign * signal).reshape(1, 30, 100)
    for begin in range(0, 30, piece):
        part = by_second[:, begin : begin + piece]
        plateaus.take(part, part.min(axis=2), part.max(axis=2), begin=begin)
    ends = (by_second.min(), by_second.max())
    wanted = [
        any("1" * 10 in "".join(map(str, 1 * (second == end))) for end in ends)
        for second in by_second[0]
    ]
    assert plateaus.find(30).tolist() == [wanted]


def test_no_plateau_is_seen_in_what_is_alive_constant_or_a_trigger():
    alive = np.round(1e6 * brainlike(2, 60, 100))
    for kind, signal in (("eeg", alive), ("eeg", np.ones((2, 6000))), ("misc", np.sign(alive))):
        by_second = signal.reshape(2, 60, 100)
        plateaus = faults.Plateaus((kind,) * 2, 100)
        plateaus.take(by_second, by_second.min(axis=2), by_second.max(axis=2), begin=0)
        assert not plateaus.find(60).any()


@pytest.mark.data
def test_the_channels_of_a_real_tms_recording_that_saturate_are_found():
    path = DATA / "formats" / "eximia" / "test_eximia.nxe"
    found = consume(read_recording(str(path), AS_IT_IS).blocks(), lambda _: None).annotations
    where = {
        n for d, c in zip(found.description, found.channels, strict=True) for n in c if "sat" in d
    }
    counts = np.fromfile(path, "<i2").reshape(-1, 64)
    ends = np.isin(counts, (-32768, 32767)).sum(axis=0) >= 145
    assert ends.sum() == len(where) == 3


# Bad channels


def flat(rng, signal):
    return np.zeros_like(signal)


def loud(rng, signal):
    return 20 * signal


def faint(rng, signal):
    return signal / 50


def noisy(rng, signal):
    wave = np.fft.rfft(rng.standard_normal(len(signal)))
    wave[: len(wave) * 6 // 10] = 0
    return signal + 10 * signal.std() * np.fft.irfft(wave, len(signal))


def alone(rng, signal):
    return signal.std() * eeg_like(1, len(signal), int(rng.integers(10**6)))[0]


@given(
    spoil=st.sampled_from([flat, loud, faint, noisy, alone]),
    row=st.integers(0, 18),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40)
def test_a_spoilt_channel_is_found_and_no_other(spoil, row, seed):
    signal = brainlike(seconds=64, seed=seed)
    segments = np.split(signal, 8, axis=1)
    assert find_bads(segments, 200.0, kinds=("eeg",) * 19) == {}
    signal[row] = spoil(np.random.default_rng(seed), signal[row])
    reasons = {flat: "flat", loud: "amplitude", faint: "amplitude", noisy: "noise"}
    wanted = {row: reasons.get(spoil, "uncorrelated")}
    assert find_bads(segments, 200.0, kinds=("eeg",) * 19) == wanted


def test_channels_are_held_against_their_own_kind_and_few_are_not_judged():
    signal = np.vstack([brainlike(10), 1e-7 * brainlike(10, seed=3)])
    kinds = ("eeg",) * 10 + ("mag",) * 10
    assert find_bads([signal], 200.0, kinds=kinds) == {}
    signal[15] *= 30
    assert find_bads([signal], 200.0, kinds=kinds) == {15: "amplitude"}
    assert find_bads([signal], 200.0, kinds=("eeg",) * 10 + ("emg",) * 10) == {}
    assert find_bads([signal[13:]], 200.0, kinds=("mag",) * 7) == {}


def test_where_all_channels_are_alone_none_is_bad():
    assert find_bads([eeg_like(19, 6000)], 200.0, kinds=("eeg",) * 19) == {}


@pytest.mark.data
def test_the_bad_channel_of_mne_s_sample_is_found():
    path = DATA / "formats" / "fif" / "sample_audvis_trunc_raw_sss.fif"
    found = consume(read_recording(str(path), Recipe()).blocks(), lambda block: None)
    assert found.bads == ("EEG 053",)


# The fast reader of EDF and BDF


def edf_files():
    real = [*DATA.glob("**/*.edf"), *DATA.glob("**/*.bdf")] if "BRAINFM_DATA" in os.environ else []
    return [*SAMPLE[:4], *sorted(real)]


def test_the_fast_reader_gives_what_mne_gives_on_all_real_files():
    count = 0
    for path in edf_files():
        read = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
        try:
            raw = read(path, verbose="ERROR")
            names = [
                n for n, t in zip(raw.ch_names, raw.get_channel_types(), strict=True) if t == "eeg"
            ]
        except Exception:  # destroyed files, and those of annotations alone
            continue
        fast, slow = read_edf(raw, names), RawSamples(raw, names)
        if fast is None:
            continue
        count += 1
        n_times = fast.n_times
        for a, b in (
            (n_times // 3, min(n_times // 3 + 600, n_times)),
            (0, 1),
            (n_times - 1, n_times),
        ):
            got = fast.read(a, b) + fast.offset[:, None]
            wanted = slow.read(a, b) + slow.offset[:, None]
            error = np.abs(got - wanted).max(axis=1)
            assert (error <= np.abs(fast._layout.gain) / 50).all(), path
    assert count >= len(SAMPLE[:4])
    assert count > 50 or "BRAINFM_DATA" not in os.environ


def test_signals_of_unlike_rates_are_left_to_mne(tmp_path):
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(rng.standard_normal(10 * rate), rate, label=name, physical_dimension="uV")
        for name, rate in (("EEG Fp1", 200), ("EEG Cz", 100), ("EEG Pz", 200))
    ]
    path = tmp_path / "a.edf"
    edfio.Edf(signals).write(path)
    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    assert read_edf(raw, ["EEG Fp1", "EEG Cz"]) is None
    fast = read_edf(raw, ["EEG Pz", "EEG Fp1"])
    assert fast is not None
    np.testing.assert_allclose(
        fast.read(0, 2000) + fast.offset[:, None], raw.get_data(["EEG Pz", "EEG Fp1"]), atol=1e-9
    )


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = write_edf(synthesise(1, seconds=30.0)[0], tmp_path)
    recording = read_recording(str(path), Recipe())
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(Refused):
        recording.load()


def test_a_rhythm_that_meets_the_samples_looked_at_is_no_channel_of_another_unit():
    rng, time = np.random.default_rng(0), np.arange(120 * 256)
    signal = 2e-5 * rng.standard_normal((8, len(time)))
    # Each 24th sample of it is met at one phase.
    signal[3] = 2e-5 * np.sin(2 * np.pi * time / 24) + 1e-9 * rng.standard_normal(len(time))
    samples = Held(signal.astype(np.float32), 256.0)
    assert look_first(samples, montage(8), Recipe()).bads == {}


# Memory


def test_memory_does_not_grow_with_length(monkeypatch):
    import tracemalloc

    monkeypatch.setattr("brainfm.recordings.samples.PIECE_BYTES", 400_000)

    class Endless(Held):
        def read(self, start, stop):
            rng = np.random.default_rng(start)
            return 1e-5 * rng.standard_normal((8, stop - start), dtype=np.float32)

    def peak(minutes):
        samples = Endless(np.broadcast_to(np.float32(0), (8, minutes * 60 * 256)), 256.0)
        tracemalloc.start()
        consume(clean_blocks(samples, montage(8), Recipe(line_freq=50.0)), lambda block: None)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)
    short, long = peak(10), peak(60)
    assert long < 1.1 * short
    assert long < 8 * 60 * 60 * 256 * 4 / 2


def test_pieces_are_the_whole_and_in_order():
    samples = Held(np.arange(1_000_003.0)[None], 100.0)
    pieces = list(read_pieces(samples, multiple=100))
    assert all(piece.shape[1] % 100 == 0 for piece in pieces[:-1])
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), samples.read(0, 1_000_003))


# The page


def test_the_page_says_what_is_done():
    page = " ".join((Path(__file__).parents[1] / "docs" / "cleaning.md").read_text().split())
    for kind, size in RANGES.items():
        row = [f"{value:g} {size.unit}" for value in (size.least, size.usual, size.greatest)]
        assert f"| `{kind}` | {' | '.join(row)} |" in page
    low, high = bads.BAND
    noise = f"{bads.NOISE[0]:g} to {bads.NOISE[1]:g} Hz beside {low:g} to {high:g} Hz"
    for words in (
        f"{faults.FLAT_SECONDS} whole seconds or more that span less than 1/{1 / faults.FLAT_PART:g}",
        f"for {faults.SATURATED_SECONDS:g} s and {faults.SATURATED_SAMPLES} samples",
        f"for {faults.HELD_SECONDS:g} s and {faults.HELD_SAMPLES} samples",
        f"{low:g} to {high:g} Hz: {bads.Z:g} robust deviations and a factor of {bads.AMPLITUDE:g}",
        f"{noise}: {bads.Z:g} robust deviations and a factor of {bads.NOISE_RATIO:g}",
        f"correlation with any other is below {bads.CORRELATION:g}",
        f"{stream.SEGMENTS} segments of {stream.SEGMENT_SECONDS:g} s",
        f"from {bads.N_CHANNELS} channels on",
        f"up to {100 * filters.LIMIT_BEGIN:g} % of half the lower rate, {filters.LIMIT_DB:g} dB down",
    ):
        assert words in page
    recipe = Recipe()
    assert f"{recipe.l_freq:g} to {recipe.h_freq:g} Hz |" in page
    assert f"| {recipe.sfreq:g} Hz |" in page
