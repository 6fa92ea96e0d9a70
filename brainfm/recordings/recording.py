"""What a file becomes: a signal with its sensors, annotations and origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

KINDS = (
    "eeg",
    "mag",
    "grad_planar",
    "grad_axial",
    "ref_meg",
    "ecog",
    "seeg",
    "eog",
    "ecg",
    "emg",
    "misc",
)
"""What a sensor measures, in the order of `brainfm.contracts.Kind`."""


@dataclass(frozen=True, eq=False)
class Sensors:
    """The sensors of a recording, one entry a channel.

    Attributes
    ----------
    names
        unique channel names, 10-05 names for scalp electrodes.
    kind
        what each sensor measures, one of `KINDS`.
    position
        (channel, 3) metres in the MNE head frame, NaN where unknown.
    orientation
        (channel, 3) unit normal of an MEG coil, NaN for electrodes.
    position_source
        where each position comes from: ``"file"``, ``"template"`` or ``"none"``.
    """

    names: tuple[str, ...]
    kind: tuple[str, ...]
    position: Float[np.ndarray, "channel 3"]
    orientation: Float[np.ndarray, "channel 3"]
    position_source: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, indices: Sequence[int] | np.ndarray) -> Sensors:
        """Return the sensors at ``indices``, in that order."""
        chosen = [int(i) for i in indices]
        return Sensors(
            names=tuple(self.names[i] for i in chosen),
            kind=tuple(self.kind[i] for i in chosen),
            position=self.position[chosen],
            orientation=self.orientation[chosen],
            position_source=tuple(self.position_source[i] for i in chosen),
        )


@dataclass(frozen=True, eq=False)
class Annotations:
    """What is known to have happened, and when.

    Attributes
    ----------
    onset
        (event,) seconds from the first sample.
    duration
        (event,) seconds, 0 for a moment.
    description
        what happened, as the file words it.
    """

    onset: Float[np.ndarray, " event"]
    duration: Float[np.ndarray, " event"]
    description: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.description)


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of one subject, cleaned and in SI units.

    Attributes
    ----------
    signal
        (channel, time) V for electrodes, T for magnetometers and axial gradiometers, T/m for planar
        gradiometers.
    sensors
        what each row of the signal is.
    sfreq
        sampling rate in Hz.
    annotations
        events and spans, as the file has them.
    subject, session, run, task
        who and what, from the path or the recipe, never from the header.
    source
        the path as it was given.
    provenance
        how the signal was made; values that JSON can hold.
    """

    signal: Float32[np.ndarray, "channel time"]
    sensors: Sensors
    sfreq: float
    annotations: Annotations
    subject: str
    session: str | None
    run: str | None
    task: str | None
    source: str
    provenance: dict[str, Any]
