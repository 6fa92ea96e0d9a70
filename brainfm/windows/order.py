"""Random orders that are computed, not kept: which comes at a place, and whose turn it is.

A `Shuffle` is a Feistel network over a rectangle that is hardly larger than what is shuffled, walked until
it comes out inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). A million
windows or a billion need the same few numbers, and a training goes on at a place by knowing the place.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

ROUNDS = 6


@dataclass(frozen=True)
class Shuffle:
    """A random order of 0 … n - 1.

    Attributes
    ----------
    n
        how many there are, at least 1.
    key
        whole numbers from 0 on; another key is another order.
    """

    n: int
    key: tuple[int, ...]

    @cached_property
    def _keys(self) -> UInt64[np.ndarray, " round"]:
        return np.random.SeedSequence(self.key).generate_state(ROUNDS, np.uint64)

    def at(self, place: Int64[np.ndarray, " place"]) -> Int64[np.ndarray, " place"]:
        """Return what stands at places of the order, each from 0 to n - 1."""
        found = self._permute(place)
        while (outside := found >= self.n).any():
            found[outside] = self._permute(found[outside])
        return found

    def _permute(self, value: Int64[np.ndarray, " value"]) -> Int64[np.ndarray, " value"]:
        """Permute the numbers of a rectangle that holds n."""
        width = math.isqrt(self.n - 1) + 1
        height = -(-self.n // width)
        left, right = np.divmod(value, height)
        for i, key in enumerate(self._keys):
            if i % 2:
                right = (right + scatter(left, key, height)) % height
            else:
                left = (left + scatter(right, key, width)) % width
        return left * height + right


def scatter(
    value: Int64[np.ndarray, " value"], key: np.uint64, below: int | Int64[np.ndarray, " value"]
) -> Int64[np.ndarray, " value"]:
    """Return a number from 0 to ``below - 1`` for each value, which looks random.

    The value is mixed as by the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    mixed = (value.astype(np.uint64) + key) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    # The upper bits, which are the best mixed, fit into a signed number.
    mixed >>= np.uint64(31)
    return mixed.view(np.int64) % below


class Turn(NamedTuple):
    """Whose turn it is.

    Attributes
    ----------
    member
        its number.
    earlier
        how many turns it has had before.
    """

    member: int
    earlier: int


@dataclass(frozen=True)
class Turns:
    """Gives every member its share of the turns, at any time up to a turn for each member.

    The first takes its turns as evenly as a line crosses squared paper (Bresenham), the second takes
    likewise of those that are left, and so on; so both whose turn it is and how many each has had follow
    from the number of the turn alone.

    Attributes
    ----------
    sizes
        of the members' shares, above 0.
    seed
        of where the lines begin.
    """

    sizes: tuple[int, ...]
    seed: int

    @cached_property
    def _lines(self) -> list[tuple[int, int, int]]:
        left = [sum(self.sizes[i:]) for i in range(len(self.sizes))]
        begin = np.random.default_rng([self.seed, 3]).random(len(left))
        return [
            (size, total, int(total * part))
            for size, total, part in zip(self.sizes, left, begin, strict=True)
        ]

    def at(self, turn: int) -> Turn:
        """Return whose a turn is."""
        for member, (size, total, begin) in enumerate(self._lines):
            earlier = (turn * size + begin) // total
            if ((turn + 1) * size + begin) // total > earlier:
                return Turn(member, earlier)
            turn -= earlier
        raise AssertionError("the last member takes every turn that is left")

    def counts(self, turns: int) -> Sequence[int]:
        """Return how many of the first turns each member has."""
        found = []
        for size, total, begin in self._lines:
            found.append((turns * size + begin) // total)
            turns -= found[-1]
        return found


def digest(*parts: object) -> str:
    """Return the same few characters for the same values, and others for others."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
