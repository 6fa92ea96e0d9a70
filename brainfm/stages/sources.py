"""What a training reads: the recordings of one store, or of several data sets mixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import UsageError
from brainfm.store.read import Store, open_store
from brainfm.windows.order import digest
from brainfm.windows.people import persons
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.splits import hold_out


@dataclass(frozen=True)
class Beside:
    """Another data set to train on.

    Attributes
    ----------
    store
        the store.
    subjects, exclude_subjects, datasets
        which of its recordings, as of the first data set.
    weight
        of its share, see ``temperature``.
    name
        under which its share is logged; the store's where None.
    """

    store: Path
    subjects: tuple[str, ...] | None = None
    exclude_subjects: tuple[str, ...] = ()
    datasets: tuple[str, ...] | None = None
    weight: float = 1.0
    name: str | None = None


@dataclass(frozen=True)
class Data(Selection):
    """What to train on.

    Attributes
    ----------
    seconds
        length of a window.
    validation
        share of the subjects to measure on instead of training on them, of each data set.
    validation_windows
        measure on so many windows of each data set at most, evenly spread; on all where None.
    licence
        of the data, for the model card.
    stretches
        take the windows of a step from so many stretches of neighbouring ones, for stores that are far
        away or on slow disks; from everywhere where None.
    beside
        further data sets, with the same ``kinds`` and ``view``; each step takes its windows from one,
        so each may have a sampling rate and a montage of its own.
    weight, name
        of the first data set, as of the others.
    temperature
        a data set's share is its weight · hours^(1 / temperature): 1 takes every hour as often, much
        more takes every data set as often.
    blocks
        equal parts of a step's batch, each from one data set; ``train.parts`` must be a multiple.
    """

    seconds: float = 5.0
    validation: float = 0.2
    validation_windows: int | None = None
    licence: str = "unknown"
    stretches: int | None = None
    beside: tuple[Beside, ...] = ()
    weight: float = 1.0
    name: str | None = None
    temperature: float = 1.0
    blocks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise UsageError(
                f"data.validation is {self.validation} and must be at least 0 and below 1: it is a share of "
                "the subjects."
            )
        if self.validation_windows is not None and self.validation_windows < 1:
            raise UsageError(
                f"data.validation_windows is {self.validation_windows} and must be at least 1; for none set "
                "data.validation to 0."
            )


@dataclass(frozen=True, eq=False)
class Source:
    """The chosen recordings of one store.

    Attributes
    ----------
    name
        under which its share is logged.
    weight
        of that share.
    selection
        what is chosen.
    earlier
        recordings of the same store that are read as another data set's, by their content; copies of
        those are left out.
    """

    name: str
    weight: float
    selection: Selection
    earlier: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def store(self) -> Store:
        """The store."""
        return open_store(self.selection.store)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The recordings."""
        table = self.selection.table(self.store)
        had = table["fingerprint"].map(self.earlier)
        return table[had.isna() | (had == table["id"])].reset_index(drop=True)

    @cached_property
    def reader(self) -> WindowReader:
        """What reads their windows."""
        return self.selection.reader()

    @property
    def sfreq(self) -> float:
        """Their sampling rate in Hz; a store has one."""
        return float(self.table["sfreq"].iloc[0])


def sources_of(data: Data) -> tuple[Source, ...]:
    """Return the data sets of a training.

    Raises
    ------
    UsageError
        If two have one name, or one recording is in two.
    """
    first = Beside(
        data.store, data.subjects, data.exclude_subjects, data.datasets, data.weight, data.name
    )
    found: tuple[Source, ...] = ()
    for one in (first, *data.beside):
        tables = [source.table for source in found if source.selection.store == one.store]
        had = {f: id for t in tables for f, id in zip(t["fingerprint"], t["id"], strict=True)}
        found += (_source(one, data, had),)
    _check_names(found)
    _check_copies(found)
    return found


def _check_names(sources: Sequence[Source]) -> None:
    """Refuse two data sets of one name."""
    if twice := [name for name, n in Counter(s.name for s in sources).items() if n > 1]:
        raise UsageError(
            f"Two data sets of the mixture are called {twice[0]!r}; give each a `name` of its own."
        )


def _check_copies(sources: Sequence[Source]) -> None:
    """Refuse a mixture that reads a recording twice, or a data set of which nothing is left."""
    seen: dict[str, str] = {}
    for source in sources if len(sources) > 1 else ():
        if source.table.empty:
            raise UsageError(
                f"Every recording of {source.name} is a copy of one that is read as another data set's; "
                "leave it out of the mixture."
            )
        for fingerprint, recording in source.table[["fingerprint", "id"]].itertuples(index=False):
            if fingerprint in seen:
                raise UsageError(
                    f"The recording {recording} of {source.name} is also in {seen[fingerprint]}; choose "
                    "`datasets` or `subjects` so that each is in one, and raise a `weight` for more of it."
                )
            seen[fingerprint] = source.name


def _source(one: Beside, data: Data, earlier: Mapping[str, str]) -> Source:
    selection = Selection(
        store=one.store,
        kinds=data.kinds,
        subjects=one.subjects,
        exclude_subjects=one.exclude_subjects,
        datasets=one.datasets,
        view=data.view,
    )
    return Source(one.name or Path(one.store).stem, one.weight, selection, earlier)


@dataclass(frozen=True, eq=False)
class Division:
    """The recordings of a training, some put aside.

    Attributes
    ----------
    training
        recordings of each source.
    validation
        likewise; none where nothing is put aside.
    """

    training: tuple[pd.DataFrame, ...]
    validation: tuple[pd.DataFrame, ...]


def divide(sources: Sequence[Source], share: float, seed: int) -> Division:
    """Put subjects of every source aside; nobody is on both sides, see `brainfm.windows.people`.

    Raises
    ------
    UsageError
        If a source would have nobody left to train on.
    """
    if not share or not sources:
        return Division(tuple(s.table for s in sources), ())
    who = _persons(sources)
    held = [s.table["subject"].isin(hold_out(s.table, share, seed).validation) for s in sources]
    aside = np.concatenate([own[rows] for own, rows in zip(who, held, strict=True)])
    masks = [pd.Series(np.isin(own, aside)) for own in who]
    for source, mask in zip(sources, masks, strict=True):
        if mask.all():
            raise UsageError(
                f"Everybody of {source.name} is put aside for validation, here or in another data set; "
                "choose another seed or a smaller data.validation."
            )
    sides = [
        tuple(
            s.table[mask == held].reset_index(drop=True)
            for s, mask in zip(sources, masks, strict=True)
        )
        for held in (False, True)
    ]
    return Division(*sides)


def content_of(sources: Sequence[Source], tables: Sequence[pd.DataFrame]) -> str:
    """Return a digest of what some recordings of every source hold."""
    pairs = zip(sources, tables, strict=bool(tables))
    return digest([source.reader.store.content(table["id"]) for source, table in pairs])


def _persons(sources: Sequence[Source]) -> list[np.ndarray]:
    """Return the number of each recording's person, as all that the stores have tells them."""
    tables = [s.table for s in sources] + [s.store.table for s in sources]
    columns = ["fingerprint", "dataset", "people_of", "subject"]
    who = persons(pd.concat([table[columns] for table in tables]))
    return np.split(who, np.cumsum([len(table) for table in tables]))[: len(sources)]
