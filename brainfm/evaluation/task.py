"""What is to be told apart, in which recordings, in windows of what length."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainfm.errors import UsageError
from brainfm.evaluation.measures import Measure
from brainfm.evaluation.metrics import METRICS, check_metrics
from brainfm.recordings.recording import Annotations, Sensors
from brainfm.store.read import Store, open_store
from brainfm.windows.plan import Plan
from brainfm.windows.trials import COLUMNS, Trials
from brainfm.windows.views import Chain, Native, OfKinds, View

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """A stretch of a recording with one label, in seconds from the recording's start."""

    start: float
    stop: float
    label: str


class Labels(ABC):
    """Where the labels of a task come from."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given."""

    @abstractmethod
    def selects(self, row: pd.Series) -> bool:
        """Say from its row in the store's table whether a recording belongs to the task."""

    @abstractmethod
    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the labelled stretches of a recording that belongs to the task."""


@dataclass(frozen=True)
class RecordingLabels(Labels):
    """The whole recording has one label, read from a column of the store's table.

    Attributes
    ----------
    column
        such as run, task or session.
    classes
        name of the class by the column's value, such as ``{"1": rest}``; recordings with other
        values are not part of the task. Numbers match with and without leading zeros.
    """

    column: str
    classes: dict[str, str]

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given."""
        return tuple(dict.fromkeys(self.classes.values()))

    def selects(self, row: pd.Series) -> bool:
        """Say whether the recording's value is one of those named."""
        if self.column not in row.index:
            raise UsageError(
                f"The store's table has no column {self.column!r}: choose from {list(row.index)}."
            )
        return _plain(row[self.column]) in {_plain(value) for value in self.classes}

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return the whole recording."""
        named = {_plain(value): label for value, label in self.classes.items()}
        return [Span(0.0, row["n_times"] / row["sfreq"], named[_plain(row[self.column])])]


@dataclass(frozen=True)
class AnnotationLabels(Labels):
    """Trials around annotations, in the recordings that have them.

    Attributes
    ----------
    classes
        name of the class by the annotation's description, such as ``{T1: left}``; other annotations
        are not part of the task.
    tmin
        start of a trial in seconds after the annotation's onset.
    tmax
        end of a trial in seconds after the annotation's onset.
    runs
        only recordings of these runs, or None for all.
    """

    classes: dict[str, str]
    tmin: float
    tmax: float
    runs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.tmin >= self.tmax:
            raise UsageError(
                f"Trials from {self.tmin} s to {self.tmax} s: let tmin be before tmax."
            )

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order given."""
        return tuple(dict.fromkeys(self.classes.values()))

    def selects(self, row: pd.Series) -> bool:
        """Say whether the recording is of a run that was asked for."""
        return self.runs is None or _plain(row["run"]) in {_plain(r) for r in self.runs}

    def spans(self, row: pd.Series, annotations: Annotations) -> list[Span]:
        """Return one stretch an annotation that has a class."""
        return [
            Span(float(onset) + self.tmin, float(onset) + self.tmax, self.classes[text])
            for onset, text in zip(annotations.onset, annotations.description, strict=True)
            if text in self.classes
        ]


