"""Reads windows of chosen sensors from a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.recordings.recording import Sensors
from brainfm.store.read import Store, open_store
from brainfm.windows.collate import Window, collate
from brainfm.windows.sampler import Place


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
    """

    store: Path
    kinds: tuple[str, ...] = ("eeg",)
    subjects: tuple[str, ...] | None = None
    exclude_subjects: tuple[str, ...] = ()

    def table(self, store: Store) -> pd.DataFrame:
        """Return the chosen recordings, each content once.

        Raises
        ------
        UsageError
            If a named subject is not in the store, or nothing is left.
        """
        table = store.table
        known = set(table["subject"])
        unknown = sorted((set(self.subjects or ()) | set(self.exclude_subjects)) - known)
        if unknown:
            raise UsageError(
                f"Subjects {unknown} are not in {self.store}, which has {sorted(known)}; "
                "correct the list."
            )
        wanted = table["subject"].isin(known if self.subjects is None else self.subjects)
        wanted &= ~table["subject"].isin(self.exclude_subjects)
        wanted &= table["duplicate_of"].isna()
        wanted &= table["kinds"].map(lambda kinds: bool(set(kinds.split(",")) & set(self.kinds)))
        if not wanted.any():
            raise UsageError(
                f"No recording of {self.store} has sensors of the kinds {list(self.kinds)} "
                f"(it has {sorted(set(','.join(table['kinds']).split(',')))}) for the chosen "
                "subjects; choose others."
            )
        return table[wanted].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class WindowReader:
    """Reads batches from a store; may be sent to another process, where it opens the store anew.

    Attributes
    ----------
    path
        the store.
    kinds
        sensor kinds to read.
    """

    path: Path
    kinds: tuple[str, ...]
    _open: dict[str, Store] = field(default_factory=dict, repr=False)
    _sensors: dict[str, tuple[list[int], Sensors]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, object]:
        """Leave open files behind: they do not survive a change of process."""
        return {"path": self.path, "kinds": self.kinds, "_open": {}, "_sensors": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take up the state of `__getstate__`."""
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def store(self) -> Store:
        """The store, opened on first use in each process."""
        if "store" not in self._open:
            self._open["store"] = open_store(self.path)
        return self._open["store"]

    def sensors(self, recording: str) -> tuple[list[int], Sensors]:
        """Return the rows of the chosen kinds in a recording, and their sensors."""
        if recording not in self._sensors:
            every = self.store.sensors(recording)
            rows = [i for i, kind in enumerate(every.kind) if kind in self.kinds]
            self._sensors[recording] = rows, every.pick(rows)
        return self._sensors[recording]

    def read(self, places: Sequence[Place], sfreq: float) -> Batch:
        """Read windows into one batch."""
        windows = []
        for place in places:
            rows, sensors = self.sensors(place.recording)
            signal = self.store.read(place.recording, place.start, place.stop)[rows]
            onset = place.start / sfreq
            windows.append(Window(signal, sensors, sfreq, place.recording, onset))
        return collate(windows)
