"""Raw recordings into a store: what cannot come in is set aside with a reason, the rest goes on."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import track

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.files import read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe, load_recipe
from brainfm.recordings.sensors import template_positions
from brainfm.recordings.side_files import attach_side_files
from brainfm.recordings.sources import Source, find_sources
from brainfm.store.read import Store, open_store
from brainfm.store.schema import source_key
from brainfm.store.write import (
    clear_quarantine,
    create_store,
    remove_recording,
    write_quarantine,
    write_recording,
    writing,
)


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest did with the files it was given.

    Attributes
    ----------
    store
        path of the store.
    added
        sources that came in.
    unchanged
        sources that were there already.
    quarantined
        sources that did not come in, now or before, with the reason code.
    kept
        sources that this recipe cannot read, with the reason code; the store keeps what another
        recipe made of the same bytes.
    """

    store: Path
    added: tuple[str, ...]
    unchanged: tuple[str, ...]
    quarantined: dict[str, str]
    kept: dict[str, str]

    def __str__(self) -> str:
        there = len(self.added) + len(self.unchanged) + len(self.kept)
        text = f"{self.store}: {there} recordings ({len(self.added)} new), "
        text += f"{len(self.quarantined)} files quarantined"
        reasons = Counter(self.quarantined.values()).most_common()
        return text + (f" ({', '.join(f'{n} {r}' for r, n in reasons)})" if reasons else "")


@dataclass(frozen=True)
class _Job:
    source: Source
    store: Path
    recipe: Recipe
    stale: tuple[
        tuple[str, str], ...
    ]  # id, and hash of file and recipe, of what the store has of it
    refused: tuple[str, str] | None  # hash of file and recipe, and reason, of an earlier refusal


@dataclass(frozen=True)
class _Outcome:
    source: str
    state: str  # added, unchanged or quarantined
    reason: str = ""


