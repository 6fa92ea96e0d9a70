"""How labels change places, as they might have stood if they had nothing to do with predictions.

Subjects who have one label each (patients, controls) exchange it with each other. Whoever has several keeps
them: recordings of one label each (rest, arithmetic) exchange it within the subject. Where labels change
within a recording, they are turned: all go on by the same number of windows, and what passes the end comes
in at the start. So the windows of a night or a seizure, which are no independent witnesses, stay beside each
other; of cued trials, whose order is as random one way as another, turning says what shuffling would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from brainfm.evaluation.statistics import Pooled, Truths

Members = Int[np.ndarray, " member"]


@dataclass(frozen=True, eq=False)
class Exchange:
    """Units that keep one label and exchange it: subjects, or the recordings of one.

    Attributes
    ----------
    truth
        (trial,) labels of all trials.
    units
        the trials of each.
    """

    truth: Shaped[np.ndarray, " trial"]
    units: Sequence[Members]

    @property
    def members(self) -> Members:
        """Which trials."""
        return np.concatenate(self.units)

    @property
    def ways(self) -> int:
        """In how many ways their labels can stand."""
        alike = Counter(self._labels.tolist())
        return factorial(len(self.units)) // prod(factorial(n) for n in alike.values())

    def draw(self, rng: np.random.Generator, draws: int) -> Truths:
        """Return labels in so many ways, taken at random: (draw, member)."""
        return self._spread(rng.permuted(np.tile(self._labels, (draws, 1)), axis=1))

    def every(self) -> Truths:
        """Return labels in every way, each once: (way, member)."""
        return self._spread(np.array(list(_orders(self._labels)), self.truth.dtype))

    @property
    def _labels(self) -> np.ndarray:
        return self.truth[[unit[0] for unit in self.units]]

    def _spread(self, labels: np.ndarray) -> np.ndarray:
        """Return each trial's label from each unit's."""
        return np.repeat(labels, [len(unit) for unit in self.units], axis=1)


@dataclass(frozen=True, eq=False)
class Turn:
    """Windows of one recording, in order of time, whose labels go on in a circle.

    Attributes
    ----------
    truth
        (trial,) labels of all trials.
    members
        the recording's trials.
    """

    truth: Shaped[np.ndarray, " trial"]
    members: Members

    @property
    def ways(self) -> int:
        """After how many windows the labels stand as they did."""
        label, n = self.truth[self.members], len(self.members)
        steps = (step for step in range(1, n + 1) if n % step == 0)
        return next(step for step in steps if np.array_equal(label, np.roll(label, step)))

    def draw(self, rng: np.random.Generator, draws: int) -> Truths:
        """Return labels in so many ways, taken at random: (draw, member)."""
        return self._turned(rng.integers(len(self.members), size=draws))

    def every(self) -> Truths:
        """Return labels in every way, each once: (way, member)."""
        return self._turned(np.arange(self.ways))

    def _turned(self, step: np.ndarray) -> np.ndarray:
        n = len(self.members)
        return self.truth[self.members[(np.arange(n) - step[:, None]) % n]]


def permute_labels(pooled: Pooled, draws: int, *, seed: int) -> Truths:
    """Return labels that have changed places at random, one row a draw."""
    rng = np.random.default_rng([seed, 1])
    labels = np.tile(pooled.truth, (draws, 1))
    for part in parts_of(pooled):
        labels[:, part.members] = part.draw(rng, draws)
    return labels


def all_shuffles(pooled: Pooled) -> Truths:
    """Return labels in every way that they can change places, one row a way."""
    parts = [part for part in parts_of(pooled) if part.ways > 1]
    ways = [part.ways for part in parts]
    labels = np.tile(pooled.truth, (prod(ways), 1))
    taken = np.unravel_index(np.arange(len(labels)), ways) if ways else ()
    for part, way in zip(parts, taken, strict=True):
        labels[:, part.members] = part.every()[way]
    return labels


def count_shuffles(pooled: Pooled) -> int:
    """Return in how many ways labels can change places: few subjects allow few."""
    return prod(part.ways for part in parts_of(pooled))


def parts_of(pooled: Pooled) -> list[Exchange | Turn]:
    """Return what changes places independently of each other."""
    truth, same = pooled.truth, []
    parts: list[Exchange | Turn] = []
    for mine in _groups(pooled.subject):
        recordings = [mine[place] for place in _groups(pooled.recording[mine])]
        if _is_one(truth[mine]):
            same.append(mine)
        elif all(_is_one(truth[one]) for one in recordings):
            parts.append(Exchange(truth, recordings))
        else:
            parts += [Turn(truth, one) for one in recordings]
    return [Exchange(truth, same), *parts] if same else parts


def _groups(names: np.ndarray) -> list[np.ndarray]:
    """Return the places of each name, in their order."""
    number = np.unique(names, return_inverse=True)[1]
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _is_one(labels: np.ndarray) -> bool:
    return bool((labels == labels[0]).all())


def _orders(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield every order of labels once, where some are alike: the rarer ones are given their places."""
    kinds, counts = np.unique(labels, return_counts=True)
    rare = np.argsort(counts, kind="stable")
    every = np.full(len(labels), kinds[rare[-1]])
    return _placed(every, np.arange(len(labels)), [(kinds[i], int(counts[i])) for i in rare[:-1]])


def _placed(
    order: np.ndarray, free: np.ndarray, rest: list[tuple[Any, int]]
) -> Iterator[np.ndarray]:
    if not rest:
        yield order
        return
    (label, n), *others = rest
    for places in combinations(free, n):
        chosen = order.copy()
        chosen[list(places)] = label
        yield from _placed(chosen, np.setdiff1d(free, places), others)
