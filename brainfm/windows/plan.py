"""How the channels of a view are made of a recording's: one matrix, and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32

from brainfm.recordings.recording import Sensors


def _nowhere() -> Float[np.ndarray, " xyz"]:
    return np.full(3, np.nan)


@dataclass(frozen=True, eq=False)
class Plan:
    """How the channels of a view are made of a recording's: out = matrix @ signal.

    Attributes
    ----------
    matrix
        (out, in) the weight of each recorded channel in each channel of the view.
    sensors
        the channels of the view.
    present
        (out,) False for a channel that the recording cannot give: its row is zero, its place NaN.
    coverage
        share of the wanted channels that were measured, 0 to 1.
    lost
        names of the wanted channels that were not.
    """

    matrix: Float32[np.ndarray, "out in"]
    sensors: Sensors
    present: Bool[np.ndarray, " out"]
    coverage: float
    lost: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> tuple[int, ...] | None:
        """The recorded channel that each channel is, or None where one is more than a choice."""
        n_weights = (self.matrix != 0).sum(axis=1)
        if not ((n_weights == 1) & ((self.matrix == 1).sum(axis=1) == 1)).all():
            return None
        return tuple(int(i) for i in self.matrix.argmax(axis=1))

    def apply(
        self, signal: Float32[np.ndarray, "*window in time"]
    ) -> Float32[np.ndarray, "*window out time"]:
        """Return the view of a recording's signal, in the same unit."""
        if self.rows is not None:
            return signal[..., self.rows, :]
        return self.matrix @ signal


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel of a view.

    Attributes
    ----------
    weights
        recorded channel → its weight.
    position
        metres, NaN where unknown.
    position_source, kind, reference, orientation, bad
        as in `brainfm.recordings.Sensors`.
    """

    weights: Mapping[int, float]
    position: Float[np.ndarray, " xyz"]
    position_source: str
    kind: str = "eeg"
    reference: str | None = None
    orientation: Float[np.ndarray, " xyz"] = field(default_factory=_nowhere)
    bad: bool = False


def keep(sensors: Sensors, i: int) -> Channel:
    """Return a recorded channel as it is."""
    return Channel(
        {i: 1.0},
        sensors.position[i],
        sensors.position_source[i],
        sensors.kind[i],
        sensors.reference[i],
        sensors.orientation[i],
        sensors.bad[i],
    )


def join(
    names: Sequence[str],
    made: Sequence[Channel | None],
    sensors: Sensors,
    *,
    lost: Sequence[str] = (),
) -> Plan:
    """Make a plan of a view's channels; None is one that the recording cannot give.

    Parameters
    ----------
    names
        of the channels.
    made
        the channels, in that order.
    sensors
        of the recording.
    lost
        names of the channels that were not measured.
    """
    matrix = np.zeros((len(names), len(sensors)), np.float32)
    for row, channel in zip(matrix, made, strict=True):
        for i, weight in (channel.weights if channel else {}).items():
            row[i] = weight
    absent = Channel({}, _nowhere(), "none")
    every = [channel or absent for channel in made]
    view = Sensors(
        names=tuple(names),
        kind=tuple(c.kind for c in every),
        position=np.stack([c.position for c in every]),
        orientation=np.stack([c.orientation for c in every]),
        position_source=tuple(c.position_source for c in every),
        reference=tuple(c.reference for c in every),
        bad=tuple(c.bad for c in every),
    )
    present = np.array([c is not None for c in made])
    return Plan(matrix, view, present, 1 - len(lost) / len(names), tuple(lost))
