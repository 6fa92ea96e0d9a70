"""Other channels of the same recording, made when windows are read: the store keeps what was measured.

What a recording cannot give is refused, or, where the view allows it (``min_coverage``), marked absent:
zeros, no position, mask False. Nothing is made up in silence. The view that interpolates stands in
`brainfm.windows.interpolation`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from brainfm.errors import UsageError
from brainfm.recordings.recording import KINDS, Sensors
from brainfm.windows.derivations import channel_key, circuit_of
from brainfm.windows.plan import Channel, Plan, join, keep

Bads = Literal["keep", "absent"]

_LATERAL = (
    *("Fp1-F7", "F7-T7", "T7-P7", "P7-O1"),
    *("Fp2-F8", "F8-T8", "T8-P8", "P8-O2"),
)
_TRANSVERSE = ("T7-C3", "C3-Cz", "Cz-C4", "C4-T8")
_PARASAGITTAL = (
    *("Fp1-F3", "F3-C3", "C3-P3", "P3-O1"),
    *("Fp2-F4", "F4-C4", "C4-P4", "P4-O2"),
)
TCP = {
    22: (*_LATERAL, *_TRANSVERSE, *_PARASAGITTAL, "A1-T7", "T8-A2"),
    20: (*_LATERAL, *_TRANSVERSE, *_PARASAGITTAL),
    16: (*_LATERAL, *_PARASAGITTAL),
}
"""Derivations of the Temple montage by their number, in FEMBA's order (22, 20) and BIOT's (16)."""


class View(ABC):
    """Makes the channels that windows are to have of those that a recording has."""

    @abstractmethod
    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return how to make this view of a recording.

        Parameters
        ----------
        sensors
            of the recording.
        where
            what to call the recording when it is refused.

        Raises
        ------
        UsageError
            If the recording cannot give the view; says what is missing.
        """


@dataclass(frozen=True)
class Native(View):
    """The channels as they were recorded."""

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return the identity."""
        n = len(sensors)
        return Plan(np.eye(n, dtype=np.float32), sensors, np.ones(n, bool), 1.0)


@dataclass(frozen=True)
class OfKinds(View):
    """The channels that measure certain things, in the recording's order.

    Attributes
    ----------
    kinds
        names of `brainfm.contracts.Kind`.
    """

    kinds: tuple[str, ...]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise UsageError(f"There are no sensor kinds {unknown}; known: {', '.join(KINDS)}.")

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return rows of a single one each, at least one."""
        rows = [i for i, kind in enumerate(sensors.kind) if kind in self.kinds]
        if not rows:
            raise UsageError(
                f"{where} has no sensors of the kinds {list(self.kinds)} (it has "
                f"{sorted(set(sensors.kind))}); leave it out, or name other kinds."
            )
        matrix = np.eye(len(sensors), dtype=np.float32)[rows]
        return Plan(matrix, sensors.pick(rows), np.ones(len(rows), bool), 1.0)


@dataclass(frozen=True)
class Select(View):
    """Channels by name, in a given order.

    Attributes
    ----------
    ch_names
        the channels; case does not matter, and T3, T4, T5, T6 are T7, T8, P7, P8.
    min_coverage
        share of the channels that a recording must have, above 0; those it lacks are then masked.
    bads
        whether channels marked bad are used as they are or count as absent.
    """

    ch_names: tuple[str, ...]
    min_coverage: float = 1.0
    bads: Bads = "keep"

    def __post_init__(self) -> None:
        check_wanted(self, self.ch_names, self.min_coverage)

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return rows of a single one each."""
        usable = _usable(sensors, self.bads)
        found = {channel_key(name): i for i, name in enumerate(sensors.names) if usable[i]}
        picks = [found.get(channel_key(name)) for name in self.ch_names]
        made = [None if i is None else keep(sensors, i) for i in picks]
        return cover(self, self.ch_names, made, sensors=sensors, where=where)


@dataclass(frozen=True)
class Bipolar(View):
    """Differences between electrodes, of referential and of bipolar recordings alike.

    Channels whose reference is not known are taken to share one, as an amplifier's channels do. A
    derivation is made of the fewest channels that give it, see `brainfm.windows.derivations`.

    Attributes
    ----------
    pairs
        the derivations, such as ``Fp1-F7``: the first electrode less the second.
    min_coverage
        share of the derivations that a recording must give, above 0; the others are then masked.
    bads
        whether channels marked bad are used as they are or count as absent.
    """

    pairs: tuple[str, ...]
    min_coverage: float = 1.0
    bads: Bads = "keep"

    def __post_init__(self) -> None:
        check_wanted(self, self.pairs, self.min_coverage)
        for pair in self.pairs:
            electrodes = channel_key(pair)
            if len(set(electrodes)) != 2 or len(electrodes) != 2 or not all(electrodes):
                raise UsageError(
                    f"{pair!r} is no difference between two electrodes; write it as Fp1-F7."
                )

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return rows of ones and minus ones."""
        return _derive(self, self.pairs, sensors=sensors, where=where)


