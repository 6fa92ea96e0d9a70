"""Labelled windows of equal length and equal channels: what an estimator is fitted on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int

from brainfm.errors import UsageError
from brainfm.recordings.recording import Sensors
from brainfm.windows.people import known_of
from brainfm.windows.splits import Fold
from brainfm.windows.stored import StoredWindows

COLUMNS = ("recording", "subject", "session", "run", "onset", "fingerprint")


@dataclass(frozen=True, eq=False)
class Trials:
    """Windows with a label each, in MNE's and MOABB's array layout.

    Attributes
    ----------
    X
        (trial, channel, time) float32, SI units as in MNE: V, T or T/m by sensor kind; an array, or what
        reads it from the store as it is asked for.
    y
        (trial,) name of the class of each window, as strings; or a number to predict, as floats.
    meta
        one row a trial with the columns recording, subject, session, run, onset (seconds from the
        start of the recording) and fingerprint (of the recording's content).
    sensors
        the channels of ``X``, in its order.
    sfreq
        sampling rate in Hz.
    recordings
        all recordings of the store, also those without a trial, with the columns of `people.WHO`: who else
        a subject is. No row where the trials are of no store.

    Raises
    ------
    UsageError
        When the parts do not fit each other, or ``X`` or the numbers hold NaN or infinity.
    """

    X: Float32[np.ndarray, "trial channel time"] | StoredWindows
    y: np.ndarray
    meta: pd.DataFrame
    sensors: Sensors
    sfreq: float
    recordings: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        lengths = {"X": len(self.X), "y": len(self.y), "meta": len(self.meta)}
        if len(set(lengths.values())) != 1:
            raise UsageError(
                f"Trials of unequal lengths {lengths}: give one label and row a window."
            )
        if self.X.shape[1] != len(self.sensors):
            raise UsageError(
                f"X has {self.X.shape[1]} channels but there are {len(self.sensors)} sensors: "
                "give one sensor a channel of X, in its order."
            )
        if missing := [c for c in COLUMNS if c not in self.meta.columns]:
            raise UsageError(f"Trials without {missing} in meta: give all of {list(COLUMNS)}.")
        if self.y.dtype.kind not in "Uf":
            raise UsageError(
                f"Labels of dtype {self.y.dtype}: name the classes, as an array of str, or give numbers "
                "as floats."
            )
        if self.y.dtype.kind == "f" and not np.isfinite(self.y).all():
            raise UsageError("The numbers to predict hold NaN or infinity: leave such windows out.")
        if isinstance(self.X, np.ndarray) and not np.isfinite(self.X).all():
            bad = int((~np.isfinite(self.X).all(axis=(1, 2))).sum())
            raise UsageError(f"{bad} windows hold NaN or infinity: clean the recordings first.")

    def __len__(self) -> int:
        return len(self.X)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted as scikit-learn sorts them; none where numbers are predicted."""
        return tuple(str(c) for c in np.unique(self.y)) if self.y.dtype.kind == "U" else ()

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.X.shape[2] / self.sfreq

    @property
    def table(self) -> pd.DataFrame:
        """``meta`` with what splits need besides: each window's label, and its length in seconds."""
        return self.meta.assign(label=self.y, seconds=self.seconds)

    def known(self, rows: Bool[np.ndarray, " trial"] | slice = slice(None)) -> pd.DataFrame:
        """Return all recordings of the people in some of the trials, under all their names.

        Those that only the store has come along: copies, other runs and other data sets of a person.

        Parameters
        ----------
        rows
            of the trials; all of them where not given.
        """
        return known_of(self.meta.loc[rows], self.recordings)

    def take(self, rows: Int[np.ndarray, " row"] | Bool[np.ndarray, " trial"]) -> Trials:
        """Return the trials of ``rows``, in their order; what is in the store stays there."""
        meta = self.meta.iloc[rows].reset_index(drop=True)
        X = self.X.take(rows) if isinstance(self.X, StoredWindows) else self.X[rows]
        return replace(self, X=X, y=self.y[rows], meta=meta)

    def of(self, fold: Fold, side: str) -> Trials:
        """Return the trials on one side of a fold: train, validation or test."""
        return self.take(fold.rows(side, self.meta))

    def of_subjects(self, subjects: tuple[str, ...]) -> Trials:
        """Return the trials of these subjects, in the order of the trials."""
        return self.take(self.meta["subject"].isin(subjects).to_numpy(dtype=bool))
