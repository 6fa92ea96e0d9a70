"""What an ingest gives its workers, and what they give back.

A job knows all that it needs, so that it can run on another machine that sees the same files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from brainfm.recordings.dates import DateShift
from brainfm.recordings.files import hash_of_reading
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Source
from brainfm.recordings.state import State
from brainfm.stages.patience import Patience
from brainfm.store.files import PARTIAL
from brainfm.store.schema import source_key

Encoding = Literal["int16", "float32"]


@dataclass(frozen=True)
class Past:
    """What an earlier ingest made of a source.

    Attributes
    ----------
    result
        id of the recording, or code of the refusal.
    state
        what the source was then.
    recipe_hash
        of the recipe then.
    """

    result: str
    state: State
    recipe_hash: str

    def holds(self, state: State, recipe_hash: str) -> bool:
        """Whether the same would come out today."""
        return self.recipe_hash == recipe_hash and self.state.is_same(state)


@dataclass(frozen=True)
class Here:
    """What all jobs of one ingest share.

    Attributes
    ----------
    store
        the store, as an absolute path.
    run
        of the ingest that holds the store: its workers stop when another has taken over.
    folder
        where relative paths start.
    recipe
        how sources are read.
    encoding
        how recordings are stored, see `brainfm.store.encoding`.
    version
        of the brainfm that gives the jobs.
    patience
        how long a file may keep its reader waiting.
    dates
        how dates are shifted; None where none are kept.
    """

    store: Path
    run: str
    folder: Path
    recipe: Recipe
    encoding: Encoding
    version: str
    patience: Patience
    dates: DateShift | None = None

    @property
    def hash(self) -> str:
        """Return the hash of how sources are read."""
        return hash_of_reading(self.recipe, self.dates)


@dataclass(frozen=True)
class Job:
    """A source to bring in.

    Attributes
    ----------
    source
        what to read.
    here
        where and how.
    made
        the recordings that the store has of this source; more than one where a kill came between
        the writing of a new one and the removal of the old.
    refused
        why this source is in quarantine, where that still counts.
    """

    source: Source
    here: Here
    made: tuple[Past, ...]
    refused: Past | None

    @property
    def patience(self) -> Patience:
        """Return how long its reader may be waited for, with the mark of this source."""
        mark = self.here.store / PARTIAL / self.here.run / f"{source_key(self.source.path)}.waiting"
        return replace(self.here.patience, mark=mark if self.here.patience.deadly else None)


@dataclass(frozen=True)
class Outcome:
    """What became of a source.

    Attributes
    ----------
    source
        its path as it was given.
    state
        ``added``, ``unchanged``, ``quarantined``, or ``kept``: it cannot be read now, and the store
        keeps what it has of it.
    reason
        code of the refusal.
    memory
        the most bytes that the process which did it ever held; 0 where nothing was read.
    """

    source: str
    state: str
    reason: str = ""
    memory: int = 0


def recall(job: Job, state: State) -> Outcome | None:
    """Return the outcome of a job whose source is as it was; None where there is work to do."""
    if len(job.made) == 1 and job.made[0].holds(state, job.here.hash):
        return Outcome(job.source.path, "unchanged")
    if job.refused is not None and job.refused.holds(state, job.here.hash):
        return Outcome(job.source.path, "quarantined", job.refused.result)
    return None
