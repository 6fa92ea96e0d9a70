"""What is to be told apart, in which recordings, in windows of what length."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from brainfm.errors import UsageError
from brainfm.evaluation.labels import Cut, Labels, Tiling
from brainfm.evaluation.measures import Measure
from brainfm.evaluation.metrics import check_metrics, metrics_of
from brainfm.evaluation.published import PublishedSplit
from brainfm.recordings.recording import Sensors
from brainfm.store.read import Store, open_store
from brainfm.windows.people import WHO, is_copy
from brainfm.windows.reader import WindowReader
from brainfm.windows.stored import StoredWindows
from brainfm.windows.trials import COLUMNS, Trials
from brainfm.windows.views import Chain, Select, View

logger = logging.getLogger(__name__)

ORIGIN = ("dataset", "people_of", "source")

MEMORY = 8.0
"""GB of windows that are held in one array."""


@dataclass(frozen=True)
class Task:
    """A classification of windows, or a number to predict of each, as a YAML file names it.

    Attributes
    ----------
    name
        in tables and reports.
    store
        the recordings, as ``brainfm ingest`` leaves them.
    label
        where labels come from. Of two classes the one named last is the positive one.
    seconds
        length of a window.
    step
        seconds from one window to the next inside a labelled stretch; None for ``seconds``, so that
        windows touch and do not overlap.
    kinds
        sensor kinds to use.
    channels
        the channels to use, in this order; None for all of ``kinds``.
    metrics
        what is measured; where none is named, all that can be of classes, or of numbers.
    view
        the channels to make of those of ``kinds``, such as ``Tcp``; as recorded where None.
    dataset
        name of the recipe whose recordings belong to the task, where the store has others; None for
        all.
    lacking
        what becomes of a recording that lacks a channel: ``refuse`` the task, or ``leave out`` the recording,
        which is logged.
    measures
        what is measured beside: ``Calibration``, ``SeizureEvents``, ``Hypnograms``, or a class of your
        own; ``Calibration`` where none is named. They are of classes.
    people
        who is behind a subject that is another one too, such as ``{chb21: chb01}``: splits by subject and
        intervals then count one person.
    splits
        the literature's splits by name, see `PublishedSplit`; by itself a task is divided by the
        protocol.
    """

    name: str
    store: Path
    label: Labels
    seconds: float
    step: float | None = None
    kinds: tuple[str, ...] = ("eeg",)
    channels: tuple[str, ...] | None = None
    metrics: tuple[str, ...] = ()
    view: View | None = None
    dataset: str | None = None
    lacking: Literal["refuse", "leave out"] = "refuse"
    measures: tuple[Measure, ...] = ()
    people: dict[str, str] = field(default_factory=dict)
    splits: dict[str, PublishedSplit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.metrics:
            object.__setattr__(self, "metrics", metrics_of(self.classes))
        check_metrics(self.metrics, self.classes)
        if self.measures and not self.classes:
            raise UsageError(
                f"The task {self.name!r} is of numbers and names measures of classes: leave `measures` out."
            )
        if self.seconds <= 0 or (self.step is not None and self.step <= 0):
            raise UsageError(
                f"Windows of {self.seconds} s every {self.step} s: give lengths above 0."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of two, the second is the positive one. None of a task of numbers."""
        return self.label.names()

    def published(self, name: str) -> PublishedSplit:
        """Return the split of a name; ``UsageError`` lists those there are."""
        if name not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise UsageError(
                f"The task {self.name!r} has no split {name!r}; it has {known}, and brainfm's own folds "
                "where no split is named."
            )
        return self.splits[name]

    def as_published(self, name: str) -> Task:
        """Return the task with the windows that the papers of a split cut."""
        own = self.published(name)
        changed = {k: v for k in ("label", "seconds", "step") if (v := getattr(own, k)) is not None}
        return replace(self, **changed)

    def load(self, memory: float = MEMORY) -> Trials:
        """Cut the windows of all recordings of the task, in the order of the store's table.

        Of recordings of the same content the first of the task is taken, and stretches that pass the end of
        a recording are left out; both are logged.

        Parameters
        ----------
        memory
            GB of windows that may be held in one array; more than that stay in the store and are read
            as they are asked for.

        Raises
        ------
        UsageError
            When no recording or no window has a class, when recordings differ in channels or
            sampling rate (nothing is padded or resampled), or when a wanted channel is missing.
        """
        store = open_store(self.store)
        rows = self._recordings(store)
        reader = WindowReader(self.store, self.kinds, self._view(store, rows))
        rows = self._whole(reader, rows)
        sensors, tiling = reader.sensors(rows[0]["id"]).sensors, self._tiling(rows[0])
        cuts = [self.label.cut(row, store.annotations(row["id"]), tiling) for row in rows]
        y = np.array([cut.label for part in cuts for cut in part], dtype=str)
        if not self.classes:
            y = y.astype(np.float64)
        if absent := sorted(set(self.classes) - set(y)):
            raise UsageError(
                f"No window of class {absent} in {self.store}: check the labels of task "
                f"{self.name!r} against the store with `brainfm status`."
            )
        metas = [self._meta(row, own, tiling) for row, own in zip(rows, cuts, strict=True)]
        meta = pd.concat(metas, ignore_index=True)
        windows = StoredWindows(
            reader,
            tiling.sfreq,
            recording=meta["recording"].to_numpy(dtype=object),
            start=np.array([cut.start for part in cuts for cut in part], dtype=np.int64),
            lengths={row["id"]: int(row["n_times"]) for row in rows},
            n_channels=len(sensors),
            n_times=tiling.length,
        )
        X = windows if windows.nbytes > memory * 1e9 else windows.load()
        return Trials(X, y, meta, sensors, tiling.sfreq, self._named(store.table)[list(WHO)])

    def _tiling(self, row: pd.Series) -> Tiling:
        sfreq = float(row["sfreq"])
        step = round((self.step or self.seconds) * sfreq)
        return Tiling(round(self.seconds * sfreq), step, sfreq)

    def _view(self, store: Store, rows: list[pd.Series]) -> View:
        """Return what makes the task's channels of any of its recordings."""
        if self.view is None:
            return Select(
                self._channels(rows, {row["id"]: store.sensors(row["id"]) for row in rows})
            )
        return self.view if self.channels is None else Chain((self.view, Select(self.channels)))

    def _whole(self, reader: WindowReader, rows: list[pd.Series]) -> list[pd.Series]:
        """Return the recordings that have all channels: trials cannot say that one is absent."""
        whole, refusals = [], []
        for row in rows:
            try:
                _check_present(reader, row["id"])
                whole.append(row)
            except UsageError as error:
                refusals.append(error)
        if refusals and (self.lacking == "refuse" or not whole):
            raise refusals[0]
        if refusals:
            logger.warning("%d recordings are left out: %s", len(refusals), refusals[0])
        return whole

    def _recordings(self, store: Store) -> list[pd.Series]:
        """Return the table's rows of the task's recordings."""
        table = store.table
        if self.dataset is not None:
            table = table[table["dataset"] == self.dataset]
        rows = [row for _, row in table.iterrows() if self.label.selects(row)]
        if not rows:
            raise UsageError(
                f"None of the {len(store.table)} recordings in {self.store} belongs to task "
                f"{self.name!r}: check its labels against the store with `brainfm status`."
            )
        copy = is_copy(pd.DataFrame(rows))
        unique = [row for row, twice in zip(rows, copy, strict=True) if not twice]
        if len(unique) < len(rows):
            logger.warning("%d copies of recordings are left out", len(rows) - len(unique))
        rates = {float(row["sfreq"]): row["id"] for row in unique}
        if len(rates) > 1:
            raise UsageError(
                f"Recordings of different sampling rates {rates}: ingest them with one rate."
            )
        return unique

    def _channels(self, rows: list[pd.Series], sensors: dict[str, Sensors]) -> tuple[str, ...]:
        """Return the names of the task's channels, which every recording must have."""
        first = rows[0]["id"]
        names = self.channels or _of_kinds(sensors[first], self.kinds)
        if not names:
            raise UsageError(
                f"Recording {first!r} has no channel of kind {list(self.kinds)}: it has "
                f"{sorted(set(sensors[first].kind))}."
            )
        for row in rows:
            found = _of_kinds(sensors[row["id"]], self.kinds)
            missing = sorted(set(names) - set(found))
            further = sorted(set(found) - set(names)) if self.channels is None else []
            if missing or further:
                raise UsageError(
                    f"Recording {row['id']!r} lacks the channels {missing} and has {further} "
                    f"besides those of {'the task' if self.channels else repr(first)}: name the "
                    "channels that all recordings share under `channels`."
                )
        return names

    def _named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table of recordings with the person in place of the case."""
        case = table["subject"].astype(str)
        return table.assign(case=case, subject=[self._person(c) for c in case])

    def _person(self, case: str) -> str:
        """Return who somebody is, who may be called so under a third name."""
        met = [case]
        while (name := self.people.get(met[-1], met[-1])) != met[-1]:
            if name in met:
                raise UsageError(
                    f"The task's people go in a circle, {' → '.join([*met, name])}: end it at one name."
                )
            met.append(name)
        return met[-1]

    def _meta(self, row: pd.Series, cuts: list[Cut], tiling: Tiling) -> pd.DataFrame:
        """Return one row a window of a recording."""
        about = {c: row[c] for c in ("session", "run", "fingerprint", *ORIGIN)}
        case = str(row["subject"])
        about |= {"subject": self._person(case), "case": case, "recording": row["id"]}
        onset = [cut.start / tiling.sfreq for cut in cuts]
        columns = [*COLUMNS, *ORIGIN, "case"]
        return pd.DataFrame({"onset": onset, **about}, columns=columns, index=range(len(cuts)))


def _check_present(reader: WindowReader, id: str) -> None:
    plan = reader.sensors(id).plan
    if not plan.present.all():
        raise UsageError(
            f"The recording {id} lacks {', '.join(plan.lost)} of the task's view, and trials have "
            "all channels; choose a view that every recording gives, or `lacking: leave out`."
        )


def _of_kinds(sensors: Sensors, kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(n for n, k in zip(sensors.names, sensors.kind, strict=True) if k in kinds)
