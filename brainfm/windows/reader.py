"""Reads windows of chosen sensors from a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.recordings.recording import Sensors
from brainfm.store.read import Store, open_store
from brainfm.store.signals import Wanted
from brainfm.windows.collate import Description, empty_signal, join
from brainfm.windows.interpolation import Interpolate
from brainfm.windows.people import is_copy
from brainfm.windows.plan import Plan
from brainfm.windows.sampler import Place
from brainfm.windows.views import Chain, Native, OfKinds, View

__all__ = ["Interpolate", "Selection", "WindowReader"]  # YAML may name any view


@dataclass(frozen=True)
class Selection:
    """Which recordings and sensors of a store are used.

    Attributes
    ----------
    store
        the store.
    kinds
        sensor kinds to read (names of `brainfm.contracts.Kind`).
    subjects
        subjects to use; all where None.
    exclude_subjects
        subjects to leave out, for instance those that an evaluation tests.
    datasets
        names of the recipes whose recordings are used; all where None.
    view
        the channels that windows are to have, such as ``Tcp``; as recorded where None.
    """

    store: Path
    kinds: tuple[str, ...] = ("eeg",)
    subjects: tuple[str, ...] | None = None
    exclude_subjects: tuple[str, ...] = ()
    datasets: tuple[str, ...] | None = None
    view: View | None = None

    def reader(self) -> WindowReader:
        """Return what reads windows of this selection."""
        return WindowReader(self.store, self.kinds, self.view or Native())

    def table(self, store: Store) -> pd.DataFrame:
        """Return the chosen recordings, each content once: the first of those that are chosen.

        Raises
        ------
        UsageError
            If a named subject or data set is not in the store, or nothing is left.
        """
        table = store.table
        self._check_known(
            "Subjects", (*(self.subjects or ()), *self.exclude_subjects), table["subject"]
        )
        self._check_known("Data sets", self.datasets or (), table["dataset"])
        wanted = ~table["subject"].isin(self.exclude_subjects)
        # What is left out does not come in by another name.
        wanted &= ~table["fingerprint"].isin(table.loc[~wanted, "fingerprint"])
        for column, chosen in (("subject", self.subjects), ("dataset", self.datasets)):
            if chosen is not None:
                wanted &= table[column].isin(chosen)
        wanted &= table["kinds"].map(lambda kinds: bool(set(kinds.split(",")) & set(self.kinds)))
        if not len(table):
            raise UsageError(
                f"The store {self.store} has no recording; `brainfm status {self.store}` says why."
            )
        if not wanted.any():
            raise UsageError(
                f"No recording of {self.store} has sensors of the kinds {list(self.kinds)} "
                f"(it has {sorted(set(','.join(table['kinds']).split(',')))}) for the chosen "
                "subjects and data sets; choose others."
            )
        chosen = table[wanted]
        return chosen[~is_copy(chosen)].reset_index(drop=True)

    def _check_known(self, what: str, named: Sequence[str], there: pd.Series) -> None:
        known = set(there)
        if unknown := sorted(set(named) - known):
            raise UsageError(
                f"{what} {unknown} are not in {self.store}, which has {sorted(known)}; correct the list."
            )


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is read of a recording.

    Attributes
    ----------
    rows
        the channels that are read; a slice where they stand side by side, which is faster.
    matrix
        (channel, row) makes the channels of what is read, or None where they are the same.
    plan
        how they are made of all channels, and what is missing.
    description
        the channels as a `Batch` has them.
    """

    rows: slice | list[int]
    matrix: Float32[np.ndarray, "channel row"] | None
    plan: Plan
    description: Description

    @property
    def sensors(self) -> Sensors:
        """The channels."""
        return self.plan.sensors


@dataclass(frozen=True, eq=False)
class WindowReader:
    """Reads batches from a store; may be sent to another process, where it opens the store anew.

    Attributes
    ----------
    path
        the store, or its URL.
    kinds
        sensor kinds to read.
    view
        the channels to make of those.
    """

    path: Path | str
    kinds: tuple[str, ...]
    view: View = field(default_factory=Native)
    _chosen: dict[str, Chosen] = field(default_factory=dict, repr=False)
    _known: dict[bytes, Chosen] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[type[WindowReader], tuple[Path | str, tuple[str, ...], View]]:
        # Open files stay behind: they do not survive a change of process.
        return type(self), (self.path, self.kinds, self.view)

    @cached_property
    def store(self) -> Store:
        """The store, opened on first use in each process."""
        return open_store(self.path)

    def sensors(self, recording: str) -> Chosen:
        """Return what is read of a recording."""
        if recording not in self._chosen:
            every = self.store.sensors(recording)
            # Most recordings of a data set have the same sensors, which are then kept once.
            key = repr((every.names, every.kind, every.reference, every.bad)).encode()
            key += every.position.tobytes() + every.orientation.tobytes()
            if key not in self._known:
                self._known[key] = self._choose(every, f"The recording {recording}")
            self._chosen[recording] = self._known[key]
        return self._chosen[recording]

    def plans(self, recordings: Iterable[str]) -> dict[str, Plan]:
        """Return how the view is made of each recording.

        Raises
        ------
        UsageError
            If one of them cannot give it.
        """
        return {recording: self.sensors(recording).plan for recording in recordings}

    def _choose(self, every: Sensors, where: str) -> Chosen:
        plan = Chain((OfKinds(self.kinds), self.view)).plan(every, where=where)
        rows, matrix = plan.rows, None
        if rows is None:
            used = plan.matrix.any(axis=0)
            rows, matrix = np.flatnonzero(used).tolist(), plan.matrix[:, used]
        rows = list(rows)
        side_by_side = rows and rows == list(range(rows[0], rows[-1] + 1))
        return Chosen(
            slice(rows[0], rows[-1] + 1) if side_by_side else rows,
            matrix,
            plan,
            Description.of(plan.sensors, plan.present),
        )

    def read(self, places: Sequence[Place], sfreq: float) -> Batch:
        """Read windows of one length into one batch."""
        chosen = [self.sensors(place.recording) for place in places]
        n_channels = [len(c.sensors) for c in chosen]
        signal = empty_signal(n_channels, places[0].stop - places[0].start)
        made = [out[:n] for out, n in zip(signal, n_channels, strict=True)]
        read = [
            out if c.matrix is None else np.empty((c.matrix.shape[1], out.shape[1]), np.float32)
            for c, out in zip(chosen, made, strict=True)
        ]
        self.store.read_into(
            [
                Wanted(p.recording, p.start, p.stop, c.rows, into)
                for p, c, into in zip(places, chosen, read, strict=True)
            ]
        )
        for c, rows, out in zip(chosen, read, made, strict=True):
            if c.matrix is not None:
                np.matmul(c.matrix, rows, out=out)
        return join(
            signal,
            [c.description for c in chosen],
            sfreq=sfreq,
            recording=[p.recording for p in places],
            onset=[p.start / sfreq for p in places],
        )
