"""What the most used tokens stand for: their spectra, raw snippets, places and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from brainfm.evaluation.report.conditions import Conditions
from brainfm.evaluation.report.drawing import Frame, Linear, Logarithmic, plot
from brainfm.evaluation.report.heads import topography
from brainfm.evaluation.report.inputs import UNREADABLE, Absent
from brainfm.evaluation.report.numbers import count, figure, listed, percent
from brainfm.evaluation.report.occurrences import (
    Occurrences,
    channel_rows,
    draw,
    find_occurrences,
    mean_spectrum,
    read_snippets,
    sensor_positions,
)
from brainfm.store import Store
from brainfm.store.tokens import TokenStore, open_tokens

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
class Gallery:
    """The section on motifs.

    Attributes
    ----------
    tiles
        (value, words) pairs: health of the codebook.
    ranks
        the curve of usage by rank.
    ranks_says
        what it comes to.
    motifs
        the cards.
    conditions
        their names, and ``origin`` where they are known from.
    seconds
        how long a token is, and ``step`` how far apart tokens are, in words.
    sampled
        how many recordings were looked through, and of how many.
    """

    tiles: tuple[tuple[str, str], ...]
    ranks: Markup
    ranks_says: str
    motifs: tuple[Motif, ...]
    conditions: tuple[str, ...]
    origin: str
    seconds: str
    step: str
    sampled: str
    note: str


def open_motifs(path: Path | None, store: Store | Absent) -> TokenStore | Absent:
    """Open the token store of a journey, if it is of the store's recordings."""
    if path is None:
        return Absent("No token store was given, so there are no motifs to show.", given=False)
    try:
        tokens = open_tokens(path)
        assert tokens.usage.sum() > 0
    except (*UNREADABLE, AssertionError):
        return Absent(f"The token store {path.name} is not there, empty, or cannot be read.")
    if isinstance(store, Absent):
        return Absent("Without the store that the tokens were made of, motifs cannot be drawn.")
    if tokens.attributes.get("store_fingerprint") not in (None, store.fingerprint):
        return Absent("The tokens were made of another store, so their motifs cannot be drawn.")
    if "view" in tokens.attributes:
        try:
            channel_rows(tokens, store, tokens.ids[0], 0)
        except UNREADABLE as error:
            return Absent(f"Motifs cannot be drawn: {error}.")
    return tokens


def describe_motifs(tokens: TokenStore, store: Store, conditions: Conditions) -> Gallery:
    """Gather the gallery: the same tokens give the same pictures."""
    found = find_occurrences(tokens, store, conditions)
    facts = tokens.attributes
    sfreq = float(facts.get("sfreq") or store.table["sfreq"].iloc[0])
    n = round(float(facts["span"]) * sfreq)
    rng = np.random.default_rng(0)
    picked = [draw(places, rng) for places in found.places]
    step = float(facts["step"])
    snippets = [
        read_snippets(store, found, places, step=step, sfreq=sfreq, n_times=n) for places in picked
    ]
    spectra = [mean_spectrum(s) for s in snippets]
    shares = tokens.usage[found.codes] / tokens.usage.sum()
    usual = np.average(spectra, axis=0, weights=shares)
    freqs = np.fft.rfftfreq(n, 1 / sfreq)
    positions = sensor_positions(store, found)
    motifs = tuple(
        _motif(
            found, i, float(shares[i]), snippets[i], spectra[i], usual, freqs, positions, conditions
        )
        for i in range(len(found.codes))
    )
    ranks, ranks_says = _ranks(tokens)
    total = len(tokens.ids)
    return Gallery(
        tiles=_health(tokens),
        ranks=ranks,
        ranks_says=ranks_says,
        motifs=motifs,
        conditions=conditions.names,
        origin=conditions.origin,
        seconds=f"{facts['span']:g} s",
        step=f"{facts['step']:g} s",
        sampled=f"{len(found.ids)} of {total} recordings" if len(found.ids) < total else "",
        note=f"{percent(shares.sum())} are one of these {len(motifs)}",
    )


