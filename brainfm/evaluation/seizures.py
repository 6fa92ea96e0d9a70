"""Seizures found in whole recordings: sensitivity and false alarms a day, at a locked threshold.

The rules are SzCORE's (`brainfm.evaluation.events`). A threshold is a share of the validation windows that
would be loud, so that estimators and folds with other scales of probability meet; each fold chooses its
own on its validation subjects, and its test subjects are scored once at that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from brainfm.errors import UsageError
from brainfm.evaluation.events import EventRules, Events, EventScores, Scored, operating_point
from brainfm.evaluation.jackknife import AMOUNT
from brainfm.evaluation.measures import Evidence, Measure, Measured, by_subject, over_subjects
from brainfm.evaluation.records import FoldRecord
from brainfm.store.read import open_store
from brainfm.windows.splits import Fold

SHARES = (0.0, *np.geomspace(1e-4, 0.5, 30).tolist())
"""Shares of the validation windows that are loud; the curve has a point a share."""
COVERED = 0.9
"""Least share of a recording that windows must cover: what is not looked at gives no false alarm."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """One recording's true events, and its length in seconds."""

    events: Events
    seconds: float


@dataclass(frozen=True)
class SeizureEvents(Measure):
    """Events found, and false alarms a day, by SzCORE's rules.

    Attributes
    ----------
    annotations
        descriptions of the annotations that are the events.
    false_alarms_a_day
        the threshold is the most sensitive one with no more than so many on the validation subjects.
    rules
        when an alarm belongs to an event; SzCORE's where not given.
    """

    annotations: tuple[str, ...] = ("seizure",)
    false_alarms_a_day: float = 24.0
    rules: EventRules | None = None

    def check(self, evidence: Evidence, folds: Sequence[Fold]) -> None:
        """Refuse tasks without two classes and recordings, and folds without validation events."""
        if len(evidence.classes) != 2:
            raise UsageError(
                f"Events are found or not, and the task has the classes {list(evidence.classes)}: give "
                "two, the event the second."
            )
        recorded = self.recorded(evidence)
        eventful = {name for name, r in recorded.items() if len(r.events)}
        if not eventful:
            raise UsageError(
                f"No recording of the task has an annotation {list(self.annotations)}: name the "
                "descriptions that are events under `annotations`."
            )
        meta = evidence.trials.meta
        for fold in folds:
            held_out = fold.rows("validation", meta)
            _check_covered(meta[held_out | fold.rows("test", meta)], evidence.seconds, recorded)
            if not eventful & set(meta["recording"][held_out]):
                raise UsageError(
                    f"The validation {fold.by}s of fold {fold.index} have no event "
                    f"{list(self.annotations)} to choose a threshold on: put more subjects aside."
                )

    def measure(self, evidence: Evidence, records: Sequence[FoldRecord]) -> Measured:
        """Score every fold's test subjects at every threshold, and at the one that it locked."""
        recorded = self.recorded(evidence)
        rows = [row for record in records for row in self._fold(evidence, record, recorded)]
        table = pd.DataFrame(rows)
        locked = table[table["locked"]]
        events, found, false, seconds = (
            by_subject(locked, name) for name in ("n_events", "n_found", "n_false", "seconds")
        )
        values = (
            over_subjects("sensitivity", found, events),
            over_subjects("false_alarms_a_day", false, seconds / 86_400.0, AMOUNT),
            over_subjects("precision", found, found + false),
            over_subjects("event_f1", 2 * found, events + found + false),
        )
        return Measured(values, {"events": table})

    def recorded(self, evidence: Evidence) -> dict[str, Recorded]:
        """Return the events of every recording that has windows, by the recording's name."""
        if evidence.store is None:
            raise UsageError(
                "Events are annotations of recordings, and these windows come from no store: leave "
                "SeizureEvents out."
            )
        store = open_store(evidence.store)
        length = dict(
            zip(store.table["id"], store.table["n_times"] / store.table["sfreq"], strict=True)
        )
        return {
            name: Recorded(self._events(store.annotations(name), length[name]), float(length[name]))
            for name in pd.unique(evidence.trials.meta["recording"])
        }

    def _events(self, marks: Any, seconds: float) -> Events:
        wanted = np.array([text in self.annotations for text in marks.description], dtype=bool)
        spans = np.stack([marks.onset, marks.onset + marks.duration], axis=1)[wanted]
        inside = spans[spans[:, 0] < seconds].astype(np.float64)
        return np.minimum(inside, seconds)

    def _fold(
        self, evidence: Evidence, record: FoldRecord, recorded: dict[str, Recorded]
    ) -> list[dict[str, Any]]:
        held_out = np.asarray(record.validation_proba)[:, 1]
        validation = _scored(evidence, record.validation, held_out, recorded)
        thresholds = {share: _threshold(held_out, share) for share in SHARES}
        locked = operating_point(
            list(validation.values()), list(dict.fromkeys(thresholds.values())),
            false_alarms_a_day=self.false_alarms_a_day, rules=self.rules,
        )  # fmt: skip
        # Of shares with equal thresholds one alone is locked; all have rows, or folds would drop out of sums.
        chosen = next(share for share, threshold in thresholds.items() if threshold == locked)
        test = _scored(evidence, record.trials, np.asarray(record.proba)[:, 1], recorded)
        meta = evidence.trials.meta.iloc[record.trials]
        subject = dict(zip(meta["recording"], meta["subject"], strict=True))
        found = {t: self._by_subject(test, subject, t) for t in set(thresholds.values())}
        about = {"seed": record.seed, "fold": record.fold}
        return [
            about
            | {
                "loud": share, "threshold": threshold, "locked": share == chosen, "subject": who,
                "n_events": s.n_events, "n_found": s.n_found, "n_false": s.n_false, "seconds": s.seconds,
            }
            for share, threshold in thresholds.items()
            for who, s in found[threshold]
        ]  # fmt: skip

    def _by_subject(
        self, test: dict[str, Scored], subject: dict[str, str], threshold: float
    ) -> list[tuple[str, EventScores]]:
        """Return every subject's scores at a threshold, summed over the subject's recordings."""
        sums: dict[str, EventScores] = {}
        for name, one in test.items():
            scores, who = one.at(threshold, self.rules), subject[name]
            sums[who] = sums[who] + scores if who in sums else scores
        return sorted(sums.items())


