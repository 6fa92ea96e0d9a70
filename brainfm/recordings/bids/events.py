"""``events.tsv``: what happened, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

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
from brainfm.recordings.recording import Annotations


def read_events(sidecars: Sidecars, scrubber: Scrubber) -> Annotations | None:
    """Return the events in order of time, None where there is no table; those without an onset are none.

    Parameters
    ----------
    sidecars
        of the recording; the words that ``Levels`` of ``events.json`` documents are kept.
    scrubber
        takes people out of the descriptions.

    Raises
    ------
    Refused
        If an onset or a duration is no number.
    """
    if "events.tsv" not in sidecars:
        return None
    known = _levels(sidecars)
    scrubber = replace(scrubber, keep=(*scrubber.keep, *known))
    rows = []
    for row in read_table(sidecars, "events.tsv", "onset"):
        onset, duration = (_seconds(row, column) for column in ("onset", "duration"))
        words = (row.get(column, "") for column in ("trial_type", "value", "description"))
        text = next((word for word in words if word not in ("", "n/a")), "event")
        if np.isfinite(onset):
            rows.append((onset, duration if duration >= 0 else 0.0, scrubber.text(text)))
    rows.sort()
    onset, duration, text = zip(*rows, strict=True) if rows else ((), (), ())
    return Annotations(np.array(onset, float), np.array(duration, float), tuple(text))


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
