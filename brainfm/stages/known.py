"""What a store has of the sources of an ingest, and what of it is told twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainfm import __version__
from brainfm.recordings.recording import Source
from brainfm.recordings.state import State
from brainfm.stages.assignments import Here, Job, Past
from brainfm.store.read import Store, read_quarantine
from brainfm.store.schema import source_key
from brainfm.store.write import clear_quarantine, remove_recording


@dataclass(frozen=True)
class Known:
    """What the store had of each source when the ingest began, by its key.

    Attributes
    ----------
    made
        recordings.
    refused
        why it is in quarantine, where that still counts.
    quarantined
        keys of all that is in quarantine.
    """

    made: dict[str, list[Past]]
    refused: dict[str, Past]
    quarantined: frozenset[str]

    def job(self, source: Source, here: Here) -> Job:
        """Return what is to be done with a source."""
        key = source_key(source.path)
        return Job(source, here, tuple(self.made.get(key, ())), self.refused.get(key))


def known_of(store: Store, *, dataset: str, retry: bool) -> Known:
    """Return what a store has for a recipe of that name; with ``retry`` nothing is refused for good."""
    made: dict[str, list[Past]] = {}
    for row in store.table.to_dict("records"):
        # The hash of a recipe does not know its name, which is the recording's data set.
        by_hash = row["recipe_hash"] if row["dataset"] == dataset else ""
        past = _past(row["id"], row | {"recipe_hash": by_hash})
        made.setdefault(row["source_key"], []).append(past)
    entries = read_quarantine(store.files)
    refused = {
        row["source_key"]: _past(row["reason"], row)
        for row in entries.values()
        # What cannot be read tells nothing: its source is read again.
        if row is not None and row["version"] == __version__ and not retry
    }
    return Known(made, refused, frozenset(Path(name).stem for name in entries))


def _past(result: str, row: dict[str, Any]) -> Past:
    state = State(row["source_sha256"], row["source_stat"])
    return Past(result, state, row["recipe_hash"])


def forget_came_in(path: Path, known: Known) -> None:
    """Take out of quarantine what came in when a kill hindered that it left quarantine."""
    for key in known.quarantined & known.made.keys():
        clear_quarantine(path, key)


def forget_parts(path: Path, known: Known, sources: Iterable[Source], *, run: str) -> None:
    """Take out what the store had, or had refused, of files that came in as parts of ``sources``.

    A part may arrive before the rest, and then it is a recording or a refused file of its own.
    """
    for source in sources:
        key = source_key(source.path)
        parts = {source_key(file) for file in source.files} - {key}
        for past in [past for part in parts for past in known.made.pop(part, ())]:
            remove_recording(path, past.result, run=run)
        for gone in known.quarantined & (parts | {key}):
            clear_quarantine(path, gone)