def ingest(
    source: list[str],
    *,
    store: Path,
    recipe: Path | None = None,
    workers: int = 1,
    strict: bool = False,
) -> IngestSummary:
    """Bring raw recordings into a store.

    A second call does only what is missing or changed. What cannot be read is listed with a reason
    (`brainfm status`) and the rest goes on.

    Parameters
    ----------
    source
        files, folders, globs and BIDS roots, of any format that MNE reads.
    store
        the store to make or to add to.
    recipe
        YAML that says how this data set is read and cleaned. Without one: 0.1 to 75 Hz, notch where
        the mains are seen, 200 Hz, subjects from BIDS names or the files' stems.
    workers
        processes that read and clean at the same time.
    strict
        fail when any file is quarantined.

    Raises
    ------
    UsageError
        If a source is not there, a folder holds no recording, or the store does not fit the recipe.
    WorkError
        If no file came in or, with ``strict``, any did not.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}; 1 or more processes are wanted.")
    how = load_recipe(recipe) if recipe is not None else Recipe()
    template_positions(how.montage)
    sources = attach_side_files(find_sources(source), how)
    create_store(store, how.preprocessing, how.preprocessing_hash)
    with writing(store):
        jobs = _jobs(sources, open_store(store), how)
        outcomes = list(_progress(_run(jobs, workers), len(jobs)))
    summary = _summary(store, outcomes)
    _report(summary, strict=strict)
    return summary


def _jobs(sources: list[Source], store: Store, recipe: Recipe) -> list[_Job]:
    """Return one job a file, each knowing what the store has of that file."""
    known: dict[str, list[tuple[str, str]]] = {}
    for row in store.table.to_dict("records"):
        made_of = f"{row['source_sha256']}:{row['recipe_hash']}"
        known.setdefault(row["source_key"], []).append((row["id"], made_of))
    refused = {
        row["source_key"]: (f"{row['source_sha256']}:{row['recipe_hash']}", row["reason"])
        for row in store.quarantined.to_dict("records")
    }
    keys = [source_key(source.path) for source in sources]
    return [
        _Job(source, store.path, recipe, tuple(known.get(key, ())), refused.get(key))
        for source, key in zip(sources, keys, strict=True)
    ]


def _run(jobs: list[_Job], workers: int) -> Iterable[_Outcome]:
    if workers == 1:
        return map(_ingest_file, jobs)
    # Without max_nbytes joblib would hand big arrays on as read-only memory maps.
    return Parallel(n_jobs=workers, max_nbytes=None, return_as="generator")(
        delayed(_ingest_file)(job) for job in jobs
    )


def _progress(outcomes: Iterable[_Outcome], total: int) -> Iterator[_Outcome]:
    if sys.stderr.isatty():
        outcomes = track(outcomes, "ingest", total, console=Console(stderr=True), transient=True)
    yield from outcomes


def _ingest_file(job: _Job) -> _Outcome:
    """Bring one file in, or note why not; leave exactly one of the two behind."""
    sha256 = ""
    try:
        sha256 = _hash_files(job.source)
        state = f"{sha256}:{job.recipe.hash}"
        if [made_of for _, made_of in job.stale] == [state]:
            return _Outcome(job.source.path, "unchanged")
        if job.refused is not None and job.refused[0] == state:
            return _Outcome(job.source.path, "quarantined", job.refused[1])
        recording = read_recording(job.source, job.recipe)
    except UsageError:
        raise
    # Whatever a strange file makes a reader or a filter raise, the night's other files go on.
    except Exception as error:
        return _set_aside(job, _as_refused(error), sha256)
    try:
        entry = write_recording(job.store, recording, sha256)
    except Refused as error:
        return _set_aside(job, error, sha256)
    except OSError as error:
        raise WorkError(
            f"The store {job.store} cannot be written ({error.strerror or error}); make room and "
            "call again, what is in the store stays."
        ) from error
    for id, _ in job.stale:
        if id != entry.id:
            remove_recording(job.store, id)
    clear_quarantine(job.store, job.source.path)
    return _Outcome(job.source.path, "added")


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    text = " ".join(str(error).split())[:300]
    return Refused(Reason.unreadable, f"Reading it failed: {type(error).__name__}: {text}.")


def _set_aside(job: _Job, error: Refused, sha256: str) -> _Outcome:
    # The file is as it was and only the recipe cannot read it: a mistaken recipe takes nothing away.
    if any(made_of.startswith(f"{sha256}:") for _, made_of in job.stale):
        return _Outcome(job.source.path, "kept", error.reason.value)
    # What an older, whole file had left is of a file that is no more.
    for id, _ in job.stale:
        remove_recording(job.store, id)
    write_quarantine(
        job.store,
        job.source.path,
        reason=error.reason.value,
        detail=error.detail,
        sha256=sha256,
        recipe_hash=job.recipe.hash,
    )
    return _Outcome(job.source.path, "quarantined", error.reason.value)


def _hash_files(source: Source) -> str:
    """Return the hash of a recording's one file, or of the hashes of all its files."""
    digests = [_hash_file(file) for file in source.files if os.path.exists(file)]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _hash_file(file: str) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _summary(store: Path, outcomes: list[_Outcome]) -> IngestSummary:
    return IngestSummary(
        store=store,
        added=tuple(o.source for o in outcomes if o.state == "added"),
        unchanged=tuple(o.source for o in outcomes if o.state == "unchanged"),
        quarantined={o.source: o.reason for o in outcomes if o.state == "quarantined"},
        kept={o.source: o.reason for o in outcomes if o.state == "kept"},
    )


def _report(summary: IngestSummary, *, strict: bool) -> None:
    print(summary)
    see = f"see brainfm status {summary.store} for the reasons"
    if summary.kept:
        reasons = ", ".join(sorted(set(summary.kept.values())))
        raise WorkError(
            f"This recipe cannot read {len(summary.kept)} files that are in the store by another "
            f"({reasons}), so the store keeps them as they were; correct the recipe."
        )
    if not summary.added and not summary.unchanged:
        raise WorkError(
            f"None of the {len(summary.quarantined)} files came in; at least one is wanted, {see}."
        )
    if strict and summary.quarantined:
        raise WorkError(
            f"{len(summary.quarantined)} files are quarantined and --strict wants none; {see}."
        )
