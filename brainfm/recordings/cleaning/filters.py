"""Band-pass, notch and the limit of the new sampling rate as one symmetric kernel.

Each is linear and zero-phase, so that their kernels convolved are one filter, and reflection about
the signal's ends, by which each would continue it, is the same before and after. Band-pass and notch
are MNE's kernels; the limit passes all up to 98 % of half the lower rate and is 120 dB down at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import mne
import numpy as np
from jaxtyping import Float64
from scipy.signal import fftconvolve, firwin, kaiserord

from brainfm.recordings.cleaning.clean import harmonics, rate_ratio, upper_edge

LIMIT_DB = 120.0
LIMIT_BEGIN = 0.98
STEP = 4


@dataclass(frozen=True, eq=False)
class Filter:
    """A zero-phase filter and a change of sampling rate.

    Attributes
    ----------
    taps
        (tap,) an odd number, symmetric, at the rate of the input.
    ratio
        new sampling rate over old.
    """

    taps: Float64[np.ndarray, " tap"]
    ratio: Fraction

    @property
    def reach(self) -> int:
        """Return how many samples to either side count."""
        return len(self.taps) // 2

    @property
    def changes_nothing(self) -> bool:
        """Tell whether what comes out is what goes in."""
        return self.ratio == 1 and self.taps.tolist() == [1.0]


@cache
def design_filters(
    sfreq: float,
    *,
    l_freq: float | None,
    h_freq: float | None,
    line_freq: float | None,
    to: float,
) -> tuple[Filter, ...]:
    """Return what `brainfm.recordings.cleaning.clean`'s notch, band-pass and resample do, as one filter.

    Where the rate is to fall to an eighth or less there are two: at the full rate the kernel would
    be hundreds of thousands of taps, so a short one goes to four times the new rate or more first.

    Parameters
    ----------
    sfreq, to
        sampling rates of the input and of the output in Hz.
    l_freq, h_freq
        edges of the band in Hz; None leaves that side open.
    line_freq
        of the mains in Hz, or None.
    """
    factor = int(sfreq // (STEP * to))
    edges = {"l_freq": l_freq, "h_freq": h_freq, "line_freq": line_freq}
    if factor < 2:
        return (_whole(sfreq, **edges, to=to),)
    between = sfreq / factor
    first = Filter(_low_pass(sfreq, to / 2, between / 2), Fraction(1, factor))
    return first, _whole(between, **edges, to=to)


def _whole(
    sfreq: float,
    *,
    l_freq: float | None,
    h_freq: float | None,
    line_freq: float | None,
    to: float,
) -> Filter:
    kernels = [np.ones(1)]
    if len(lines := harmonics(sfreq, line_freq)):
        # As mne.filter.notch_filter: a stop band of freq / 200 between transitions of 0.5 Hz.
        low, high = lines - lines / 400 - 0.5, lines + lines / 400 + 0.5
        kernels.append(_mne_kernel(sfreq, high, low, l_trans_bandwidth=0.5, h_trans_bandwidth=0.5))
    edge = upper_edge(sfreq, h_freq)
    if l_freq is not None or edge is not None:
        kernels.append(_mne_kernel(sfreq, l_freq, edge))
    if sfreq != to:
        half = min(sfreq, to) / 2
        kernels.append(_low_pass(sfreq, LIMIT_BEGIN * half, half))
    taps = kernels[0]
    for kernel in kernels[1:]:
        taps = fftconvolve(taps, kernel)
    return Filter((taps + taps[::-1]) / 2, rate_ratio(sfreq, to))


def _mne_kernel(sfreq: float, *edges: object, **widths: float) -> Float64[np.ndarray, " tap"]:
    return mne.filter.create_filter(None, sfreq, *edges, verbose="ERROR", **widths)


def _low_pass(sfreq: float, passed: float, stopped: float) -> Float64[np.ndarray, " tap"]:
    n_taps, beta = kaiserord(LIMIT_DB, (stopped - passed) / (sfreq / 2))
    return firwin(n_taps | 1, (passed + stopped) / 2, window=("kaiser", beta), fs=sfreq)
