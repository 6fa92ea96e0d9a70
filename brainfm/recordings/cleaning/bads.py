"""Channels that cannot be trusted, judged beside the others of their kind in spread-out segments.

The criteria are those of PREP (Bigdely-Shamlo et al. 2015, Front. Neuroinform. 9:16) with limits so
wide that only what is plainly broken is named. A criterion that more than a third of the channels
of a kind fail tells them not apart and names none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import rfft

JUDGED = ("eeg", "mag", "grad_planar", "grad_axial")
"""Kinds whose channels see the same brain, so that one can be held against the others."""

N_CHANNELS = 8
"""Fewer channels of a kind are not judged."""

BAND = (1.0, 40.0)
"""Hz in which amplitude and correlation are taken."""

NOISE = (50.0, 120.0)
"""Hz in which there is muscle and noise, the mains' lines left out."""

Z = 5.0
"""Robust standard deviations from the median of the logarithms."""

AMPLITUDE = 5.0
"""And at least this factor between a channel's amplitude and the median's, either way."""

NOISE_RATIO = 6.0
"""And at least this factor between a channel's ratio of noise to band and the median's."""

CORRELATION = 0.3
"""A channel's greatest correlation with any other, in the median segment, is not below this."""


@dataclass(frozen=True, eq=False)
class Looks:
    """How channels look in each segment.

    Attributes
    ----------
    amplitude
        (segment, channel) in `BAND`.
    noise
        (segment, channel) amplitude in `NOISE`; 0 where the sampling rate does not reach it.
    correlation
        (segment, channel) the greatest with another channel of the kind, in `BAND`.
    """

    amplitude: Float[np.ndarray, "segment channel"]
    noise: Float[np.ndarray, "segment channel"]
    correlation: Float[np.ndarray, "segment channel"]


def find_bads(
    segments: Sequence[Float[np.ndarray, "channel segment"]], sfreq: float, *, kinds: Sequence[str]
) -> dict[int, str]:
    """Return the rows that cannot be trusted, with the reason.

    Parameters
    ----------
    segments
        of the raw signal, each of one second or more.
    sfreq
        sampling rate in Hz.
    kinds
        of the channels.

    Returns
    -------
    found
        row to ``flat``, ``amplitude``, ``noise`` or ``uncorrelated``.
    """
    found: dict[int, str] = {}
    for kind in JUDGED:
        rows = np.flatnonzero([k == kind for k in kinds])
        if len(rows) < N_CHANNELS:
            continue
        looks = [_look(segment[rows], sfreq) for segment in segments]
        reasons = judge(Looks(*map(np.stack, zip(*looks, strict=True))))
        found |= {int(rows[row]): reason for row, reason in reasons.items()}
    return dict(sorted(found.items()))


def judge(looks: Looks) -> dict[int, str]:
    """Return which channels of one kind stand out, with the first reason of each."""
    amplitude = np.median(looks.amplitude, axis=0)
    floor = max(1e-6 * float(np.median(amplitude)), 1e-30)
    level = np.log(np.maximum(amplitude, floor))
    ratio = np.log(np.median(looks.noise / np.maximum(looks.amplitude, floor), axis=0) + 1e-6)
    criteria = {
        "amplitude": (np.abs(_z(level)) > Z) & (np.abs(_from_median(level)) > np.log(AMPLITUDE)),
        "noise": (_z(ratio) > Z) & (_from_median(ratio) > np.log(NOISE_RATIO)),
        "uncorrelated": np.median(looks.correlation, axis=0) < CORRELATION,
    }
    found = dict.fromkeys(np.flatnonzero(amplitude == 0).tolist(), "flat")
    for reason, fails in criteria.items():
        if fails.sum() <= len(fails) / 3:
            found = dict.fromkeys(np.flatnonzero(fails).tolist(), reason) | found
    return found


def _look(
    segment: Float[np.ndarray, "channel segment"], sfreq: float
) -> tuple[Float[np.ndarray, " channel"], ...]:
    """Return amplitude, noise and correlation of one segment."""
    n_times = segment.shape[1]
    spectrum = rfft(segment * np.hanning(n_times).astype(segment.dtype))
    freqs = np.arange(spectrum.shape[1]) * sfreq / n_times
    band = spectrum[:, _within(freqs, BAND, sfreq)]
    amplitude = np.linalg.norm(band, axis=1)
    noise = np.linalg.norm(spectrum[:, _within(freqs, NOISE, sfreq) & ~_mains(freqs)], axis=1)
    unit = band / np.maximum(amplitude, np.finfo(band.dtype).tiny)[:, None]
    correlation = np.abs((unit @ unit.conj().T).real)
    np.fill_diagonal(correlation, 0)
    return tuple(v.astype(float) for v in (amplitude, noise, correlation.max(axis=1)))


def _within(
    freqs: Float[np.ndarray, " freq"], edges: tuple[float, float], sfreq: float
) -> Bool[np.ndarray, " freq"]:
    # Recorders' own filters leave nothing above nine tenths of half the rate.
    return (freqs >= edges[0]) & (freqs <= min(edges[1], 0.45 * sfreq))


def _mains(freqs: Float[np.ndarray, " freq"]) -> Bool[np.ndarray, " freq"]:
    return np.any([np.abs(freqs - line) <= 3 for line in (50, 60, 100, 120)], axis=0)


def _from_median(values: Float[np.ndarray, " channel"]) -> Float[np.ndarray, " channel"]:
    return values - np.median(values)


def _z(values: Float[np.ndarray, " channel"]) -> Float[np.ndarray, " channel"]:
    # Where nearly all are alike, a tenth is still no deviation.
    distance = _from_median(values)
    return distance / max(1.4826 * float(np.median(np.abs(distance))), 0.1)
