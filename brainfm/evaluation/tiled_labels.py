"""Labels of windows that are laid over whole recordings, whatever happens in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from brainfm.errors import UsageError
from brainfm.evaluation.labels import Cut, Labels, Span, SpanLabels, Tiling
from brainfm.recordings.recording import Annotations


@dataclass(frozen=True)
class OverlapLabels(Labels):
    """Windows laid over the whole recording; an event makes those that it covers.

    Attributes
    ----------
    background
        name of the class of windows without an event.
    events
        name of the class by the annotation's description. Annotations of one class on several channels
        count once.
    share
        of a window that an event must cover for the window to be of its class; 0 for any overlap. Of
        several classes the one that covers most counts.
    """

    background: str
    events: dict[str, str]
    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"Events that cover a share of {self.share}: give one from 0 to 1.")

    def names(self) -> tuple[str, ...]:
        """Return the background, then the events in the order given."""
        return tuple(dict.fromkeys([self.background, *self.events.values()]))

    def selects(self, row: pd.Series) -> bool:
        """Take every recording: one without an event is background."""
        return True

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the events, as far as the recording goes."""
        return SpanLabels(self.events).spans(row, annotations)

    def cut(self, row: pd.Series, annotations: Annotations, tiling: Tiling) -> list[Cut]:
        """Return windows side by side, each with what covers most of it."""
        starts = np.array(tiling.starts(0, int(row["n_times"])), dtype=np.int64)
        begin, end = starts / tiling.sfreq, (starts + tiling.length) / tiling.sfreq
        events, names = self.spans(row, annotations), self.names()
        covered = np.zeros((len(names), len(starts)))
        for i, name in enumerate(names[1:], 1):
            covered[i] = covered_by([s for s in events if s.label == name], begin, end)
        wanted = max(self.share * tiling.length / tiling.sfreq, 1e-9) - 1e-12
        best = np.where(covered.max(axis=0) >= wanted, covered.argmax(axis=0), 0)
        return [Cut(int(s), names[k]) for s, k in zip(starts, best, strict=True)]


@dataclass(frozen=True)
class BiotSeizureLabels(Labels):
    """The published windows of CHB-MIT, whose rule BIOT, LaBraM, CBraMod, EEGDM and TFM share.

    A window is a seizure's where one begins or ends inside it, so one wholly inside a long seizure is
    background. Every seizure has further windows every ``seconds`` from 1 s before it to 1 s after, all of
    them seizure. Those that pass the end are left out here; the published files have them shorter.

    Yang et al., BIOT, NeurIPS 2023 (arXiv:2305.10351).

    Attributes
    ----------
    event
        description of a seizure's annotation.
    seconds
        from one further window to the next.
    """

    event: str = "seizure"
    seconds: float = 5.0

    def names(self) -> tuple[str, ...]:
        """Return background and seizure."""
        return ("background", "seizure")

    def selects(self, row: pd.Series) -> bool:
        """Take every recording."""
        return True

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the seizures."""
        return SpanLabels({self.event: "seizure"}).spans(row, annotations)

    def cut(self, row: pd.Series, annotations: Annotations, tiling: Tiling) -> list[Cut]:
        """Return the windows side by side, and then those of each seizure."""
        rate, n_times = tiling.sfreq, int(row["n_times"])
        seizures = [
            (round(s.start * rate), round(s.stop * rate)) for s in self.spans(row, annotations)
        ]
        ends = [end for seizure in seizures for end in seizure]
        cuts = [
            Cut(s, self.names()[any(s < end < s + tiling.length for end in ends)])
            for s in tiling.starts(0, n_times)
        ]
        for first, last in seizures:
            begin, end = max(0, first - round(rate)), min(last + round(rate), n_times)
            further = range(begin, end, round(self.seconds * rate))
            cuts += [Cut(s, "seizure") for s in further if s + tiling.length <= n_times]
        return cuts


def covered_by(
    spans: list[Span], begin: Float[np.ndarray, " window"], end: Float[np.ndarray, " window"]
) -> Float[np.ndarray, " window"]:
    """Return how many seconds of each window some span covers; what two cover counts once."""
    covered = np.zeros(len(begin))
    reach = -np.inf
    for span in sorted(spans, key=lambda s: s.start):
        start = max(span.start, reach)
        if span.stop > start:
            covered += np.clip(np.minimum(end, span.stop) - np.maximum(begin, start), 0, None)
            reach = span.stop
    return covered