# ---- one card ------------------------------------------------------------------------------------


def _motif(
    found: Occurrences,
    i: int,
    share: float,
    snippets: Float[np.ndarray, "occurrence time"],
    spectrum: Float[np.ndarray, " frequency"],
    usual: Float[np.ndarray, " frequency"],
    freqs: Float[np.ndarray, " frequency"],
    positions: Float[np.ndarray, "channel 3"],
    conditions: Conditions,
) -> Motif:
    code = int(found.codes[i])
    rate = found.channels[i] / np.maximum(found.channels_seen, 1)
    order = np.argsort(-rate, kind="stable")[:3]
    where = listed([found.names[c] for c in order if rate[c] > 0])
    peak = _peak(spectrum, usual, freqs)
    head = None
    if np.isfinite(positions).all(axis=1).sum() >= 3:
        head = topography(
            positions, rate / (rate.max() or 1.0), says=f"motif {code} is commonest on {where}"
        )
    return Motif(
        code=code,
        share=percent(share),
        peak=peak,
        snippets=_snippets(snippets, code, freqs[1]),
        spectrum=_spectrum(spectrum, usual, freqs, code, peak),
        head=head,
        where=where,
        ratios=_ratios(found, i, conditions),
    )


def _peak(
    spectrum: Float[np.ndarray, " frequency"],
    usual: Float[np.ndarray, " frequency"],
    freqs: Float[np.ndarray, " frequency"],
) -> str:
    inside = (freqs >= 1) & (freqs <= MOST_HZ)
    excess = np.where(inside, spectrum - usual, 0)
    at = int(np.argmax(excess))
    # Less than this is the spread of a mean over so few snippets.
    return f"{freqs[at]:g} Hz" if excess[at] > 0.1 * usual.max() else ""


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


def _spectrum(
    spectrum: Float[np.ndarray, " frequency"],
    usual: Float[np.ndarray, " frequency"],
    freqs: Float[np.ndarray, " frequency"],
    code: int,
    peak: str,
) -> Markup:
    keep = (freqs > 0) & (freqs <= MOST_HZ)
    top = float(max(spectrum[keep].max(), usual[keep].max())) * 1.08 or 1.0
    frame = Frame(Linear(0.0, float(freqs[keep][-1])), Linear(0.0, top), 60)
    lines = [
        frame.band(freqs[keep], np.zeros(keep.sum()), spectrum[keep], "motif"),
        frame.line(freqs[keep], spectrum[keep], "motif"),
        frame.line(freqs[keep], usual[keep], "usual"),
    ]
    more = f"; more than usual at {peak}" if peak else ""
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


# ---- the codebook --------------------------------------------------------------------------------


def _health(tokens: TokenStore) -> tuple[tuple[str, str], ...]:
    facts = tokens.attributes
    return (
        (count(tokens.usage.sum()), "tokens"),
        (count(facts.get("vocabulary")), "codes in the book"),
        (count(facts.get("used")), "of them used"),
        (count(facts.get("dead")), "dead"),
        (figure(facts.get("perplexity")), "perplexity"),
    )


def _ranks(tokens: TokenStore) -> tuple[Markup, str]:
    usage = np.sort(tokens.usage[tokens.usage > 0])[::-1].astype(float)
    share = usage / usage.sum()
    # Equal steps on the logarithmic axis: a codebook of any size draws the same number of points.
    rank = np.unique(np.geomspace(1, len(share), 160).round().astype(int))
    frame = Frame(
        Logarithmic(1.0, float(max(len(share), 2))),
        Logarithmic(float(share[-1]) * 0.8 * 100, float(share[0]) * 1.25 * 100),
        180,
    )
    half = int(np.searchsorted(np.cumsum(share), 0.5)) + 1
    says = (
        f"Both axes are logarithmic. The {count(half)} most used codes make up half of all tokens."
    )
    return plot(frame, [frame.line(rank, 100 * share[rank - 1], "motif")], says=says), says