def _threshold(score: Float64[np.ndarray, " window"], share: float) -> float:
    """Return the score that a share of the windows reach; above all for none."""
    if not share:
        return float(np.inf)
    return float(np.quantile(score, 1 - share, method="higher"))


def _scored(
    evidence: Evidence, rows: Sequence[int], score: Float64[np.ndarray, " window"], recorded: dict
) -> dict[str, Scored]:
    """Return the windows of each recording beside its events."""
    meta = evidence.trials.meta.iloc[list(rows)]
    name, onset = meta["recording"].to_numpy(dtype=str), meta["onset"].to_numpy(dtype=np.float64)
    scored = {}
    for one in np.unique(name):
        mine = np.flatnonzero(name == one)
        mine = mine[np.argsort(onset[mine], kind="stable")]
        truth = recorded[one]
        scored[str(one)] = Scored(
            score[mine], onset[mine], evidence.seconds, truth.events, truth.seconds
        )
    return scored


def _check_covered(meta: pd.DataFrame, length: float, recorded: dict[str, Recorded]) -> None:
    """Refuse windows that leave much of a recording out: its false alarms cannot be counted."""
    for name, onsets in meta.groupby("recording")["onset"]:
        start = np.sort(onsets.to_numpy(dtype=np.float64))
        seen = np.minimum(np.diff(start, append=np.inf), length).sum()
        if seen < COVERED * recorded[str(name)].seconds - length:
            raise UsageError(
                f"The windows show {seen:.0f} s of the {recorded[str(name)].seconds:.0f} s of {name}, and "
                "false alarms a day are of whole recordings: give labels that lay windows over all of it."
            )
