"""Raw recordings into a store: what cannot come in is set aside with a reason, the rest goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from brainfm import __version__
from brainfm.errors import UsageError, WorkError
from brainfm.progress import watched
from brainfm.recordings.dates import load_key
from brainfm.recordings.events.labels import attach_side_files
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe, load_recipe
from brainfm.recordings.recording import Source
from brainfm.recordings.sensors.labels import template_positions
from brainfm.recordings.sources import find_sources
from brainfm.recordings.state import UNKNOWN, State, hash_of, size_of, stat_of
from brainfm.stages.assignments import Encoding, Here, Job, Outcome, recall
from brainfm.stages.executors import (
    Executor,
    InProcess,
    Lost,
    Processes,
    Slurm,
    connect,
    queue,
)
from brainfm.stages.jobs import bring_in, set_aside
from brainfm.stages.known import forget_came_in, forget_parts, known_of
from brainfm.stages.patience import MOST, Patience, timed_out, waited
from brainfm.store.files import check_local
from brainfm.store.hold import create_store, name_people, writing
from brainfm.store.read import Store, open_store, read_quarantine
from brainfm.store.schema import source_key


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
        sources that cannot be read by this recipe or at this moment, with the reason code; the
        store keeps what it has of them.
    duplicates
        recordings of the store with the content of another, and the id of the first that has it;
        the same content under another name, subject or format.
    memory
        the most bytes that a worker ever held.
    """

    store: Path
    added: tuple[str, ...]
    unchanged: tuple[str, ...]
    quarantined: dict[str, str]
    kept: dict[str, str]
    duplicates: dict[str, str]
    memory: int

    def __str__(self) -> str:
        there = len(self.added) + len(self.unchanged) + len(self.kept)
        text = f"{self.store}: {there} recordings ({len(self.added)} new), "
        text += f"{len(self.quarantined)} files quarantined"
        reasons = Counter(self.quarantined.values()).most_common()
        text += f" ({', '.join(f'{n} {r}' for r, n in reasons)})" if reasons else ""
        if self.added:
            text += f"; a worker held {self.memory / 1e6:,.0f} MB at most"
        if self.duplicates:
            text += f"\n{len(self.duplicates)} recordings of the store have the content of another "
            text += f"(brainfm status {self.store} names them)"
        return text


def ingest(
    source: list[str],
    *,
    store: Path,
    recipe: Path | None = None,
    workers: int = 1,
    cluster: str | None = None,
    slurm: Slurm | None = None,
    encoding: Encoding = "int16",
    timeout: float = 300.0,
    dates: Path | None = None,
    retry_quarantined: bool = False,
    strict: bool = False,
) -> IngestSummary:
    """Bring raw recordings into a store.

    A second call does only what is missing or changed. What cannot be read is listed with a reason
    (`brainfm status`) and the rest goes on.

    Parameters
    ----------
    source
        files, folders, globs and BIDS roots, of the formats of ``docs/formats.md``; ``moabb:NAME`` for a
        data set of MOABB.
    store
        the store to make or to add to, on this machine.
    recipe
        YAML that says how this data set is read and cleaned. Without one: 0.1 to 75 Hz, notch where
        the mains are seen, 200 Hz, subjects from BIDS names or the files' stems.
    workers
        processes of this machine that read and clean at the same time.
    cluster
        address of a Dask scheduler, such as ``tcp://node1:8786``, whose workers do it; they must see
        the sources and the store under the same paths.
    slurm
        what to ask of SLURM for each worker; on a login node, instead of ``cluster``.
    encoding
        how new recordings are stored: as 16-bit integers with a step for each channel and shard, which
        differ from the samples by half a step at most (and as floats where that step is more than 1/64
        of a channel's robust amplitude), or all as 32-bit floats.
    timeout
        seconds that a file may keep its reader waiting, for its opening and for each of its blocks, before it
        is set aside.
    dates
        file with a secret, 16 bytes or more, by which the dates of recordings are shifted into the years
        before 1925; those of one subject keep their order, intervals and times of day. Without it no dates
        are kept.
    retry_quarantined
        read files again that are in quarantine and have not changed since.
    strict
        fail when any file is quarantined.

    Raises
    ------
    UsageError
        If a source is not there, a folder holds no recording, or the store does not fit the recipe.
    WorkError
        If no file came in or, with ``strict``, any did not.
    """
    check_local(store)
    how = load_recipe(recipe) if recipe is not None else Recipe()
    template_positions(how.montage)
    shift = load_key(dates, store=store) if dates is not None else None
    if not 0 < timeout <= MOST:
        raise UsageError(f"timeout is {timeout:g} s; more than 0, and {MOST:g} at most, is wanted.")
    sources = attach_side_files(find_sources(source, how), how)
    with _executor(workers, cluster, slurm) as executor:
        patience = Patience(timeout, deadly=not isinstance(executor, InProcess))
        outcomes = _fill(
            Here(store.absolute(), "", Path.cwd(), how, encoding, __version__, patience, shift),
            sources,
            executor,
            retry=retry_quarantined,
        )
    summary = _summary(open_store(store), outcomes)
    _report(summary, strict=strict)
    return summary


