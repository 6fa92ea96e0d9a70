"""One motif drawn: raw snippets, its spectrum beside the usual one, where and when it is common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from brainfm.evaluation.report.conditions import Conditions
from brainfm.evaluation.report.drawing import Frame, Linear
from brainfm.evaluation.report.heads import topography
from brainfm.evaluation.report.numbers import figure, listed, percent
from brainfm.evaluation.report.occurrences import (
    Occurrences,
    draw,
    mean_spectrum,
    read_snippets,
    sensor_positions,
)
from brainfm.store import Store

DRAWN = 4
"""Snippets drawn of each motif."""
MOST_HZ = 50.0


@dataclass(frozen=True, eq=False)
class Ratio:
    """How much oftener than on average a motif occurs in one condition."""

    name: str
    ratio: float
    style: str

    @property
    def words(self) -> str:
        """The ratio as it is read."""
        return f"{figure(self.ratio)} ×"

    @property
    def bar(self) -> str:
        """Where the bar lies: from the middle, a factor of 2 at either end."""
        half = 50 * float(np.clip(np.log(max(self.ratio, 1e-9)) / np.log(2), -1, 1))
        return f"left:{50 + min(half, 0):.1f}%;width:{abs(half):.1f}%"


@dataclass(frozen=True, eq=False)
class Motif:
    """One card of the gallery.

    Attributes
    ----------
    code
        index in the codebook.
    share
        of all tokens.
    peak
        frequency in words that it holds more of than motifs do on average; empty where none.
    snippets, spectrum, head
        its pictures; head is None where no position is known.
    where
        the channels it is commonest on.
    ratios
        by condition.
    """

    code: int
    share: str
    peak: str
    snippets: Markup
    spectrum: Markup
    head: Markup | None
    where: str
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The mean magnitude spectrum of a motif, and what motifs have on average."""

    own: Float[np.ndarray, " frequency"]
    usual: Float[np.ndarray, " frequency"]
    freqs: Float[np.ndarray, " frequency"]

    @property
    def peak(self) -> str:
        """The frequency in words that it holds more of than is usual; empty where none."""
        inside = (self.freqs >= 1) & (self.freqs <= MOST_HZ)
        excess = np.where(inside, self.own - self.usual, 0)
        at = int(np.argmax(excess))
        # Less than this is the spread of a mean over so few snippets.
        return f"{self.freqs[at]:g} Hz" if excess[at] > 0.1 * self.usual.max() else ""


def draw_motifs(
    found: Occurrences,
    store: Store,
    conditions: Conditions,
    shares: Float[np.ndarray, " motif"],
    *,
    step: float,
    sfreq: float,
    n_times: int,
) -> tuple[Motif, ...]:
    """Draw every motif, from the same occurrences each time.

    Parameters
    ----------
    found
        where they occur.
    store
        the recordings.
    conditions
        of their windows.
    shares
        (motif,) of all tokens.
    step
        seconds between the frames of a window.
    sfreq
        sampling rate in Hz.
    n_times
        samples under a token.
    """
    rng = np.random.default_rng(0)
    picked = [draw(places, rng) for places in found.places]
    snippets = [
        read_snippets(store, found, places, step=step, sfreq=sfreq, n_times=n_times)
        for places in picked
    ]
    spectra = [mean_spectrum(s) for s in snippets]
    usual = np.average(spectra, axis=0, weights=shares)
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    positions = sensor_positions(store, found)
    return tuple(
        _motif(found, i, share, mine, Spectrum(own, usual, freqs), positions, conditions)
        for i, (share, mine, own) in enumerate(zip(shares, snippets, spectra, strict=True))
    )


def _motif(
    found: Occurrences,
    i: int,
    share: float,
    snippets: Float[np.ndarray, "occurrence time"],
    spectrum: Spectrum,
    positions: Float[np.ndarray, "channel 3"],
    conditions: Conditions,
) -> Motif:
    code = int(found.codes[i])
    rate = found.channels[i] / np.maximum(found.channels_seen, 1)
    where = _commonest(found.names, rate)
    return Motif(
        code=code,
        share=percent(share),
        peak=spectrum.peak,
        snippets=_snippets(snippets, code, spectrum.freqs[1]),
        spectrum=_spectrum(spectrum, code),
        head=_head(positions, rate, says=f"motif {code} is commonest on {where}"),
        where=where,
        ratios=_ratios(found, i, conditions),
    )


def _commonest(names: tuple[str, ...], rate: Float[np.ndarray, " channel"]) -> str:
    order = np.argsort(-rate, kind="stable")[:3]
    return listed([names[c] for c in order if rate[c] > 0])


def _head(
    positions: Float[np.ndarray, "channel 3"], rate: Float[np.ndarray, " channel"], *, says: str
) -> Markup | None:
    if np.isfinite(positions).all(axis=1).sum() < 3:
        return None
    return topography(positions, rate / (rate.max() or 1.0), says=says)


def _snippets(
    snippets: Float[np.ndarray, "occurrence time"], code: int, resolution: float
) -> Markup:
    n = snippets.shape[1]
    times = np.arange(n) * (1 / (resolution * n))
    # Every second sample is enough at this size, and halves the page.
    thin = slice(None, None, max(1, n // 120))
    frame = Frame(Linear(0.0, float(times[-1])), Linear(-3.2, 3.2), 84)
    evenly = np.linspace(0, len(snippets) - 1, min(DRAWN, len(snippets))).round().astype(int)
    lines = [
        frame.line(times[thin], np.clip(snippets[k, thin], -3.2, 3.2), "snippet") for k in evenly
    ]
    if len(snippets):
        lines.append(frame.line(times[thin], snippets.mean(axis=0)[thin], "mean"))
    return Markup('<svg class="bare" role="img" aria-label="{}" height="{}">{}</svg>').format(
        f"raw signal under motif {code}: {len(evenly)} occurrences and the mean of {len(snippets)}",
        frame.height,
        frame.stretched(lines),
    )


def _spectrum(spectrum: Spectrum, code: int) -> Markup:
    keep = (spectrum.freqs > 0) & (spectrum.freqs <= MOST_HZ)
    freqs, own, usual = spectrum.freqs[keep], spectrum.own[keep], spectrum.usual[keep]
    top = float(max(own.max(), usual.max())) * 1.08 or 1.0
    frame = Frame(Linear(0.0, float(freqs[-1])), Linear(0.0, top), 60)
    lines = [
        frame.band(freqs, np.zeros(len(freqs)), own, "motif"),
        frame.line(freqs, own, "motif"),
        frame.line(freqs, usual, "usual"),
    ]
    more = f"; more than usual at {spectrum.peak}" if spectrum.peak else ""
    says = f"mean magnitude spectrum of motif {code}{more}"
    return Markup('<svg class="bare" role="img" aria-label="{}" height="{}">{}{}</svg>').format(
        says, frame.height + 20, frame.stretched(lines), frame.x_axis(4)
    )


def _ratios(found: Occurrences, i: int, conditions: Conditions) -> tuple[Ratio, ...]:
    seen, mine = found.conditions_seen, found.conditions[i]
    if not len(seen) or not seen.all() or not mine.sum():
        return ()
    rate = mine / seen
    usual = mine.sum() / seen.sum()
    return tuple(
        Ratio(name, float(r / usual), f"c{k}")
        for k, (name, r) in enumerate(zip(conditions.names, rate, strict=True))
    )
