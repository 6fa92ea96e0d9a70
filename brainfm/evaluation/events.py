"""Events, such as seizures, found or missed, by SzCORE's rules: sensitivity and false alarms a day.

Dan et al., "SzCORE: Seizure Community Open-Source Research Evaluation framework", Epilepsia 2024,
doi:10.1111/epi.18113. Any overlap counts; what lies near together is one event, and what lasts long is
several. Window by window measures say little to a clinic: an alarm is one alarm however long it sounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from brainfm.errors import UsageError

Events = Float64[np.ndarray, "_ 2"]
DAY = 86_400.0
# Times are sums of floating-point numbers: two that touch must not overlap by rounding.
TOUCH = 1e-9


@dataclass(frozen=True)
class EventRules:
    """When an alarm belongs to an event; the defaults are SzCORE's.

    Attributes
    ----------
    before, after
        seconds around an event in which an alarm still counts for it.
    gap
        events with less than so many seconds between them are one.
    longest
        longer events are cut into pieces of so many seconds.
    """

    before: float = 30.0
    after: float = 60.0
    gap: float = 90.0
    longest: float = 300.0


@dataclass(frozen=True)
class EventScores:
    """What alarms found and what they were mistaken in; sums over recordings are scores too.

    Attributes
    ----------
    n_events, n_found
        events there were, and those with an alarm.
    n_false
        alarms without an event.
    seconds
        length of the recordings.
    """

    n_events: int
    n_found: int
    n_false: int
    seconds: float

    def __add__(self, other: EventScores) -> EventScores:
        return EventScores(
            self.n_events + other.n_events,
            self.n_found + other.n_found,
            self.n_false + other.n_false,
            self.seconds + other.seconds,
        )

    @property
    def sensitivity(self) -> float:
        """Share of the events found; NaN without events."""
        return self.n_found / self.n_events if self.n_events else float("nan")

    @property
    def precision(self) -> float:
        """Events found for every alarm, right or false; NaN without any."""
        alarms = self.n_found + self.n_false
        return self.n_found / alarms if alarms else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN without events and alarms."""
        counted = self.n_events + self.n_found + self.n_false
        return 2 * self.n_found / counted if counted else float("nan")

    @property
    def false_alarms_a_day(self) -> float:
        """False alarms in 24 h."""
        return self.n_false / (self.seconds / DAY)


def score_events(
    truth: Events, alarms: Events, seconds: float, rules: EventRules | None = None
) -> EventScores:
    """Compare the alarms of a recording with its events.

    Parameters
    ----------
    truth, alarms
        (start, stop) of each in seconds from the recording's start, inside the recording.
    seconds
        length of the recording.
    rules
        SzCORE's where not given.
    """
    rules = rules or EventRules()
    events, alarms = (split(merge(e, rules.gap), rules.longest) for e in (truth, alarms))
    near = events + np.array([-rules.before, rules.after])
    near = np.clip(near, 0, seconds)
    found = _overlap(near, alarms).any(axis=1)
    false = ~_overlap(alarms, near[found]).any(axis=1)
    return EventScores(len(events), int(found.sum()), int(false.sum()), float(seconds))


def merge(events: Events, gap: float) -> Events:
    """Return sorted events, those with less than ``gap`` seconds between them made one."""
    _check(events)
    merged: list[list[float]] = []
    for start, stop in events[np.argsort(events[:, 0], kind="stable")].tolist():
        if merged and start - merged[-1][1] < gap - TOUCH:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    return np.array(merged, dtype=np.float64).reshape(-1, 2)


def split(events: Events, longest: float) -> Events:
    """Return events cut into pieces of ``longest`` seconds, the last piece shorter."""
    pieces = [
        [start + i * longest, min(start + (i + 1) * longest, stop)]
        for start, stop in events.tolist()
        for i in range(max(1, int(np.ceil((stop - start) / longest - TOUCH))))
    ]
    return np.array(pieces, dtype=np.float64).reshape(-1, 2)


def alarms_of(
    score: Float64[np.ndarray, " window"],
    onset: Float64[np.ndarray, " window"],
    *,
    length: float,
    threshold: float,
) -> Events:
    """Return the stretches in which windows score at least the threshold.

    Parameters
    ----------
    score
        of every window, such as the probability of a seizure.
    onset
        start of each window in seconds, ascending.
    length
        of a window in seconds; windows that touch or overlap are one alarm.
    """
    loud = onset[score >= threshold]
    return merge(np.stack([loud, loud + length], axis=1), 2 * TOUCH)


@dataclass(frozen=True, eq=False)
class Scored:
    """One recording's windows beside its events.

    Attributes
    ----------
    score, onset
        of every window; onsets in seconds, ascending.
    length
        of a window in seconds.
    events
        (start, stop) of the true ones in seconds.
    seconds
        length of the recording.
    """

    score: Float64[np.ndarray, " window"]
    onset: Float64[np.ndarray, " window"]
    length: float
    events: Events
    seconds: float

    def at(self, threshold: float, rules: EventRules | None = None) -> EventScores:
        """Return what the alarms at a threshold find."""
        alarms = alarms_of(self.score, self.onset, length=self.length, threshold=threshold)
        return score_events(self.events, np.minimum(alarms, self.seconds), self.seconds, rules)


def event_curve(
    recordings: Sequence[Scored], thresholds: Sequence[float], rules: EventRules | None = None
) -> list[EventScores]:
    """Return the scores over all recordings at every threshold: sensitivity against false alarms."""
    if not recordings:
        raise UsageError("There are no recordings: give at least one to score alarms on.")
    return [
        sum((r.at(t, rules) for r in recordings[1:]), recordings[0].at(t, rules))
        for t in thresholds
    ]


def operating_point(
    validation: Sequence[Scored],
    thresholds: Sequence[float],
    *,
    false_alarms_a_day: float,
    rules: EventRules | None = None,
) -> float:
    """Choose a threshold on validation recordings, to be locked before a test recording is opened.

    Returns
    -------
    threshold
        the most sensitive one with no more than so many false alarms a day, the highest of equals.

    Raises
    ------
    UsageError
        When every threshold gives more.
    """
    curve = zip(thresholds, event_curve(validation, thresholds, rules), strict=True)
    allowed = [(s.sensitivity, t) for t, s in curve if s.false_alarms_a_day <= false_alarms_a_day]
    if not allowed:
        raise UsageError(
            f"Every threshold up to {max(thresholds):g} gives more than {false_alarms_a_day:g} false "
            "alarms a day on the validation recordings: try higher ones or allow more."
        )
    if all(np.isnan(sensitivity) for sensitivity, _ in allowed):
        raise UsageError("The validation recordings have no events: put others aside.")
    return max(allowed)[1]


def _check(events: Events) -> None:
    if not np.isfinite(events).all() or (events[:, 1] < events[:, 0]).any():
        raise UsageError("An event ends before it begins or has no time: give (start, stop) in s.")


def _overlap(a: Events, b: Events) -> np.ndarray:
    """Return (a, b) whether two events share any time."""
    last_start = np.maximum(a[:, None, 0], b[None, :, 0])
    first_stop = np.minimum(a[:, None, 1], b[None, :, 1])
    return first_stop - last_start > TOUCH