def _fill(here: Here, sources: list[Source], executor: Executor, *, retry: bool) -> list[Outcome]:
    path, recipe = here.store, here.recipe
    try:
        create_store(path, recipe.preprocessing, recipe.preprocessing_hash)
        with writing(path) as held:
            name_people(path, recipe.name, recipe.people_of or recipe.name)
            known = known_of(held.before, dataset=recipe.name, retry=retry)
            forget_came_in(path, known)
            here = replace(here, run=held.run)
            jobs = [known.job(source, here) for source in sources]
            # The largest first, so that none is left over when the others are done.
            jobs.sort(key=lambda job: size_of(job.source), reverse=True)
            outcomes = list(watched(_outcomes(executor, jobs), "Files", len(jobs)))
            there = {o.source for o in outcomes if o.state in ("added", "unchanged")}
            came = [source for source in sources if source.path in there]
            forget_parts(path, known, came, run=held.run)
            return outcomes
    except OSError as error:
        told = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        raise WorkError(
            f"The ingest into {path} stopped ({told}); make room or mend it and call again, what is in "
            "the store stays."
        ) from error


def _executor(
    workers: int, cluster: str | None, slurm: Slurm | None
) -> AbstractContextManager[Executor]:
    if workers < 1:
        raise UsageError(f"workers is {workers}; 1 or more processes are wanted.")
    if (workers > 1) + (cluster is not None) + (slurm is not None) > 1:
        raise UsageError("More than one of --workers, --cluster and --slurm is given; give one.")
    if cluster is not None:
        return connect(cluster)
    if slurm is not None:
        return queue(slurm)
    return nullcontext(InProcess() if workers == 1 else Processes(workers))


def _outcomes(executor: Executor, jobs: list[Job]) -> Iterator[Outcome]:
    """Yield one outcome a job: at once where sizes and times tell that nothing changed."""
    waiting = []
    for job in jobs:
        known = recall(job, State("", stat_of(job.source)))
        if known is None:
            waiting.append(job)
        else:
            yield known
    for outcome in executor.run(bring_in, waiting):
        yield _killed(outcome) if isinstance(outcome, Lost) else outcome


def _killed(lost: Lost) -> Outcome:
    job, patience = lost.job, lost.job.patience
    refused = Refused(
        Reason.killed_worker,
        "Each process that read it died, also when it read nothing else: it may need more memory than "
        "there is, or crash its reader; read it on another machine, or leave it out.",
    )
    if waited(patience.mark) >= patience.seconds:
        refused = timed_out(patience.seconds)
    try:
        state = State(hash_of(job.source), stat_of(job.source))
    except OSError:
        state = UNKNOWN
    return set_aside(job, refused, state)


def _summary(store: Store, outcomes: list[Outcome]) -> IngestSummary:
    table = store.table
    twice = table[table.duplicate_of.notna()]
    return IngestSummary(
        store=Path(store.path),
        added=tuple(o.source for o in outcomes if o.state == "added"),
        unchanged=tuple(o.source for o in outcomes if o.state == "unchanged"),
        quarantined={o.source: o.reason for o in outcomes if o.state == "quarantined"},
        kept={o.source: o.reason for o in outcomes if o.state == "kept"},
        duplicates=dict(zip(twice["id"], twice.duplicate_of, strict=True)),
        memory=max((o.memory for o in outcomes), default=0),
    )


def _report(summary: IngestSummary, *, strict: bool) -> None:
    print(summary)
    see = f"see brainfm status {summary.store} for the reasons"
    if summary.kept:
        reasons = ", ".join(sorted(set(summary.kept.values())))
        raise WorkError(
            f"{len(summary.kept)} files whose recordings are in the store cannot be read again "
            f"({reasons}), so the store keeps them as they were; correct the recipe or bring the "
            "files back, and call again."
        )
    if not summary.added and not summary.unchanged:
        entries = read_quarantine(open_store(summary.store).files).values()
        given = set(map(source_key, summary.quarantined))
        told = [row for row in entries if row is not None and row["source_key"] in given]
        first = min(told, key=lambda row: row["source"])
        raise WorkError(
            f"None of the {len(summary.quarantined)} files came in; at least one is wanted, {see}. "
            f"The first is {Path(first['source']).name}: {first['detail']}"
        )
    if strict and summary.quarantined:
        raise WorkError(
            f"{len(summary.quarantined)} files are quarantined and --strict wants none; {see}."
        )
