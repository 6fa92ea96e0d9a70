"""One source into a store, or into its quarantine: what a worker of the ingest does.

A job writes nothing but its own recording and its own entry of the quarantine.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from dataclasses import replace
from functools import partial

from brainfm import __version__
from brainfm.errors import UsageError, WorkError
from brainfm.recordings.files import identify, read_recording
from brainfm.recordings.privacy import redact
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recording import Recording, Source, Stream
from brainfm.recordings.state import UNKNOWN, State, hash_of, stat_of, times_of
from brainfm.stages.assignments import Here, Job, Outcome, recall
from brainfm.stages.patience import Patience
from brainfm.store.schema import (
    RECORDINGS,
    hash_of_description,
    read_json,
    recording_id,
    source_key,
)
from brainfm.store.write import (
    is_held,
    note_place,
    note_stat,
    remove_recording,
    write_quarantine,
    write_recording,
)

_ONE_AT_A_TIME = threading.Lock()
"""A Dask worker may have threads; the working directory is the process's."""


def bring_in(job: Job) -> Outcome:
    """Bring one source in, or note why not; leave exactly one of the two behind.

    Raises
    ------
    WorkError
        If the store is not there on this machine, or another brainfm asks.
    OSError
        If the store cannot be written.
    """
    _check_place(job.here)
    # Some readers print what they meet in a file.
    with (
        _ONE_AT_A_TIME,
        chdir(job.here.folder),
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
    ):
        return replace(_bring_in(job), memory=_peak_memory())


def _bring_in(job: Job) -> Outcome:
    state = UNKNOWN
    try:
        times = times_of(job.source)
        state = State(hash_of(job.source), stat_of(job.source))
        known = recall(job, state)
        if known is not None:
            _note_times(job, known, state)
            return known
        if _is_moved(job, state):
            return Outcome(job.source.path, "unchanged")
        with job.patience.limit():
            recording = read_recording(job.source, job.here.recipe, dates=job.here.dates)
    except UsageError:
        raise
    # Whatever a strange file makes a reader or a filter raise, the night's other files go on.
    except Exception as error:
        return set_aside(job, _as_refused(error), state)
    blocks = partial(_checked, recording.blocks, job.source, times, state.sha256, job.patience)
    return _write(job, replace(recording, blocks=blocks), state)


def _write(job: Job, recording: Recording, state: State) -> Outcome:
    try:
        entry = write_recording(
            job.here.store,
            recording,
            state.sha256,
            source_stat=state.stat,
            encoding=job.here.encoding,
            run=job.here.run,
        )
    except Refused as error:
        return set_aside(job, error, state)
    for past in job.made:
        if past.result != entry.id:
            remove_recording(job.here.store, past.result, run=job.here.run)
    return Outcome(job.source.path, "added")


def set_aside(job: Job, error: Refused, state: State) -> Outcome:
    """Note that a source does not come in.

    What the store has of it is taken out only where it is known to be of a file that is no more: a
    mistaken recipe, or a disk that does not answer, takes nothing away.

    Raises
    ------
    WorkError
        If another ingest holds the store by now, and may have brought the source in.
    """
    _check_held(job.here)
    state = UNKNOWN if _may_pass(error) else state
    if any(state == UNKNOWN or past.state.sha256 == state.sha256 for past in job.made):
        return Outcome(job.source.path, "kept", error.reason.value)
    for past in job.made:
        remove_recording(job.here.store, past.result, run=job.here.run)
    write_quarantine(
        job.here.store,
        job.source.path,
        reason=error.reason.value,
        detail=error.detail,
        sha256=state.sha256,
        stat=state.stat,
        recipe_hash=job.here.hash,
        version=job.here.version,
        run=job.here.run,
    )
    return Outcome(job.source.path, "quarantined", error.reason.value)


def _checked(
    blocks: Callable[[], Stream],
    source: Source,
    times: tuple[tuple[int, int, int], ...],
    sha256: str,
    patience: Patience,
) -> Stream:
    """Yield the blocks of a recording, and refuse it at its end where its source has changed."""
    try:
        findings = yield from patience.watch(blocks())
        changed = times_of(source) != times and hash_of(source) != sha256
    except (Refused, UsageError):
        raise
    except Exception as error:
        raise _as_refused(error) from error
    if changed:
        raise Refused(
            Reason.changed_while_read,
            "It changed while it was read; ingest again when nothing writes to it.",
        )
    return findings


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, FileNotFoundError):
        refused = Refused(Reason.missing, f"{error.filename} is not there; bring it back.")
    else:
        text = " ".join(redact(str(error)).split())[:300]
        told = f"Reading it failed: {type(error).__name__}: {text}."
        refused = Refused(Reason.unreadable, told)
    refused.__cause__ = error
    return refused


def _may_pass(error: Refused) -> bool:
    """Whether the same bytes could come in another time, so that they are read again then."""
    cause = error.__cause__
    failed = isinstance(cause, OSError) and cause.errno is not None
    return failed or isinstance(cause, MemoryError) or error.reason is Reason.changed_while_read


def _note_times(job: Job, known: Outcome, state: State) -> None:
    # The bytes are the same under other times: the next ingest need not read them.
    if known.state == "unchanged" and state.stat and state.stat != job.made[0].state.stat:
        note_stat(job.here.store, job.made[0].result, state.stat, run=job.here.run)


def _is_moved(job: Job, state: State) -> bool:
    """Whether the store has this path, as given, with these bytes from another folder; it is noted.

    The id is that of path and bytes, so that a data set and its store may move together: reading it
    again would give the same recording under the same name.
    """
    if job.made:
        return False
    who = vars(identify(job.source.path, job.here.recipe))
    named = {key: who[key] for key in ("subject", "session", "task", "run")}
    id = recording_id(**named, source=job.source.path, source_sha256=state.sha256)
    wanted = {"dataset": job.here.recipe.name, "recipe_hash": job.here.hash}
    try:
        has = read_json(job.here.store / RECORDINGS / id / "zarr.json")["attributes"]
        whole = has.get("described") in (None, hash_of_description(has))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    # With its own key it is of a worker that died before it could tell: it is read again.
    moved = has.get("source_key") != source_key(job.source.path)
    if not (moved and whole and wanted.items() <= has.items()):
        return False
    given = {"source": job.source.path, "source_stat": state.stat}
    note_place(job.here.store, id, **given, run=job.here.run)
    return True


def _check_place(here: Here) -> None:
    if here.version != __version__:
        raise WorkError(
            f"A worker has brainfm {__version__}, the ingest {here.version}; install the same on both."
        )
    if not (here.store / "zarr.json").is_file():
        raise WorkError(
            f"A worker on {os.uname().nodename} does not see the store {here.store}; every worker needs "
            "the store and the sources under the same paths."
        )
    _check_held(here)


def _check_held(here: Here) -> None:
    if not is_held(here.store, here.run):
        raise WorkError(
            f"The ingest into {here.store} is over; what it left to its workers is not done."
        )


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
