"""``events.tsv``: what happened, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from glob import escape
from itertools import compress

import numpy as np

from brainfm.recordings.bids.contents import (
    Row,
    broken,
    number,
    read_json,
    read_map,
    read_table,
)
from brainfm.recordings.bids.sidecars import Sidecars
from brainfm.recordings.privacy import Scrubber
from brainfm.recordings.recording import BOUNDARY, JOINS, Annotations


def read_events(sidecars: Sidecars, scrubber: Scrubber) -> Annotations | None:
    """Return the events in order of time, None where there is no table; those without an onset are none.

    Parameters
    ----------
    sidecars
        of the recording; the descriptions that ``Levels`` of ``events.json`` documents are kept.
    scrubber
        takes people out of the descriptions.

    Raises
    ------
    Refused
        If an onset or a duration is no number.
    """
    if "events.tsv" not in sidecars:
        return None
    known = map(escape, _levels(sidecars))
    scrubber = replace(scrubber, keep=(*scrubber.keep, *known))
    rows = []
    for row in read_table(sidecars, "events.tsv", "onset"):
        onset, duration = (_seconds(row, column) for column in ("onset", "duration"))
        words = (row.get(column, "") for column in ("trial_type", "value", "description"))
        text = next((word for word in words if word not in ("", "n/a")), "event")
        # EEGLAB gives a join the length of what was cut out, which is not there any more.
        duration = duration if duration >= 0 and text not in JOINS else 0.0
        text = BOUNDARY if text in JOINS and onset > 0 else scrubber.text(text)
        if np.isfinite(onset):
            rows.append((onset, duration, text))
    rows.sort()
    onset, duration, text = zip(*rows, strict=True) if rows else ((), (), ())
    return Annotations(np.array(onset, float), np.array(duration, float), tuple(text))


def keep_inside(events: Annotations, seconds: float) -> Annotations:
    """Return what lies within a recording of so many seconds, cut at its ends, as MNE keeps it."""
    start = np.maximum(events.onset, 0.0)
    stop = np.minimum(events.onset + events.duration, seconds)
    kept = start <= stop
    cut = (start > events.onset) | (stop < events.onset + events.duration)
    duration = np.where(cut, stop - start, events.duration)
    return Annotations(start[kept], duration[kept], tuple(compress(events.description, kept)))


def _levels(sidecars: Sidecars) -> Iterable[str]:
    name = "events.json"
    column = read_map(read_json(sidecars, name).get("trial_type"), name, "trial_type")
    return read_map(column.get("Levels"), name, "Levels of trial_type")


def _seconds(row: Row, column: str) -> float:
    text = row.get(column, "")
    value = number(text)
    if not np.isfinite(value) and text.lower() not in ("", "n/a", "nan"):
        raise broken("events.tsv", f"a value of its column {column} is no number")
    return value
