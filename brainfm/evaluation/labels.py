"""Where the labels of a task come from: columns of the store's table, or annotations of its recordings."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from brainfm.errors import UsageError
from brainfm.recordings.recording import Annotations
from brainfm.windows.published import plain

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A stretch of a recording with one label, in seconds from the recording's start.

    A number to predict is written out as Python writes it, which reads back as the same number.
    """

    start: float
    stop: float
    label: str


class Cut(NamedTuple):
    """A window: its first sample, and its label."""

    start: int
    label: str


@dataclass(frozen=True)
class Tiling:
    """How windows are laid: their length and the step from one to the next, in samples, at ``sfreq`` Hz."""

    length: int
    step: int
    sfreq: float

    def starts(self, first: int, last: int) -> range:
        """Return where windows start that lie wholly between two samples."""
        return range(first, last - self.length + 1, self.step)


class Labels(ABC):
    """Where the labels of a task come from."""

    @property
    def wraps(self) -> bool:
        """Whether a window that passes an end of the recording goes on at its other end."""
        return False

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given; none where the labels are numbers."""

    @abstractmethod
    def selects(self, row: pd.Series) -> bool:
        """Say from its row in the store's table whether a recording belongs to the task."""

    @abstractmethod
    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the labelled stretches of a recording that belongs to the task."""

    def cut(self, row: pd.Series, annotations: Annotations, tiling: Tiling) -> list[Cut]:
        """Return the windows of a recording: as many as lie wholly inside each labelled stretch.

        A stretch that passes an end of the recording is left out, and logged, unless its windows wrap.
        """
        cuts, left_out = [], 0
        for span in self.spans(row, annotations):
            first = round(span.start * tiling.sfreq)
            # Not the rounded stop, which may lie a sample nearer than the stretch is long.
            last = first + round((span.stop - span.start) * tiling.sfreq)
            if not self.wraps and (first < 0 or last > row["n_times"]):
                left_out += 1
                continue
            cuts += [Cut(start, span.label) for start in tiling.starts(first, last)]
        if left_out:
            logger.warning("%d trials pass the ends of recording %s", left_out, row["id"])
        return cuts


@dataclass(frozen=True)
class RecordingLabels(Labels):
    """The whole recording has one label, read from a column of the store's table.

    Attributes
    ----------
    column
        such as run, task or session.
    classes
        name of the class by the column's value, such as ``{"1": rest}``; recordings with other
        values are not part of the task. Numbers match with and without leading zeros.
    """

    column: str
    classes: dict[str, str]

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given."""
        return tuple(dict.fromkeys(self.classes.values()))

    def selects(self, row: pd.Series) -> bool:
        """Say whether the recording's value is one of those named."""
        if self.column not in row.index:
            raise UsageError(
                f"The store's table has no column {self.column!r}: choose from {list(row.index)}."
            )
        return plain(row[self.column]) in {plain(value) for value in self.classes}

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the whole recording."""
        named = {plain(value): label for value, label in self.classes.items()}
        return [Span(0.0, row["n_times"] / row["sfreq"], named[plain(row[self.column])])]


@dataclass(frozen=True)
class AnnotationLabels(Labels):
    """Trials around annotations, in the recordings that have them.

    Attributes
    ----------
    classes
        name of the class by the annotation's description, such as ``{T1: left}``; other annotations
        are not part of the task.
    tmin
        start of a trial in seconds after the annotation's onset.
    tmax
        end of a trial in seconds after the annotation's onset.
    runs
        only recordings of these runs, or None for all.
    edges
        what becomes of a trial that passes an end of the recording: ``"leave out"``, or ``"wrap"`` to go
        on at the other end, as the published windows of TUEV do.
    """

    classes: dict[str, str]
    tmin: float
    tmax: float
    runs: tuple[str, ...] | None = None
    edges: Literal["leave out", "wrap"] = "leave out"

    def __post_init__(self) -> None:
        if self.tmin >= self.tmax:
            raise UsageError(
                f"Trials from {self.tmin} s to {self.tmax} s: let tmin be before tmax."
            )

    @property
    def wraps(self) -> bool:
        """Whether a window that passes an end of the recording goes on at its other end."""
        return self.edges == "wrap"

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given."""
        return tuple(dict.fromkeys(self.classes.values()))

    def selects(self, row: pd.Series) -> bool:
        """Say whether the recording is of a run that was asked for."""
        return self.runs is None or plain(row["run"]) in {plain(r) for r in self.runs}

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return one stretch an annotation that has a class."""
        return [
            Span(float(onset) + self.tmin, float(onset) + self.tmax, self.classes[text])
            for onset, text in zip(annotations.onset, annotations.description, strict=True)
            if text in self.classes
        ]


@dataclass(frozen=True)
class JoinedLabels(Labels):
    """Several labels at once, as where one mark means another thing in another run.

    Attributes
    ----------
    labels
        each with the recordings that it selects.
    """

    labels: tuple[Labels, ...]

    def names(self) -> tuple[str, ...]:
        """Return the names of all classes, in the order given."""
        return tuple(dict.fromkeys(name for one in self.labels for name in one.names()))

    def selects(self, row: pd.Series) -> bool:
        """Say whether one of them selects the recording."""
        return any(one.selects(row) for one in self.labels)

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the stretches of those that select the recording."""
        chosen = [one for one in self.labels if one.selects(row)]
        return [span for one in chosen for span in one.spans(row, annotations)]


@dataclass(frozen=True)
class SpanLabels(Labels):
    """Windows inside annotations that have a duration: stages, slowing, a whole abnormal recording.

    Attributes
    ----------
    classes
        name of the class by the annotation's description; the same class may have several. Other
        annotations are not part of the task.
    """

    classes: dict[str, str]

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given."""
        return tuple(dict.fromkeys(self.classes.values()))

    def selects(self, row: pd.Series) -> bool:
        """Take every recording; one without such annotations gives no window."""
        return True

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the annotated stretches, as far as the recording goes."""
        end = row["n_times"] / row["sfreq"]
        return [
            Span(float(onset), min(end, float(onset + duration)), self.classes[text])
            for onset, duration, text in zip(
                annotations.onset, annotations.duration, annotations.description, strict=True
            )
            if text in self.classes and onset < end
        ]


@dataclass(frozen=True)
class HypnogramLabels(SpanLabels):
    """Sleep stages, with as much waking around the night as one wants.

    Attributes
    ----------
    wake
        name of the class that is no sleep.
    margin
        seconds of waking that are kept before the first and after the last sleep; a day with one night
        would else be mostly waking.
    """

    wake: str = "W"
    margin: float = 1800.0

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the stages from a margin before sleep to a margin after it."""
        stages = super().spans(row, annotations)
        asleep = [s for s in stages if s.label != self.wake]
        if not asleep:
            return []
        first = min(s.start for s in asleep) - self.margin
        last = max(s.stop for s in asleep) + self.margin
        within = [Span(max(s.start, first), min(s.stop, last), s.label) for s in stages]
        return [s for s in within if s.start < s.stop]
