"""How well features tell subjects apart, beside how well they tell the label.

Features that know people may answer a label by whom they see, even on a split by subject ("The Identity
Trap", arXiv 2606.06647). Windows of a recording resemble each other for many reasons, so a recording never
stands on both sides, and the spread of recordings, not of windows, is what subjects are compared with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from brainfm.evaluation.intervals import NOTHING, Interval, leave_out
from brainfm.evaluation.jackknife import SHARE, jackknife, shown_by
from brainfm.evaluation.records import FoldRecord
from brainfm.windows.splits import Fold
from brainfm.windows.trials import Trials

logger = logging.getLogger(__name__)

PER_RECORDING = 20  # windows of each recording and label that are looked at, evenly spread

Values = Float64[np.ndarray, "trial dim"]


@dataclass(frozen=True)
class Identity:
    """What an estimator's features tell of subjects and of labels; NaN where it cannot be said.

    Attributes
    ----------
    n_subjects
        subjects with two recordings or more, whom the first three values are about.
    subject_accuracy, subject_chance
        balanced accuracy of naming the subject in recordings that were not learned from, by shrinkage
        LDA, learning from every other recording of each subject and the other way round; and 1 over the
        number of subjects.
    subject_low, subject_high
        95 % interval of that accuracy over subjects, for the classifiers as learned.
    subject_ratio
        variance between subjects over that between recordings of a subject (F): 1 where a subject's
        recordings are no more alike than anybody's.
    label_accuracy, label_chance
        balanced accuracy of naming the label in test subjects, whom neither the features nor the same
        classifier, which learns from all others, have learned from; and 1 over the number of classes.
    label_low, label_high
        95 % interval of that accuracy over subjects, for the classifier as learned.
    label_ratio
        variance between labels over that between the windows' means of a recording and label (F), in
        those subjects.
    """

    n_subjects: int
    subject_accuracy: float
    subject_low: float
    subject_high: float
    subject_chance: float
    subject_ratio: float
    label_accuracy: float
    label_low: float
    label_high: float
    label_chance: float
    label_ratio: float


@dataclass(frozen=True)
class Named:
    """How well something was named: balanced accuracy, and its interval over subjects."""

    accuracy: float
    interval: Interval = NOTHING


def check_identity(fitted: Any, trials: Trials, fold: Fold) -> Identity | None:
    """Return what the features of a fitted estimator tell, or None where it gives none.

    Parameters
    ----------
    fitted
        anything with ``transform``, or a pipeline whose steps before the last have it.
    trials
        of all subjects, also those that were tested: nothing is chosen by it.
    fold
        on which it was fitted.
    """
    chosen = trials.take(_spread(trials.meta, trials.y))
    # Numbers are no labels to be told apart: of those, only the subjects are looked at.
    label = chosen.y if trials.classes else np.full(len(chosen), "")
    try:
        features = _features(fitted, chosen.X)
        if features is None:
            return None
        return measure_identity(features, label, chosen.meta, unseen=_unseen(fold, chosen.meta))
    except Exception as error:  # a diagnosis must not cost the fold, whatever an estimator gives
        logger.warning(
            "%s gives no features for the identity check: %s", type(fitted).__name__, error
        )
        return None


def measure_identity(
    features: Values, y: np.ndarray, meta: pd.DataFrame, *, unseen: Bool[np.ndarray, " trial"]
) -> Identity:
    """Return what features tell of subjects and of labels.

    Parameters
    ----------
    features
        (trial, dim).
    y
        (trial,) label of each.
    meta
        with the columns subject and recording.
    unseen
        whether it is of a subject whose labels the features were not learned from. Features that were
        fitted on labels tell those of the subjects fitted on, whatever a classifier leaves out later.
    """
    X = StandardScaler().fit_transform(features)
    subject, recording = (meta[c].to_numpy(dtype=str) for c in ("subject", "recording"))
    order = recording_number(subject, recording)
    often = np.isin(subject, subject[order > 0])
    n_subjects, n_labels = len(np.unique(subject[often])), len(np.unique(y))
    cell = np.char.add(np.char.add(recording, "\n"), y)
    people = _name_people(X[often], subject[often], order[often] % 2)
    who = judge(subject[often], people, subject[often])
    new, true = subject[unseen], y[unseen]
    labels = _name(X, y, ~unseen) if len(np.unique(true)) > 1 else None
    what = judge(true, labels, new, shown=shown_by(true, new))
    return Identity(
        n_subjects=n_subjects,
        subject_accuracy=who.accuracy,
        subject_low=who.interval.low,
        subject_high=who.interval.high,
        subject_chance=1 / n_subjects if n_subjects > 1 else float("nan"),
        subject_ratio=variance_ratio(X[often], subject[often], recording[often]),
        label_accuracy=what.accuracy,
        label_low=what.interval.low,
        label_high=what.interval.high,
        label_chance=1 / n_labels if n_labels > 1 else float("nan"),
        label_ratio=variance_ratio(X[unseen], true, cell[unseen]),
    )


def variance_ratio(features: Values, group: np.ndarray, unit: np.ndarray) -> float:
    """Return the F ratio of groups over the means of units, numerators and denominators averaged.

    Parameters
    ----------
    features
        (trial, dim).
    group, unit
        (trial,) of each; a unit lies in one group.
    """
    names, first, place = np.unique(unit, return_index=True, return_inverse=True)
    groups, label = np.unique(group[first], return_inverse=True)
    if len(groups) < 2 or len(names) == len(groups):
        return float("nan")
    means = np.stack([features[place == i].mean(0) for i in range(len(names))])
    centres = np.stack([means[label == g].mean(0) for g in range(len(groups))])
    size = np.bincount(label)[:, None]
    between = (size * (centres - means.mean(0)) ** 2).sum() / (len(groups) - 1)
    within = ((means - centres[label]) ** 2).sum() / (len(names) - len(groups))
    return float(between / within) if within > 0 else float("nan")


def identity_table(records: Sequence[FoldRecord]) -> pd.DataFrame:
    """Return one row an estimator and seed, as far as there is something to say."""
    told = [r for r in records if r.identity is not None]
    about = [{"task": r.task, "estimator": r.estimator, "seed": r.seed} for r in told]
    rows = [a | dict(r.identity or {}) for a, r in zip(about, told, strict=True)]
    return pd.DataFrame(rows)


def as_record(found: Identity | None) -> dict[str, float | None] | None:
    """Return the check's values as JSON can hold them."""
    if found is None:
        return None
    return {k: float(v) if np.isfinite(v) else None for k, v in asdict(found).items()}


