"""Which condition each moment of a recording belongs to, where anything on disk says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from brainfm.store import Store

MOST = 6
"""More labels than this are no conditions, but notes."""


@dataclass(frozen=True)
class Conditions:
    """The conditions and where they lie.

    Attributes
    ----------
    names
        sorted; empty where nothing tells recordings or moments apart.
    origin
        where they are known from, in words.
    spans
        by recording, (start, stop, index of the name) in seconds.
    """

    names: tuple[str, ...]
    origin: str
    spans: dict[str, tuple[tuple[float, float, int], ...]]

    def of(self, recording: str) -> str:
        """Return the one condition of a whole recording, or nothing."""
        spans = self.spans.get(recording, ())
        whole = len(spans) == 1 and spans[0][0] == 0 and np.isinf(spans[0][1])
        return self.names[spans[0][2]] if whole else ""

    def at(self, recording: str, times: Float[np.ndarray, " time"]) -> Int[np.ndarray, " time"]:
        """Return the index of the condition at each time in seconds, −1 where there is none."""
        found = np.full(len(times), -1)
        for start, stop, index in self.spans.get(recording, ()):
            found[(times >= start) & (times < stop)] = index
        return found


def find_conditions(store: Store, predictions: pd.DataFrame, seconds: float | None) -> Conditions:
    """Take the task's own labels, else the recordings' tasks, else their annotations.

    Parameters
    ----------
    store
        the recordings.
    predictions
        whose y_true is the label of a window; may be empty.
    seconds
        how long such a window is, or None where that is not known.
    """
    for origin, labels in (
        ("the labels of the task", _of_windows(store, predictions, seconds)),
        ("the task of each recording", _of_recordings(store)),
        ("annotations", _of_annotations(store)),
    ):
        names = tuple(sorted({name for spans in labels.values() for *_, name in spans}))
        if 2 <= len(names) <= MOST:
            spans = {
                id: tuple((a, b, names.index(name)) for a, b, name in found)
                for id, found in labels.items()
            }
            return Conditions(names, origin, spans)
    return Conditions((), "", {})


_Spans = dict[str, list[tuple[float, float, str]]]


def _of_windows(store: Store, predictions: pd.DataFrame, seconds: float | None) -> _Spans:
    if not {"recording", "onset", "y_true"} <= set(predictions.columns) or "y_pred" in predictions:
        return {}  # numbers are no conditions
    known = set(store.table["id"])
    windows = predictions[["recording", "onset", "y_true"]].drop_duplicates()
    spans: _Spans = {}
    for id, rows in windows.groupby("recording"):
        labels = set(rows["y_true"])
        if str(id) not in known:
            continue
        if len(labels) == 1:
            spans[str(id)] = [(0.0, np.inf, str(labels.pop()))]
        else:
            onsets = rows["onset"].astype(float)
            length = seconds or float(onsets.sort_values().diff().median())
            spans[str(id)] = [
                (a, a + length, str(y)) for a, y in zip(onsets, rows["y_true"], strict=True)
            ]
    return spans


def _of_recordings(store: Store) -> _Spans:
    pairs: list[tuple[str, Any]] = list(zip(store.table["id"], store.table["task"], strict=True))
    return {id: [(0.0, np.inf, task)] for id, task in pairs if isinstance(task, str) and task}


def _of_annotations(store: Store) -> _Spans:
    spans: _Spans = {}
    for id in store.table["id"]:
        marks = store.annotations(id)
        spans[id] = [
            (float(a), float(a + d), name)
            for a, d, name in zip(marks.onset, marks.duration, marks.description, strict=True)
            if d > 0
        ]
    return spans
