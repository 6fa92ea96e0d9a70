"""Potential differences between electrodes, found among those that were measured.

Every channel measures the difference between its electrode and its reference. That makes a graph whose
nodes are electrodes and whose edges are channels, and the difference between two electrodes is the signed
sum of the channels on a path between them: ``F7-T7`` of two channels that share their reference, or one
channel of a bipolar recording, whichever way round it was named.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainfm.recordings.recording import MODERN, Sensors
from brainfm.windows.plan import Channel

ELECTRODES = ("eeg", "ecog", "seeg")
"""Kinds of channels that are a difference between two electrodes."""

_SHARED = "the reference that channels without a known one share"
_MODERN = {old.casefold(): new.casefold() for old, new in MODERN.items()}


def electrode_key(name: str) -> str:
    """Return what tells electrodes apart: case does not, nor the 10-20 names that 10-10 replaced."""
    key = name.strip().casefold()
    return _MODERN.get(key, key)


def channel_key(name: str) -> tuple[str, ...]:
    """Return what tells channels apart, electrodes and derivations (``Fp1-F7``) alike."""
    return tuple(electrode_key(part) for part in name.split("-"))


@dataclass(frozen=True, eq=False)
class Circuit:
    """Which electrodes the channels of a recording connect.

    Attributes
    ----------
    sensors
        of the recording.
    edges
        usable channel → its electrode and its reference.
    """

    sensors: Sensors
    edges: Mapping[int, tuple[str, str]]

    def derive(self, name: str) -> Channel | None:
        """Return a derivation such as ``Fp1-F7``, or None where no path leads from one to the other."""
        start, end = channel_key(name)
        path = self._path(start, end)
        if path is None:
            return None
        position, source = self._position(path, start, end)
        first = next(iter(path))
        return Channel(
            weights=path,
            position=position,
            position_source=source,
            kind=self.sensors.kind[first],
            reference=name.split("-")[1],
            bad=any(self.sensors.bad[i] for i in path),
        )

    def _path(self, start: str, end: str) -> dict[int, float] | None:
        """Return the channels of the shortest path, each with the sign it is passed with."""
        came: dict[str, tuple[str, int, float] | None] = {start: None}
        queue = deque([start])
        while queue and end not in came:
            node = queue.popleft()
            for channel, sign, other in self._neighbours(node):
                if other not in came:
                    came[other] = (node, channel, sign)
                    queue.append(other)
        if end not in came:
            return None
        found: dict[int, float] = {}
        while (step := came[end]) is not None:
            end, channel, sign = step
            found[channel] = sign
        return found

    def _neighbours(self, node: str) -> list[tuple[int, float, str]]:
        return [
            (channel, 1.0, b) if a == node else (channel, -1.0, a)
            for channel, (a, b) in self.edges.items()
            if node in (a, b)
        ]

    def _position(
        self, path: Mapping[int, float], start: str, end: str
    ) -> tuple[Float[np.ndarray, " xyz"], str]:
        """Return the middle between the electrodes, that of the recording's own derivation first."""
        first = next(iter(path))
        if len(path) == 1 and self.sensors.position_source[first] == "midpoint":
            return self.sensors.position[first], "midpoint"
        places = [self._place(electrode) for electrode in (start, end)]
        middle = np.mean(places, axis=0)
        return middle, "midpoint" if np.isfinite(middle).all() else "none"

    def _place(self, electrode: str) -> Float[np.ndarray, " xyz"]:
        for i, (own, _) in self.edges.items():
            if own == electrode and self.sensors.position_source[i] in ("file", "template"):
                return self.sensors.position[i]
        from brainfm.recordings.sensors.labels import template_positions

        template = template_positions("standard_1005")
        known = {electrode_key(name): place for name, place in template.items()}
        return known.get(electrode, np.full(3, np.nan))


def circuit_of(sensors: Sensors, usable: Mapping[int, bool]) -> Circuit:
    """Return the circuit of a recording's usable electrodes."""
    edges = {
        i: (_electrode(sensors.names[i], sensors.reference[i]), _reference(sensors.reference[i]))
        for i, kind in enumerate(sensors.kind)
        if kind in ELECTRODES and usable[i]
    }
    return Circuit(sensors, edges)


def _electrode(name: str, reference: str | None) -> str:
    """Return the electrode of a channel: Fp1 of the channel Fp1-F7 against F7."""
    suffix = f"-{reference}".casefold()
    return electrode_key(name[: -len(suffix)] if name.casefold().endswith(suffix) else name)


def _reference(reference: str | None) -> str:
    return _SHARED if reference is None else electrode_key(reference)