@dataclass(frozen=True)
class Task:
    """A classification of windows, as a YAML file names it.

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
        what is measured.
    view
        the channels to make of those of ``kinds``, such as ``Tcp``; as recorded where None.
    dataset
        name of the recipe whose recordings belong to the task, where the store has others; None for
        all.
    measures
        what is measured beside: ``Calibration``, ``SeizureEvents``, ``Hypnograms``, or a class of your
        own; ``Calibration`` where none is named.
    """

    name: str
    store: Path
    label: Labels
    seconds: float
    step: float | None = None
    kinds: tuple[str, ...] = ("eeg",)
    channels: tuple[str, ...] | None = None
    metrics: tuple[str, ...] = tuple(METRICS)
    view: View | None = None
    dataset: str | None = None
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        check_metrics(self.metrics)
        if self.seconds <= 0 or (self.step is not None and self.step <= 0):
            raise UsageError(
                f"Windows of {self.seconds} s every {self.step} s: give lengths above 0."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of two, the second is the positive one."""
        return self.label.names()

    def load(self) -> Trials:
        """Cut the windows of all recordings of the task, in the order of the store's table.

        Copies of a recording (``duplicate_of``) are left out, and so are stretches that pass the
        end of a recording; both are logged.

        Raises
        ------
        UsageError
            When no recording or no window has a class, when recordings differ in channels or
            sampling rate (nothing is padded or resampled), or when a wanted channel is missing.
        """
        store = open_store(self.store)
        rows = self._recordings(store)
        plans = {row["id"]: self._plan(store.sensors(row["id"]), row["id"]) for row in rows}
        sensors = {id: plan.sensors for id, plan in plans.items()}
        picks = self._channels(rows, sensors)
        parts = [self._cut(store, row, plans[row["id"]], picks[row["id"]]) for row in rows]
        X = np.concatenate([x for x, _ in parts])
        meta = pd.concat([m for _, m in parts], ignore_index=True)
        y = meta.pop("label").to_numpy(dtype=str)
        if absent := sorted(set(self.classes) - set(y)):
            raise UsageError(
                f"No window of class {absent} in {self.store}: check the labels of task "
                f"{self.name!r} against the store with `brainfm status`."
            )
        first = rows[0]["id"]
        return Trials(X, y, meta, sensors[first].pick(picks[first]), float(rows[0]["sfreq"]))

    def _plan(self, sensors: Sensors, id: str) -> Plan:
        """Return how the view is made of a recording; trials cannot say that a channel is absent."""
        if self.view is None:
            return Native().plan(sensors)
        view = Chain((OfKinds(self.kinds), self.view))
        plan = view.plan(sensors, where=f"The recording {id}")
        if not plan.present.all():
            raise UsageError(
                f"The recording {id} lacks {', '.join(plan.lost)} of the task's view, and trials have "
                "all channels; choose a view that every recording gives."
            )
        return plan

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
        unique = [row for row in rows if not _given(row["duplicate_of"])]
        if len(unique) < len(rows):
            logger.warning("%d copies of recordings are left out", len(rows) - len(unique))
        rates = {float(row["sfreq"]): row["id"] for row in unique}
        if len(rates) > 1:
            raise UsageError(
                f"Recordings of different sampling rates {rates}: ingest them with one rate."
            )
        return unique

    def _channels(self, rows: list[pd.Series], sensors: dict[str, Sensors]) -> dict[str, list[int]]:
        """Return where the task's channels are in each recording."""
        first = rows[0]["id"]
        names = self.channels or _of_kinds(sensors[first], self.kinds)
        if not names:
            raise UsageError(
                f"Recording {first!r} has no channel of kind {list(self.kinds)}: it has "
                f"{sorted(set(sensors[first].kind))}."
            )
        for row in rows:
            there = sensors[row["id"]].names
            found = there if self.channels else _of_kinds(sensors[row["id"]], self.kinds)
            missing = sorted(set(names) - set(found))
            further = sorted(set(found) - set(names)) if self.channels is None else []
            if missing or further:
                raise UsageError(
                    f"Recording {row['id']!r} lacks the channels {missing} and has {further} "
                    f"besides those of {'the task' if self.channels else repr(first)}: name the "
                    "channels that all recordings share under `channels`."
                )
        return {i: [s.names.index(n) for n in names] for i, s in sensors.items()}

    def _cut(
        self, store: Store, row: pd.Series, plan: Plan, picks: list[int]
    ) -> tuple[Any, pd.DataFrame]:
        """Return the windows of one recording with a row of meta each."""
        sfreq, length = row["sfreq"], round(self.seconds * row["sfreq"])
        step = round((self.step or self.seconds) * sfreq)
        windows, left_out = [], 0
        for span in self.label.spans(row, store.annotations(row["id"])):
            first, last = round(span.start * sfreq), round(span.stop * sfreq)
            if first < 0 or last > row["n_times"]:
                left_out += 1
                continue
            windows += [(s, span.label) for s in range(first, last - length + 1, step)]
        if left_out:
            logger.warning("%d trials pass the ends of recording %s", left_out, row["id"])
        about = {c: row[c] for c in ("subject", "session", "run", "fingerprint", "dataset")}
        columns = [*COLUMNS, "dataset", "label"]
        meta = pd.DataFrame(
            [{"recording": row["id"], "onset": s / sfreq, "label": w, **about} for s, w in windows],
            columns=columns,
        )
        X = np.empty((len(windows), len(picks), length), np.float32)
        if windows:
            start, stop = min(s for s, _ in windows), max(s for s, _ in windows) + length
            signal = plan.apply(store.read(row["id"], start, stop))[picks]
            for x, (s, _) in zip(X, windows, strict=True):
                x[:] = signal[:, s - start : s - start + length]
        return X, meta


def _of_kinds(sensors: Sensors, kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(n for n, k in zip(sensors.names, sensors.kind, strict=True) if k in kinds)


def _given(value: Any) -> bool:
    """Say whether a cell of the table holds a value."""
    return value is not None and not pd.isna(value) and value != ""


def _plain(value: Any) -> str:
    """Return a label without leading zeros, as BIDS counts 1 and 01 the same."""
    text = str(value)
    return text.lstrip("0") or "0" if text.isdigit() else text
