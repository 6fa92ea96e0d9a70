"""What does not change is not computed twice for the same window: tokens, and features.

A window is always computed by itself. In a batch its last bits may depend on the other windows, and which
others are new depends on what was computed before: a run that is resumed would end at other numbers.
What it took is kept with it, so that the cost of a fit does not depend on what was fitted before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from brainfm.contracts import Batch, Component, Tokenizer, Tokens
from brainfm.tokenizers.frozen import Frozen
from brainfm.weights import describe

Row = dict[str, Tensor]
WINDOW = ("signal", "position", "orientation", "kind", "mask")  # what decides a window's tokens


@dataclass(frozen=True)
class Cost:
    """What it took to make something of a window.

    Attributes
    ----------
    key
        of what was made.
    seconds
        without those of what was looked up or made for it.
    inside
        of that.
    """

    key: bytes
    seconds: float
    inside: tuple[Cost, ...]


@dataclass
class Making:
    """What is being made of a window: what was looked up or made for it, and the seconds of that."""

    inside: list[Cost] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Stopwatch:
    """Measures what something would take if it had the cache to itself, see `WindowCache.stopwatch`.

    Attributes
    ----------
    started
        when, in seconds of ``time.perf_counter``.
    spared
        seconds that lookups would have taken.
    counted
        keys of what is in those, or was made since the start.
    """

    started: float
    spared: float = 0.0
    counted: set[bytes] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Seconds since the start, and those that were spared."""
        return time.perf_counter() - self.started + self.spared

    def add(self, cost: Cost) -> None:
        """Count something that was looked up, and what it was made of, unless it is counted."""
        if cost.key not in self.counted:
            self.counted.add(cost.key)
            self.spared += cost.seconds
            for part in cost.inside:
                self.add(part)


class WindowCache:
    """What was made of windows, by the content of the window and of what made it.

    An evaluation fits many estimators on the same windows with the same frozen parts. They share one
    cache, which therefore stays itself where scikit-learn clones an estimator that holds it. What was
    longest not asked for gives way.

    Parameters
    ----------
    max_bytes
        what it may hold.

    Attributes
    ----------
    n_computed
        how often something was made of a window.
    """

    def __init__(self, max_bytes: int = 1_000_000_000):
        self.max_bytes, self.n_bytes, self.n_computed = max_bytes, 0, 0
        self._rows: OrderedDict[bytes, tuple[Row, Cost]] = OrderedDict()
        self._making: list[Making] = []
        self._watch: Stopwatch | None = None

    def __deepcopy__(self, memo: Any) -> WindowCache:
        return self

    def rows(self, batch: Batch, by: bytes, make: Callable[[Batch], Row]) -> list[Row]:
        """Return what is made of each window of a batch.

        Parameters
        ----------
        batch
            the windows.
        by
            `fingerprint` of what makes it.
        make
            is called with a window that is new, a batch of one.
        """
        found = []
        for i in range(len(batch.signal)):
            window = _window(batch, i)
            key = by + _digest(repr(batch.sfreq), *(getattr(window, name) for name in WINDOW))
            if key not in self._rows:
                self._put(key, *self._timed(key, make, window))
            self._rows.move_to_end(key)
            row, cost = self._rows[key]
            if self._watch is not None:
                self._watch.add(cost)
            if self._making:
                self._making[-1].inside.append(cost)
            found.append(row)
        return found

    @contextmanager
    def stopwatch(self) -> Generator[Stopwatch]:
        """Measure time from here on as if nothing had been made before."""
        before, self._watch = self._watch, Stopwatch(time.perf_counter())
        try:
            yield self._watch
        finally:
            self._watch = before

    def _timed(self, key: bytes, make: Callable[[Batch], Row], window: Batch) -> tuple[Row, Cost]:
        """Make something that is new, and say what that took."""
        if self._watch is not None:
            self._watch.counted.add(key)
        self._making.append(Making())
        started = time.perf_counter()
        try:
            made = make(window)
        finally:
            mine = self._making.pop()
        seconds = time.perf_counter() - started
        if self._making:
            self._making[-1].seconds += seconds
        return made, Cost(key, seconds - mine.seconds, tuple(mine.inside))

    def _put(self, key: bytes, made: Row, cost: Cost) -> None:
        # Copies: a view would keep all that it is a view of in memory.
        row = {k: v.clone() for k, v in made.items()}
        self._rows[key] = row, cost
        self.n_bytes += _size(row)
        self.n_computed += 1
        while self.n_bytes > self.max_bytes and len(self._rows) > 1:
            self.n_bytes -= _size(self._rows.popitem(last=False)[1][0])


class Cached(Frozen):
    """Looks up windows that were tokenized before; in a checkpoint it stands as `Frozen`.

    Parameters
    ----------
    tokenizer
        the tokenizer.
    cache
        where tokens are kept.
    card
        as of `Frozen`.
    """

    saved_as = Frozen

    def __init__(
        self, tokenizer: Tokenizer, *, cache: WindowCache, card: dict[str, Any] | None = None
    ):
        super().__init__(tokenizer, card=card)
        self.cache, self.key = cache, fingerprint(tokenizer)

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tokens:
        """Tokenize the windows that are new, and join all in their order."""
        rows = self.cache.rows(batch, self.key, lambda window: _parts(self.tokenizer(window)))
        joined: dict[str, Any] = dict.fromkeys(f.name for f in fields(Tokens))
        return Tokens(**joined | {k: torch.cat([row[k] for row in rows]) for k in rows[0]})


def fingerprint(*components: Component) -> bytes:
    """Return what tells components apart: how they are built, and their weights."""
    tensors = [v for c in components for _, v in sorted(c.state_dict().items())]
    return _digest(json.dumps([describe(c) for c in components], sort_keys=True), *tensors)


def _window(batch: Batch, i: int) -> Batch:
    """Return one window of a batch, as a batch."""
    part = {name: getattr(batch, name)[i : i + 1] for name in WINDOW}
    name, onset = batch.recording[i : i + 1], batch.onset[i : i + 1]
    return Batch(**part, sfreq=batch.sfreq, recording=name, onset=onset)


def _parts(tokens: Tokens) -> Row:
    return {k: v for k, v in vars(tokens).items() if v is not None}


def _digest(*parts: str | Tensor) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            whole.update(part.encode())
        else:
            whole.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            whole.update(part.detach().cpu().contiguous().numpy().tobytes())
    return whole.digest()


def _size(row: Row) -> int:
    return sum(v.nbytes for v in row.values())