@dataclass(frozen=True)
class Tcp(View):
    """The bipolar montage of Temple University Hospital (TCP), which FEMBA, BIOT and TFM read.

    Attributes
    ----------
    n_channels
        22 as in FEMBA's pretraining; 20 for recordings without ear electrodes (the 22 less A1-T7 and
        T8-A2); 16 as in BIOT and TFM (the 20 less the transverse chain).
    min_coverage
        share of the derivations that a recording must give, above 0; the others are then masked.
    bads
        whether channels marked bad are used as they are or count as absent.
    """

    n_channels: Literal[22, 20, 16] = 22
    min_coverage: float = 1.0
    bads: Bads = "keep"

    def __post_init__(self) -> None:
        check_wanted(self, TCP[self.n_channels], self.min_coverage)

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return the plan of the montage's derivations."""
        return _derive(self, TCP[self.n_channels], sensors=sensors, where=where)


@dataclass(frozen=True)
class Rename(View):
    """The same channels under other names.

    Attributes
    ----------
    names
        name in the store to the name wanted.
    """

    names: dict[str, str]

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return the identity, with other names."""
        if absent := sorted(set(self.names) - set(sensors.names)):
            raise UsageError(
                f"{where} has no channel {', '.join(absent)} to rename (it has "
                f"{', '.join(sensors.names)}); correct the view's names."
            )
        names = tuple(self.names.get(n, n) for n in sensors.names)
        if twice := sorted(n for n, count in Counter(names).items() if count > 1):
            raise UsageError(f"{where} would have {', '.join(twice)} twice; rename otherwise.")
        return Native().plan(replace(sensors, names=names))


@dataclass(frozen=True)
class Chain(View):
    """Views one after another, each of what the one before it gives.

    Attributes
    ----------
    views
        in their order. What one of them cannot give does not exist for the next.
    """

    views: tuple[View, ...]

    def plan(self, sensors: Sensors, *, where: str = "The recording") -> Plan:
        """Return the product of the views' matrices, with the least of their coverages."""
        plan = Native().plan(sensors)
        for view in self.views:
            there = np.flatnonzero(plan.present)
            last = view.plan(plan.sensors.pick(there), where=where)
            plan = replace(
                last,
                matrix=last.matrix @ plan.matrix[there],
                coverage=min(plan.coverage, last.coverage),
                lost=(*plan.lost, *last.lost),
            )
        return plan


def check_wanted(view: View, names: Sequence[str], min_coverage: float) -> None:
    """Refuse a view that wants nothing, a channel twice, or a coverage that is no share."""
    kind = type(view).__name__
    if not 0 < min_coverage <= 1:
        raise UsageError(
            f"The min_coverage of the view {kind} is {min_coverage:g}; a share above 0, at most 1, is wanted."
        )
    same = Counter(channel_key(name) for name in names)
    if not names or max(same.values()) > 1:
        raise UsageError(f"The view {kind} wants {list(names)}; give channels, each once.")


def _derive(view: Bipolar | Tcp, pairs: Sequence[str], *, sensors: Sensors, where: str) -> Plan:
    circuit = circuit_of(sensors, _usable(sensors, view.bads))
    made = [circuit.derive(pair) for pair in pairs]
    return cover(view, pairs, made, sensors=sensors, where=where)


def _usable(sensors: Sensors, bads: Bads) -> dict[int, bool]:
    return {i: bads == "keep" or not bad for i, bad in enumerate(sensors.bad)}


def cover(
    view: Any,
    names: Sequence[str],
    made: Sequence[Channel | None],
    *,
    sensors: Sensors,
    where: str,
    lost: Sequence[str] | None = None,
) -> Plan:
    """Return the plan of a view's channels, or refuse a recording that gives too few of them.

    Parameters
    ----------
    view
        has the ``min_coverage``.
    names
        of the channels wanted.
    made
        the channels, in that order; None is one that the recording cannot give.
    sensors
        of the recording.
    where
        what to call the recording.
    lost
        names of the channels that were not measured; those of None where not given.
    """
    if lost is None:
        lost = [name for name, channel in zip(names, made, strict=True) if channel is None]
    plan = join(names, made, sensors, lost=lost)
    if plan.coverage < view.min_coverage or not plan.coverage:
        raise UsageError(
            f"{where} gives {plan.coverage:.1%} of the view {type(view).__name__} and lacks "
            f"{', '.join(lost)} (it has {', '.join(sensors.names)}); leave it out, or lower the view's "
            f"min_coverage from {view.min_coverage:g}."
        )
    return plan