def recording_number(subject: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """Return the number of each trial's recording among those of its subject, from 0."""
    pairs = pd.DataFrame({"subject": subject, "recording": recording})
    return pairs.groupby("subject")["recording"].rank("dense").to_numpy(dtype=int) - 1


def _spread(meta: pd.DataFrame, y: np.ndarray) -> Bool[np.ndarray, " trial"]:
    """Choose windows evenly spread over each recording and label."""
    cells = pd.Series(np.arange(len(meta))).groupby([meta["recording"].to_numpy(), y])
    keep = np.zeros(len(meta), bool)
    for rows in cells.indices.values():
        count = min(len(rows), PER_RECORDING)
        keep[rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]] = True
    return keep


def _features(fitted: Any, X: Any) -> Values | None:
    """Return a row a window of what the last step of an estimator is given, or gives."""
    if isinstance(fitted, Pipeline) and len(fitted) > 1:
        fitted = fitted[:-1]
    if not hasattr(fitted, "transform"):
        return None
    features = np.asarray(fitted.transform(X), dtype=np.float64)
    return features.reshape(len(features), -1)


def _unseen(fold: Fold, meta: pd.DataFrame) -> Bool[np.ndarray, " trial"]:
    """Say which windows are of test subjects of whom no window was fitted or chosen on."""
    subject = meta["subject"].to_numpy(dtype=str)
    seen = fold.rows("train", meta) | fold.rows("validation", meta)
    return np.isin(subject, np.setdiff1d(subject[fold.rows("test", meta)], subject[seen]))


def _name_people(X: Values, subject: np.ndarray, half: np.ndarray) -> np.ndarray | None:
    """Return whom each half's windows were taken for after learning from the other; None without two."""
    named = np.empty(len(subject), dtype=subject.dtype)
    for learned in (half == 0, half == 1):
        found = _name(X, subject, learned)
        if found is None:
            return None
        named[~learned] = found
    return named


def _name(X: Values, y: np.ndarray, learned: Bool[np.ndarray, " trial"]) -> np.ndarray | None:
    """Return what the other windows were taken for; None without two things, and two of one, to learn."""
    if not 2 <= len(np.unique(y[learned])) < learned.sum():
        return None
    model = make_pipeline(
        StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    )
    return model.fit(X[learned], y[learned]).predict(X[~learned])


def judge(
    y: np.ndarray,
    predicted: np.ndarray | None,
    subject: np.ndarray,
    *,
    shown: Bool[np.ndarray, "subject class"] | None = None,
) -> Named:
    """Return the balanced accuracy of what was named, and its interval by leaving out each subject.

    Parameters
    ----------
    y, predicted
        (trial,) true and named; None where nothing could be named.
    subject
        (trial,) of each.
    shown
        which classes each subject shows; None where a subject is a class.
    """
    if predicted is None:
        return Named(float("nan"))
    names, label = np.unique(y, return_inverse=True)
    people, place = np.unique(subject, return_inverse=True)
    count, right = (np.zeros((len(names), len(people))) for _ in range(2))
    np.add.at(count, (label, place), 1)
    np.add.at(right, (label, place), predicted == y)
    if len(people) < 2:
        return Named(float((right.sum(axis=1) / count.sum(axis=1)).mean()))
    weights = leave_out(len(people)).T
    there = (below := count @ weights) > 0
    recall = np.where(there, (right @ weights) / np.where(there, below, 1), 0)
    values = recall.sum(axis=0) / there.sum(axis=0)
    return Named(float(values[0]), jackknife(values[None], SHARE, shown=shown))
