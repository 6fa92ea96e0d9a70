"""Whether made-up EEG has the spectrum of real EEG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import welch


@dataclass(frozen=True, eq=False)
class SpectralComparison:
    """Mean power spectra of real and generated windows, and how far they are apart.

    Attributes
    ----------
    frequency
        (frequency,) in Hz.
    real
        (frequency,) mean power spectral density, V²/Hz.
    generated
        (frequency,) the same of generated windows.
    distance
        root mean square of the difference of the levels, in dB; 0 where equal.
    overlap
        of the two as distributions of power over frequency: 1 where their shapes are the same
        whatever the level, 0 where they have no frequency in common.
    """

    frequency: Float[np.ndarray, " frequency"]
    real: Float[np.ndarray, " frequency"]
    generated: Float[np.ndarray, " frequency"]
    distance: float
    overlap: float


def compare_spectra(
    real: Float[np.ndarray, "window time"],
    generated: Float[np.ndarray, "other time"],
    sfreq: float,
    *,
    band: tuple[float, float] = (1.0, 75.0),
) -> SpectralComparison:
    """Compare windows by Welch's mean spectra with segments of one second.

    Parameters
    ----------
    real
        windows of one channel, in volts.
    generated
        windows to compare them with.
    sfreq
        sampling rate in Hz.
    band
        frequencies to compare, in Hz: by default what EEGDM's filter lets through.
    """
    segment = min(real.shape[1], round(sfreq))
    frequency, *spectra = (
        welch(real, sfreq, nperseg=segment)[0],
        *(welch(x, sfreq, nperseg=segment)[1].mean(0) for x in (real, generated)),
    )
    kept = (frequency >= band[0]) & (frequency <= band[1])
    frequency, (first, second) = frequency[kept], (s[kept] for s in spectra)
    tiny = np.finfo(float).tiny
    level = 10 * np.log10((second + tiny) / (first + tiny))
    shares = [s / s.sum() for s in (first, second)]
    return SpectralComparison(
        frequency=frequency,
        real=first,
        generated=second,
        distance=float(np.sqrt((level**2).mean())),
        overlap=float(np.minimum(*shares).sum()),
    )
