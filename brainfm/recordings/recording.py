"""A recording: the files it lies in, and what becomes of them, a stream of signal with its sensors."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
"""10-20 names that the 10-10 system replaced, and what replaced them."""

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

BOUNDARY = "BAD_boundary"
"""What a place is called at which two stretches of a recording were joined."""

JOINS = ("boundary", "New Segment/")
"""What EEGLAB and BrainVision call such a place; at the first sample nothing was joined."""


@dataclass(frozen=True)
class Source:
    """One recording as it lies on disk.

    Attributes
    ----------
    path
        the file that is opened, or the folder that is the recording, as it was given.
    files
        all files whose bytes matter, the one that is opened first; at least one.
    """

    path: str
    files: tuple[str, ...]


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
        where each position comes from: ``"file"``, ``"template"``, ``"midpoint"`` of two electrodes or
        ``"none"``.
    reference
        the electrode that each channel is measured against, such as F7 for the derivation Fp1-F7, or
        ``"average"``; None where it is not known. Given none, it is known of no channel.
    bad
        whether a channel is marked as one not to be trusted. Given none, no channel is.
    """

    names: tuple[str, ...]
    kind: tuple[str, ...]
    position: Float[np.ndarray, "channel 3"]
    orientation: Float[np.ndarray, "channel 3"]
    position_source: tuple[str, ...]
    reference: tuple[str | None, ...] = ()
    bad: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.reference:
            object.__setattr__(self, "reference", (None,) * len(self))
        if not self.bad:
            object.__setattr__(self, "bad", (False,) * len(self))

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def unplaced(cls, n_channels: int) -> Sensors:
        """Return EEG electrodes of which nothing else is known."""
        unknown = np.full((n_channels, 3), np.nan)
        names = tuple(f"channel {i}" for i in range(n_channels))
        return cls(names, ("eeg",) * n_channels, unknown, unknown, ("none",) * n_channels)

    def pick(self, indices: Sequence[int] | np.ndarray) -> Sensors:
        """Return the sensors at ``indices``, in that order."""
        chosen = [int(i) for i in indices]
        return Sensors(
            names=tuple(self.names[i] for i in chosen),
            kind=tuple(self.kind[i] for i in chosen),
            position=self.position[chosen],
            orientation=self.orientation[chosen],
            position_source=tuple(self.position_source[i] for i in chosen),
            reference=tuple(self.reference[i] for i in chosen),
            bad=tuple(self.bad[i] for i in chosen),
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
    channels
        names of the channels or derivations that each annotation is about; empty where it is about
        the whole recording. Given none, all of them are.
    """

    onset: Float[np.ndarray, " event"]
    duration: Float[np.ndarray, " event"]
    description: tuple[str, ...]
    channels: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.channels:
            object.__setattr__(self, "channels", ((),) * len(self))

    def __len__(self) -> int:
        return len(self.description)


@dataclass(frozen=True, eq=False)
class Findings:
    """What is known of a recording only once its last sample was read.

    Attributes
    ----------
    annotations
        spans found in the signal, such as ``BAD_flat``, to be joined to the recording's own.
    bads
        names of the channels that cannot be trusted; they stay in the signal.
    amplitude
        kind of sensor to the robust amplitude of its channels in SI units.
    provenance
        to be joined to the recording's own; values that JSON can hold.
    """

    annotations: Annotations = field(default_factory=lambda: join_annotations())
    bads: tuple[str, ...] = ()
    amplitude: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


Stream = Generator[Float32[np.ndarray, "channel time"], None, Findings]
"""Blocks of signal from the first sample to the last; what is returned at its end are `Findings`."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of one subject: its header, and a way to read it once, cleaned, in SI units.

    Attributes
    ----------
    n_times
        samples of all blocks together.
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
    blocks
        reads the recording from its first sample to its last in bounded memory. The blocks are
        (channel, time), of any length, in V for electrodes, T for magnetometers and axial
        gradiometers, T/m for planar gradiometers. A file that turns out bad on the way raises
        `brainfm.recordings.quarantine.Refused` there.
    """

    n_times: int
    sensors: Sensors
    sfreq: float
    annotations: Annotations
    subject: str
    session: str | None
    run: str | None
    task: str | None
    source: str
    provenance: dict[str, Any]
    blocks: Callable[[], Stream]

    def load(self) -> Float32[np.ndarray, "channel time"]:
        """Return all of the signal; for recordings that memory holds."""
        parts = [np.empty((len(self.sensors), 0), np.float32)]
        consume(self.blocks(), parts.append)
        return np.concatenate(parts, axis=1)


def consume(stream: Stream, take: Callable[[Float32[np.ndarray, "channel time"]], Any]) -> Findings:
    """Hand every block to ``take`` and return what was found by the end."""
    while True:
        try:
            block = next(stream)
        except StopIteration as end:
            return end.value
        take(block)


def hold(signal: Float32[np.ndarray, "channel time"]) -> Callable[[], Stream]:
    """Return the `Recording.blocks` of a signal that is in memory: one block, nothing found."""

    def blocks() -> Stream:
        yield signal
        return Findings()

    return blocks


def join_annotations(*parts: Annotations) -> Annotations:
    """Return the annotations of all parts in order of time."""
    rows = sorted(
        row
        for part in parts
        for row in zip(
            part.onset.tolist(),
            part.duration.tolist(),
            part.description,
            part.channels,
            strict=True,
        )
    )
    onset, duration, description, channels = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Annotations(
        np.array(onset, float), np.array(duration, float), tuple(description), tuple(channels)
    )
