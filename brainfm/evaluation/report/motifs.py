"""What the most used tokens stand for: a gallery of them, and how the codebook is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from brainfm.evaluation.report.conditions import Conditions
from brainfm.evaluation.report.drawing import Frame, Logarithmic, plot
from brainfm.evaluation.report.inputs import UNREADABLE, Absent
from brainfm.evaluation.report.numbers import count, figure, percent
from brainfm.evaluation.report.occurrences import channel_rows, find_occurrences
from brainfm.evaluation.report.portraits import Motif, draw_motifs
from brainfm.store import Store
from brainfm.store.tokens import TokenStore, open_tokens


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
    n_times = round(float(facts["span"]) * sfreq)
    step = float(facts["step"])
    shares = tokens.usage[found.codes] / tokens.usage.sum()
    motifs = draw_motifs(found, store, conditions, shares, step=step, sfreq=sfreq, n_times=n_times)
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
