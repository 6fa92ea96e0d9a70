"""Cleaning as pure functions of arrays: re-reference, notch, band-pass, resample, in that order.

Filters are MNE's zero-phase FIR (Hamming window) with MNE's default transition bands. These functions
say what is done and hold the whole signal; `brainfm.recordings.cleaning.stream` does the same in one pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction

import mne
import numpy as np
from jaxtyping import Float, Int
from scipy.fft import next_fast_len, rfft
from scipy.signal import resample as scipy_resample

PADDING = 200
"""Samples by which a signal is continued before it is resampled, at least."""

LINE_PEAK = 4.0
"""The mains are seen where their line is this many times the power beside it."""


def band_pass(
    signal: Float[np.ndarray, "channel time"],
    sfreq: float,
    *,
    l_freq: float | None,
    h_freq: float | None,
) -> Float[np.ndarray, "channel time"]:
    """Keep ``l_freq`` to ``h_freq`` Hz.

    An upper edge that the sampling rate cannot hold (within 1 Hz of its half) is no edge: the
    recording has nothing above it.
    """
    h_freq = upper_edge(sfreq, h_freq)
    if l_freq is None and h_freq is None:
        return signal
    with _short_signals_allowed():
        return mne.filter.filter_data(signal, sfreq, l_freq, h_freq, verbose="ERROR")


def notch(
    signal: Float[np.ndarray, "channel time"], sfreq: float, *, line_freq: float | None
) -> Float[np.ndarray, "channel time"]:
    """Take out the mains at ``line_freq`` Hz and its harmonics below half the sampling rate."""
    freqs = harmonics(sfreq, line_freq)
    if not len(freqs):
        return signal
    with _short_signals_allowed():
        return mne.filter.notch_filter(signal, sfreq, freqs, verbose="ERROR")


def upper_edge(sfreq: float, h_freq: float | None) -> float | None:
    """Return the upper edge of the band in Hz, or None where the sampling rate cannot hold it."""
    return None if h_freq is None or h_freq > sfreq / 2 - 1 else h_freq


def harmonics(sfreq: float, line_freq: float | None) -> Float[np.ndarray, " line"]:
    """Return the mains' frequency and its multiples that a notch fits around, in Hz."""
    # MNE's stop band is freq / 200 wide with 0.5 Hz transitions; it must end below Nyquist.
    return np.arange(line_freq, sfreq / 2 - 1.5, line_freq) if line_freq else np.zeros(0)


def rereference(
    signal: Float[np.ndarray, "channel time"],
    channels: Int[np.ndarray, " eeg"],
    *,
    reference: Int[np.ndarray, " reference"],
) -> Float[np.ndarray, "channel time"]:
    """Measure ``channels`` against the mean of the channels ``reference``; both count rows."""
    new = signal.copy()
    new[channels] -= signal[reference].mean(axis=0)
    return new


def resample(
    signal: Float[np.ndarray, "channel time"], sfreq: float, *, to: float
) -> Float[np.ndarray, "channel new_time"]:
    """Bring the signal from ``sfreq`` to ``to`` Hz, band-limited, sample 0 staying at time 0.

    It is MNE's FFT method with another padding: MNE pads to a power of two, which from 500 to 200
    Hz is no whole number of samples and moves the signal by up to 3 ms. Here the padded length is a
    multiple of the ratio's denominator, so that nothing moves.
    """
    if sfreq == to:
        return signal
    ratio = rate_ratio(sfreq, to)
    n_times = signal.shape[1]
    left = -(-PADDING // ratio.denominator) * ratio.denominator
    blocks = next_fast_len(-(-(n_times + 2 * left) // ratio.denominator), real=True)
    padded = _reflect(signal, left, blocks * ratio.denominator - n_times - left)
    spread = scipy_resample(padded, blocks * ratio.numerator, axis=-1)
    start = left // ratio.denominator * ratio.numerator
    return spread[:, start : start + resampled_length(n_times, sfreq, to=to)]


def resampled_length(n_times: int, sfreq: float, *, to: float) -> int:
    """Return how many samples `resample` makes of ``n_times``: at least one."""
    return max(round(n_times * rate_ratio(sfreq, to)), 1)


def rate_ratio(sfreq: float, to: float) -> Fraction:
    """Return ``to`` over ``sfreq``; a day of a rate that is no fraction is off by a sample's part."""
    return Fraction(to / sfreq).limit_denominator(10_000)


def _reflect(
    signal: Float[np.ndarray, "channel time"], left: int, right: int
) -> Float[np.ndarray, "channel longer"]:
    """Continue the signal by its reflection about its ends, then by zeros where it is used up."""
    n_times = signal.shape[1]
    before, after = min(left, n_times - 1), min(right, n_times - 1)
    reflected = np.pad(signal, ((0, 0), (before, after)), mode="reflect", reflect_type="odd")
    return np.pad(reflected, ((0, 0), (left - before, right - after)))


def detect_line_freq(signal: Float[np.ndarray, "channel time"], sfreq: float) -> float | None:
    """Return 50 or 60 Hz where the mean spectrum has a line there, the stronger one; else None."""
    size = round(2 * sfreq)
    n_windows = signal.shape[1] // size
    if not n_windows:
        return None
    windows = signal[:, : n_windows * size].reshape(-1, size)
    windows = windows - windows.mean(axis=1, keepdims=True)
    windows *= np.hanning(size).astype(windows.dtype)
    power = np.square(np.abs(rfft(windows))).mean(axis=0, dtype=float)
    freqs = np.arange(len(power)) * sfreq / size
    peaks = {line: _line_peak(freqs, power, line) for line in (50.0, 60.0) if line + 3 < sfreq / 2}
    best = max(peaks, key=lambda line: peaks[line], default=None)
    return best if best is not None and peaks[best] >= LINE_PEAK else None


def kernel_seconds(l_freq: float | None) -> float:
    """Return the length of the band-pass kernel, which a low edge makes long."""
    # MNE's rule: the transition is a quarter of the edge, at least 2 Hz, at most the edge itself.
    return 0.0 if l_freq is None else 3.3 / min(max(0.25 * l_freq, 2.0), l_freq)


def _line_peak(
    freqs: Float[np.ndarray, " freq"], power: Float[np.ndarray, " freq"], line: float
) -> float:
    distance = np.abs(freqs - line)
    beside = np.median(power[(distance > 1) & (distance <= 3)])
    return float(power[distance <= 0.5].max() / max(beside, np.finfo(float).tiny))


@contextmanager
def _short_signals_allowed() -> Generator[None]:
    # A recording shorter than the kernel is filtered with reflected edges; provenance says so.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="filter_length .* is longer than the signal")
        yield
