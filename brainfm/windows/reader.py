"""Reads windows of chosen sensors from a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.recordings.recording import Sensors
from brainfm.store.read import Store, open_store
from brainfm.store.signals import Wanted
from brainfm.windows.collate import Description, empty_signal, join
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
class Chosen:
    """What is read of a recording.

    Attributes
    ----------
    rows
        the channels; a slice where they stand side by side, which is faster.
    sensors
        of those channels.
    description
        the same as a `Batch` has it.
    """

    rows: slice | list[int]
    sensors: Sensors
    description: Description


@dataclass(frozen=True, eq=False)
class WindowReader:
    """Reads batches from a store; may be sent to another process, where it opens the store anew.

    Attributes
    ----------
    path
        the store, or its URL.
    kinds
        sensor kinds to read.
    """

    path: Path | str
    kinds: tuple[str, ...]
    _chosen: dict[str, Chosen] = field(default_factory=dict, repr=False)
    _known: dict[bytes, Chosen] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[type[WindowReader], tuple[Path | str, tuple[str, ...]]]:
        # Open files stay behind: they do not survive a change of process.
        return type(self), (self.path, self.kinds)

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
            self._chosen[recording] = self._known.setdefault(key, self._choose(every))
        return self._chosen[recording]

    def _choose(self, every: Sensors) -> Chosen:
        rows = [i for i, kind in enumerate(every.kind) if kind in self.kinds]
        side_by_side = rows and rows == list(range(rows[0], rows[-1] + 1))
        sensors = every.pick(rows)
        return Chosen(
            slice(rows[0], rows[-1] + 1) if side_by_side else rows,
            sensors,
            Description.of(sensors),
        )

    def read(self, places: Sequence[Place], sfreq: float) -> Batch:
        """Read windows of one length into one batch."""
        chosen = [self.sensors(place.recording) for place in places]
        n_channels = [len(c.sensors) for c in chosen]
        signal = empty_signal(n_channels, places[0].stop - places[0].start)
        self.store.read_into(
            [
                Wanted(p.recording, p.start, p.stop, c.rows, out[:n])
                for p, c, out, n in zip(places, chosen, signal, n_channels, strict=True)
            ]
        )
        return join(
            signal,
            [c.description for c in chosen],
            sfreq=sfreq,
            recording=[p.recording for p in places],
            onset=[p.start / sfreq for p in places],
        )
