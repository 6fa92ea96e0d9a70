"""Labels that stand in a file beside a recording, or in its path.

A recipe names the reader (``labels: TuhCsv``). A label file that is not there, or that cannot be meant as it
stands, sets the recording aside: a recording that looks unlabelled is worse than one that is missing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.recordings.component import build
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations
from brainfm.recordings.sensors.labels import normalise_name
from brainfm.recordings.sources import Source


@dataclass(frozen=True)
class Event:
    """A stretch of a recording, and what it is.

    Attributes
    ----------
    onset, duration
        seconds from the recording's start; 0 for a moment.
    description
        the label as the file words it.
    channels
        the channels or derivations that it is about; none where it is about all.
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


def attach_side_files(sources: Sequence[Source], recipe: Recipe) -> list[Source]:
    """Return the recordings with their label files among the files whose bytes matter.

    A label file that is itself a recording to MNE (a hypnogram in EDF+) is no source of its own.
    """
    reader = side_file(recipe)
    if reader is None:
        return list(sources)
    found = [reader.find(Path(source.path)) for source in sources]
    taken = {str(file) for files in found for file in files}
    return [
        replace(source, files=(*source.files, *map(str, files)))
        for source, files in zip(sources, found, strict=True)
        if source.path not in taken
    ]


def side_file(recipe: Recipe) -> SideFile | None:
    """Return the recipe's reader of label files, or None where it names none."""
    if recipe.labels is None:
        return None
    from brainfm.recordings.events import clinical, tuh

    kinds = (*vars(tuh).values(), *vars(clinical).values())
    known = {
        k.__name__: k
        for k in kinds
        if isinstance(k, type) and issubclass(k, SideFile) and k not in (SideFile, SameStem)
    }
    return build(recipe.labels, SideFile, known)


def read_labels(
    path: str, recipe: Recipe, *, seconds: float, label: str | None
) -> tuple[Annotations, dict[str, Any]]:
    """Return the labels of a recording, and what there is to say of where they came from.

    Parameters
    ----------
    path
        of the recording.
    recipe
        names the reader of the file beside it.
    seconds
        length of the recording.
    label
        of the whole recording, from its path.

    Raises
    ------
    Refused
        If the file is not there or does not say the recording's labels.
    """
    labels = [] if label is None else [Event(0.0, seconds, label)]
    reader = side_file(recipe)
    if reader is None:
        return _annotations(labels), {}
    recording = Path(path)
    files = reader.find(recording)
    if not files:
        raise Refused(
            Reason.no_labels,
            f"Its labels are missing: {type(reader).__name__} wants {reader.wanted(recording)} beside it; "
            "get the file, or take `labels` out of the recipe.",
        )
    read = reader.read(recording, files)
    within = [_clip(one, seconds) for one in read if one.onset < seconds]
    facts = {
        "reader": type(reader).__name__,
        "files": [file.name for file in files],
        "n_labels": len(within),
        "n_clipped": sum(one not in read for one in within),
        "n_after_the_end": len(read) - len(within),
    }
    return _annotations(labels + within), {"labels": facts}


def number(text: str, file: Path) -> float:
    """Return the number that a label file has where a time is wanted, at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise meaningless(file, f"{text.strip()!r} where a time in seconds is wanted")
    return value


def span(start: float, stop: float, description: str, channel: str, file: Path) -> Event:
    """Return the label from ``start`` to ``stop`` seconds; refuse one that ends before it begins."""
    if stop < start:
        raise meaningless(file, f"a label {description!r} from {start:g} to {stop:g} s")
    return Event(start, stop - start, description, (derivation(channel),) if channel else ())


def meaningless(file: Path, met: str) -> Refused:
    """Return the refusal of a label file."""
    return Refused(
        Reason.bad_labels, f"Its label file {file.name} has {met}; get the original, or mend it."
    )


def derivation(name: str) -> str:
    """Return the name of a channel or derivation in our vocabulary: Fp1-F7 of FP1-F7."""
    # Part by part: as a channel's label T4-A2 would be T8, measured against an ear.
    return "-".join(normalise_name(part) or part.strip() for part in name.split("-"))


def _clip(label: Event, seconds: float) -> Event:
    return replace(label, duration=min(label.duration, seconds - label.onset))


def _annotations(labels: Iterable[Event]) -> Annotations:
    labels = sorted(
        labels, key=lambda one: (one.onset, one.duration, one.description, one.channels)
    )
    return Annotations(
        np.array([one.onset for one in labels], float),
        np.array([one.duration for one in labels], float),
        tuple(one.description for one in labels),
        tuple(one.channels for one in labels),
    )
