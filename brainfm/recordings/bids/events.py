"""``events.tsv``: what happened, and when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from brainfm.recordings.bids.contents import Row, broken, number, read_json, read_table
from brainfm.recordings.privacy import Scrubber
from brainfm.recordings.recording import Annotations


def read_events(path: Path, levels: Path | None, scrubber: Scrubber) -> Annotations:
    """Return the events of a table, in order of time; those without an onset are passed over.

    Parameters
    ----------
    path
        of ``events.tsv``.
    levels
        ``events.json``, whose words are kept.
    scrubber
        takes people out of the descriptions.

    Raises
    ------
    Refused
        If an onset or a duration is no number.
    """
    known = read_json(levels).get("trial_type", {}).get("Levels", {})
    scrubber = replace(scrubber, keep=(*scrubber.keep, *map(str, known)))
    rows = []
    for row in read_table(path, "onset"):
        onset, duration = (_seconds(path, row, column) for column in ("onset", "duration"))
        words = (row.get(column, "") for column in ("trial_type", "value", "description"))
        text = next((word for word in words if word not in ("", "n/a")), "event")
        if np.isfinite(onset):
            rows.append((onset, duration if duration >= 0 else 0.0, scrubber.text(text)))
    rows.sort()
    onset, duration, text = zip(*rows, strict=True) if rows else ((), (), ())
    return Annotations(np.array(onset, float), np.array(duration, float), tuple(text))


def _seconds(path: Path, row: Row, column: str) -> float:
    text = row.get(column, "")
    value = number(text)
    if not np.isfinite(value) and text.lower() not in ("", "n/a", "nan"):
        raise broken(path, f"a value of its column {column} is no number")
    return value
