"""Where the most used tokens occur, and the raw signal under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from brainfm.evaluation.report.conditions import Conditions
from brainfm.store import Store
from brainfm.store.tokens import TokenStore
from brainfm.windows.description import view_in
from brainfm.windows.views import Chain, OfKinds

MOTIFS = 16
SNIPPETS = 64
"""Occurrences of a motif that its mean and its spectrum are taken over."""
MOST_RECORDINGS = 64


@dataclass(frozen=True, eq=False)
class Occurrences:
    """All places where the motifs of the gallery occur.

    Attributes
    ----------
    codes
        (motif,) their codes, the most used first.
    places
        for each, (occurrence, 4): recording, window, channel and frame as indices.
    ids
        the recordings that places point into.
    onsets
        (window,) seconds, of each recording.
    rows
        of each recording, the rows of the store's signal that its tokens' channels are.
    channels
        (motif, channel) how often each occurs on each channel name.
    names
        the channel names.
    conditions
        (motif, condition) how often each occurs in each condition.
    seen
        (channel,) and (condition,) how many tokens there are at all.
    """

    codes: Int[np.ndarray, " motif"]
    places: tuple[Int[np.ndarray, "_ 4"], ...]
    ids: tuple[str, ...]
    onsets: tuple[Float[np.ndarray, " _"], ...]
    rows: tuple[tuple[int, ...], ...]
    channels: Int[np.ndarray, "motif channel"]
    names: tuple[str, ...]
    conditions: Int[np.ndarray, "motif condition"]
    channels_seen: Int[np.ndarray, " channel"]
    conditions_seen: Int[np.ndarray, " condition"]


class _Tally:
    """What is counted while the recordings are looked through."""

    def __init__(self, codes: Int[np.ndarray, " motif"], n_channels: int, n_conditions: int):
        self.codes = codes
        self.places: list[list[np.ndarray]] = [[] for _ in codes]
        self.channels = np.zeros((len(codes), n_channels), int)
        self.conditions = np.zeros((len(codes), n_conditions), int)
        self.channels_seen = np.zeros(n_channels, int)
        self.conditions_seen = np.zeros(n_conditions, int)

    def add(
        self,
        number: int,
        array: Int[np.ndarray, "window row frame"],
        channels: Int[np.ndarray, " row"],
        label: Int[np.ndarray, "window frame"],
    ) -> None:
        """Count the tokens of one recording: where, on which channel and in which condition each is."""
        self.channels_seen[channels] += array.shape[0] * array.shape[2]
        for c in range(len(self.conditions_seen)):
            self.conditions_seen[c] += (label == c).sum() * array.shape[1]
        for i, code in enumerate(self.codes):
            window, row, frame = np.nonzero(array == code)
            np.add.at(self.channels[i], channels[row], 1)
            here = label[window, frame]
            np.add.at(self.conditions[i], here[here >= 0], 1)
            self.places[i].append(np.c_[np.full(len(window), number), window, row, frame])


def find_occurrences(tokens: TokenStore, store: Store, conditions: Conditions) -> Occurrences:
    """Look through the token store once for the most used codes."""
    codes = _most_used(tokens.usage)
    ids = _looked_through(tokens, store)
    arrays = [tokens.codes(id) for id in ids]
    onsets = [tokens.onsets(id) for id in ids]
    rows = [
        channel_rows(tokens, store, id, array.shape[1])
        for id, array in zip(ids, arrays, strict=True)
    ]
    on = [
        [store.sensors(id).names[i] for i in picked] for id, picked in zip(ids, rows, strict=True)
    ]
    names = list(dict.fromkeys(name for some in on for name in some))
    tally = _Tally(codes, len(names), len(conditions.names))
    span, step = float(tokens.attributes["span"]), float(tokens.attributes["step"])
    for number, (id, array) in enumerate(zip(ids, arrays, strict=True)):
        channels = np.array([names.index(name) for name in on[number]])
        middles = onsets[number][:, None] + np.arange(array.shape[2]) * step + span / 2
        label = conditions.at(id, middles.ravel()).reshape(middles.shape)
        tally.add(number, array, channels, label)
    return Occurrences(
        codes=codes,
        places=tuple(np.concatenate(p) for p in tally.places),
        ids=tuple(ids),
        onsets=tuple(onsets),
        rows=tuple(tuple(picked) for picked in rows),
        channels=tally.channels,
        names=tuple(names),
        conditions=tally.conditions,
        channels_seen=tally.channels_seen,
        conditions_seen=tally.conditions_seen,
    )


def _most_used(usage: Int[np.ndarray, " code"]) -> Int[np.ndarray, " motif"]:
    # A stable sort: of equally used codes the lower one comes first.
    codes = np.argsort(-usage, kind="stable")[:MOTIFS]
    return codes[usage[codes] > 0]


def _looked_through(tokens: TokenStore, store: Store) -> list[str]:
    """Return the recordings that both stores have, evenly spread where they are many."""
    known = set(store.table["id"])
    ids = [id for id in tokens.ids if id in known]
    if len(ids) <= MOST_RECORDINGS:
        return ids
    return [ids[i] for i in np.linspace(0, len(ids) - 1, MOST_RECORDINGS).round().astype(int)]


def channel_rows(tokens: TokenStore, store: Store, id: str, n_channels: int) -> list[int]:
    """Return the rows of the store's signal that the tokens' channels are.

    A tokenizer takes the channels of some kinds, in the store's order, or those of a view.
    """
    sensors = store.sensors(id)
    kinds = sensors.kind
    wanted = tokens.attributes.get("kinds")
    if "view" in tokens.attributes:
        view = Chain((OfKinds(tuple(wanted or ())), view_in(tokens.attributes)))
        rows = view.plan(sensors, where=f"The recording {id}").rows
        if rows is None:
            raise ValueError(
                f"the tokens of {id} are of derived channels, which the store does not hold"
            )
        return list(rows)
    if isinstance(wanted, list | tuple):
        return [i for i, k in enumerate(kinds) if k in wanted]
    if len(kinds) == n_channels:
        return list(range(n_channels))
    # Without the kinds, only one of them can be meant where the numbers agree.
    fits = [k for k in dict.fromkeys(kinds) if kinds.count(k) == n_channels]
    if len(fits) != 1:
        raise ValueError(f"{n_channels} tokenized channels fit none of the kinds of {id}")
    return [i for i, k in enumerate(kinds) if k == fits[0]]


def draw(
    places: Int[np.ndarray, "occurrence 4"], rng: np.random.Generator
) -> Int[np.ndarray, "some 4"]:
    """Return some of the places, drawn without replacement and in reading order."""
    if len(places) <= SNIPPETS:
        return places
    return places[np.sort(rng.choice(len(places), SNIPPETS, replace=False))]


def read_snippets(
    store: Store,
    found: Occurrences,
    places: Int[np.ndarray, "occurrence 4"],
    *,
    step: float,
    sfreq: float,
    n_times: int,
) -> Float[np.ndarray, "some time"]:
    """Read the raw signal under each token, each with mean 0 and standard deviation 1.

    Parameters
    ----------
    store
        the recordings.
    found
        what the places point into.
    places
        recording, window, channel and frame of each token.
    step
        seconds between the frames of a window.
    sfreq
        sampling rate in Hz.
    n_times
        samples under a token. Tokens that reach past the end of a recording are left out.
    """
    lengths = dict(zip(store.table["id"], store.table["n_times"], strict=True))
    snippets = []
    for recording, window, channel, frame in places:
        id = found.ids[recording]
        start = round((float(found.onsets[recording][window]) + frame * step) * sfreq)
        if start + n_times <= lengths[id]:
            row = found.rows[recording][channel]
            signal = store.read(id, start, start + n_times)[row].astype(np.float64)
            signal = signal - signal.mean()
            snippets.append(signal / (signal.std() or 1.0))
    return np.array(snippets).reshape(-1, n_times)


def mean_spectrum(
    snippets: Float[np.ndarray, "occurrence time"],
) -> Float[np.ndarray, " frequency"]:
    """Return the mean magnitude spectrum under a Hann window, with sum 1."""
    n = snippets.shape[1]
    if not len(snippets):
        return np.zeros(n // 2 + 1)
    magnitude = np.abs(np.fft.rfft(snippets * np.hanning(n), axis=1)).mean(axis=0)
    return magnitude / (magnitude.sum() or 1.0)


def sensor_positions(store: Store, found: Occurrences) -> Float[np.ndarray, "channel 3"]:
    """Return the position of each channel, from the first recording that has it."""
    places: dict[str, np.ndarray] = {}
    for id in found.ids:
        sensors = store.sensors(id)
        for name, position in zip(sensors.names, sensors.position, strict=True):
            places.setdefault(name, np.asarray(position, dtype=float))
    return np.array([places[n] for n in found.names]).reshape(-1, 3)
