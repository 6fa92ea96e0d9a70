"""Labels that stand in a file beside a recording, or in its path.

A recipe names the reader (``labels: TuhCsv``). A label file that is not there, or that cannot be meant as it
stands, sets the recording aside: a recording that looks unlabelled is worse than one that is missing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.sensors.labels import normalise_name


@dataclass(frozen=True)
class Event:
    """A stretch of a recording, and what it is.

    Attributes
    ----------
    onset, duration
        seconds from the recording's start; 0 for a moment.
    description
        the label as the file words it; `brainfm.recordings.events.labels.read_labels` scrubs it.
    channels
        the channels or derivations that it is about, likewise; none where it is about all.
    """

    onset: float
    duration: float
    description: str
    channels: tuple[str, ...] = ()


class SideFile(ABC):
    """Reads the labels of a recording from a file beside it."""

    @abstractmethod
    def find(self, recording: Path) -> tuple[Path, ...]:
        """Return the files that are there of those that tell the labels of a recording."""

    @abstractmethod
    def wanted(self, recording: Path) -> str:
        """Return the name of the file that is to be there."""

    @abstractmethod
    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return the labels of a recording.

        Raises
        ------
        Refused
            If the files do not say them.
        """


@dataclass(frozen=True)
class SameStem(SideFile):
    """A file that has the recording's name with another ending.

    Attributes
    ----------
    suffixes
        the endings, the first that is there being read.
    """

    suffixes: tuple[str, ...]

    def find(self, recording: Path) -> tuple[Path, ...]:
        """Return the first that is there."""
        there = [p for s in self.suffixes if (p := recording.with_suffix(s)).is_file()]
        return tuple(there[:1])

    def wanted(self, recording: Path) -> str:
        """Return the names it may have."""
        return " or ".join(recording.stem + suffix for suffix in self.suffixes)


def number(text: str, file: Path, line: int | None = None) -> float:
    """Return the number that a label file has where a time is wanted, at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise meaningless(file, "something else where a time in seconds is wanted", line)
    return value


def span(start: float, stop: float, description: str, channel: str, file: Path) -> Event:
    """Return the label from ``start`` to ``stop`` seconds; refuse one that ends before it begins."""
    if stop < start:
        raise meaningless(file, f"a label from {start:g} to {stop:g} s")
    return Event(start, stop - start, description, (derivation(channel),) if channel else ())


def meaningless(file: Path, met: str, line: int | None = None) -> Refused:
    """Return the refusal of a label file; what it says, which may name people, is not to be quoted."""
    where = "" if line is None else f"in line {line} "
    return Refused(
        Reason.bad_labels,
        f"Its label file {file.name} has {where}{met}; get the original, or mend it.",
    )


def derivation(name: str) -> str:
    """Return the name of a channel or derivation in our vocabulary: Fp1-F7 of FP1-F7."""
    # Part by part: as a channel's label T4-A2 would be T8, measured against an ear.
    return "-".join(normalise_name(part) or part.strip() for part in name.split("-"))
