"""The one protocol by which everything with ``fit`` and ``predict_proba`` is scored.

Every estimator gets the same folds, by subject, and the same seeds. It is fitted on the training
subjects; the validation subjects are for choosing (a checkpoint, an epoch, a hyper-parameter) and
never fitted on, by anybody, so that no estimator has more training data than another. The test
subjects lie sealed until the fit is over and are opened once.
"""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.base import BaseEstimator

from brainfm.disk import write_whole
from brainfm.errors import UsageError, WorkError
from brainfm.evaluation.measures import Evidence, Measure, measure_all
from brainfm.evaluation.metrics import METRICS, check_metrics, score
from brainfm.evaluation.overlap import check_people, overlap, pretraining_of
from brainfm.evaluation.parameters import filled_in, trained_parameters
from brainfm.evaluation.records import (
    FoldRecord,
    Job,
    fingerprint,
    read_record,
    write_record,
)
from brainfm.evaluation.tables import predictions_table, results_table, statistics_table
from brainfm.tokenizers import TokenCache
from brainfm.windows.splits import Fold, SubjectFolds
from brainfm.windows.trials import Trials

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The tables of an evaluation, which are also in its folder.

    Attributes
    ----------
    results
        one row an estimator, fold, seed and measure.
    predictions
        one row an estimator, seed and test window.
    statistics
        one row an estimator and measure.
    records
        of all folds, done or not.
    """

    results: pd.DataFrame
    predictions: pd.DataFrame
    statistics: pd.DataFrame
    records: tuple[FoldRecord, ...]

    @property
    def failed(self) -> tuple[FoldRecord, ...]:
        """The folds without a result."""
        return tuple(r for r in self.records if not r.done)

    def check_complete(self) -> None:
        """Raise ``WorkError`` where a fold has no result."""
        if not self.failed:
            return
        first = self.failed[0]
        raise WorkError(
            f"{len(self.failed)} folds have no result, the first being fold {first.fold} of "
            f"{first.estimator!r} with seed {first.seed} ({first.error}): mend the cause and run "
            "the same command again, which computes the missing folds only."
        )


class SealedTest:
    """The test windows of a fold, which can be opened once.

    Parameters
    ----------
    trials
        all trials of the task.
    subjects
        the fold's test subjects.
    """

    def __init__(self, trials: Trials, subjects: tuple[str, ...]) -> None:
        self._trials: Trials | None = trials
        self.subjects = subjects
        self.rows = np.flatnonzero(trials.meta["subject"].isin(subjects).to_numpy(dtype=bool))

    def open(self) -> Trials:
        """Return the test trials; a second call raises ``WorkError``."""
        if self._trials is None:
            raise WorkError(
                f"The test subjects {list(self.subjects)} were already opened: a test set is read "
                "once, so choose on validation subjects."
            )
        trials, self._trials = self._trials, None
        return trials.take(self.rows)


def run(
    trials: Trials,
    estimators: Mapping[str, BaseEstimator],
    *,
    folds: SubjectFolds,
    seeds: Sequence[int],
    out: Path,
    task: str = "task",
    metrics: Sequence[str] = tuple(METRICS),
    classes: tuple[str, ...] | None = None,
    reference: str | None = None,
    draws: int = 1000,
    measures: Sequence[Measure] = (),
    store: Path | None = None,
) -> Outcome:
    """Fit and test every estimator on every fold of every seed, and write the tables.

    A fold that is already in ``out/folds`` with the same data, estimator, subjects and seed is not
    computed again. A fold that fails is recorded with its error and does not stop the others.

    Parameters
    ----------
    trials
        labelled windows of all subjects.
    estimators
        by name; never fitted themselves, each fold has a clone. Parameters called ``sfreq``,
        ``sensors``, ``random_state``, ``test_subjects`` and ``cache`` are filled in, at any depth.
    folds
        how the subjects are divided.
    seeds
        each shuffles the folds anew and seeds the estimators.
    out
        folder for ``folds/``, ``results.csv``, ``predictions.csv`` and ``statistics.csv``.
    task
        name of the task in the tables.
    metrics
        names out of `brainfm.evaluation.metrics.METRICS`.
    classes
        the classes in an order of one's own; of two, the second is the positive one. Sorted when
        not given.
    reference
        name of the estimator that the others are compared with, subject by subject.
    draws
        bootstrap draws and permutations.
    measures
        what is measured beside; each leaves a table in ``out``, and ``measures.csv`` sums them up.
    store
        of the recordings, for measures that need more of them than windows.

    Returns
    -------
    outcome
        the tables; ask it to `Outcome.check_complete`.

    Raises
    ------
    UsageError
        Before anything is fitted, when the call cannot work.
    """
    classes = trials.classes if classes is None else classes
    check_call(estimators, seeds=seeds, metrics=metrics, reference=reference)
    _check_classes(trials, classes)
    check_people(trials.meta)
    data = fingerprint(trials)
    jobs = [
        Job(task, data, name, estimator, fold, seed, tuple(metrics), classes)
        for seed in seeds
        for fold in folds.split(trials.meta, seed)
        for name, estimator in estimators.items()
    ]
    evidence = Evidence(trials, classes, store)
    for measure in measures:
        measure.check(evidence, [job.fold for job in jobs])
    cache = TokenCache()
    records = [_recorded(job, trials, out / "folds", cache) for job in _with_progress(jobs)]
    results = results_table(records, metrics)
    predictions = predictions_table(records, trials, classes)
    statistics = statistics_table(
        records, trials, classes, metrics=metrics, reference=reference, draws=draws, seed=seeds[0]
    )
    tables = {"results": results, "predictions": predictions, "statistics": statistics}
    for stem, table in (tables | measure_all(measures, evidence, records)).items():
        write_whole(out / f"{stem}.csv", table.to_csv(index=False).encode())
    return Outcome(results, predictions, statistics, tuple(records))


def fill_in(estimator: BaseEstimator, trials: Trials, seed: int, **further: Any) -> BaseEstimator:
    """Return a clone that knows sampling rate, sensors and seed, wherever it asks for them.

    Every parameter called ``sfreq``, ``sensors``, ``random_state`` or as one of ``further``, also of
    a step inside a pipeline, is set.
    """
    known = {
        "sfreq": trials.sfreq,
        "sensors": trials.sensors,
        "random_state": seed,
        **further,
    }
    return filled_in(estimator, known)


def fit(estimator: Any, trials: Trials, fold: Fold) -> Any:
    """Fit on the training subjects, and hand over the validation subjects to whom takes them.

    They go to an estimator whose ``fit`` has an argument ``validation``, as (X, y).
    """
    train = trials.of_subjects(fold.train)
    if unseen := sorted(set(trials.classes) - set(train.classes)):
        raise UsageError(
            f"The training subjects of fold {fold.index} have no window of {unseen}: use fewer "
            "folds or more subjects."
        )
    if fold.validation and "validation" in inspect.signature(estimator.fit).parameters:
        chosen = trials.of_subjects(fold.validation)
        return estimator.fit(train.X, train.y, validation=(chosen.X, chosen.y))
    return estimator.fit(train.X, train.y)


def _recorded(job: Job, trials: Trials, folder: Path, cache: TokenCache) -> FoldRecord:
    """Return a fold's result from its file, or compute it and write the file."""
    path = folder / f"{job.key}.json"
    record = read_record(path)
    if record is None:
        record = _attempt(job, trials, cache)
        write_record(record, path)
    return record


def _attempt(job: Job, trials: Trials, cache: TokenCache) -> FoldRecord:
    """Compute one fold; a failure becomes a record too, so that it is shown as missing."""
    sealed = SealedTest(trials, job.fold.test)
    validation = np.flatnonzero(
        trials.meta["subject"].isin(job.fold.validation).to_numpy(dtype=bool)
    )
    about: dict[str, Any] = {
        "task": job.task, "estimator": job.name, "fold": job.fold.index, "seed": job.seed,
        "test_subjects": list(job.fold.test), "n_test": len(sealed.rows),
        "n_train": int(trials.meta["subject"].isin(job.fold.train).sum()),
    }  # fmt: skip
    started = time.perf_counter()
    try:
        # The names of the test subjects let an estimator with several checkpoints take one whose
        # pretraining has not seen them; of their windows it sees nothing.
        known = {"test_subjects": job.fold.test, "cache": cache}
        blank = fill_in(job.estimator, trials, job.seed, **known)
        fitted = fit(blank, trials, job.fold)
        held_out = (
            _proba(fitted, trials.X[validation], job.classes).tolist() if len(validation) else []
        )
        test = sealed.open()
        proba = _proba(fitted, test.X, job.classes)
        seconds = time.perf_counter() - started
        scores = score(job.metrics, test.y, proba, job.classes)
        return FoldRecord(
            **about,
            seconds=seconds,
            overlap=overlap(pretraining_of(fitted), test.meta),
            trained_parameters=trained_parameters(fitted),
            trials=sealed.rows.tolist(),
            proba=proba.tolist(),
            scores={m: s if np.isfinite(s) else None for m, s in scores.items()},
            validation=validation.tolist(),
            validation_proba=held_out,
        )
    except Exception as error:  # whatever a third-party estimator raises must not stop the others
        where = (job.name, job.fold.index, job.seed)
        logger.warning("%s, fold %d, seed %d failed: %s", *where, error)
        logger.debug("because of", exc_info=True)
        seconds = time.perf_counter() - started
        return FoldRecord(**about, seconds=seconds, error=f"{type(error).__name__}: {error}")


def _proba(
    fitted: Any, X: np.ndarray, classes: tuple[str, ...]
) -> Float[np.ndarray, "trial class"]:
    """Predict, in the order of ``classes``, and refuse what is not one probability a class."""
    proba = np.asarray(fitted.predict_proba(X), dtype=np.float64)
    known = [str(c) for c in fitted.classes_]
    if sorted(known) != sorted(classes) or proba.shape != (len(X), len(classes)):
        raise UsageError(
            f"{type(fitted).__name__} gave probabilities of shape {proba.shape} for the classes "
            f"{known}; wanted one row a window and one column for each of {list(classes)}."
        )
    proba = proba[:, [known.index(c) for c in classes]]
    if not np.isfinite(proba).all():
        raise WorkError(f"{type(fitted).__name__} gave probabilities that are not finite.")
    return proba


def check_call(
    estimators: Mapping[str, BaseEstimator],
    *,
    seeds: Sequence[int],
    metrics: Sequence[str],
    reference: str | None,
) -> None:
    """Refuse what cannot work whatever the data are; `run` does it too.

    Raises
    ------
    UsageError
        Also where an estimator's checkpoint cannot be read.
    """
    check_metrics(metrics)
    if not estimators or not seeds:
        raise UsageError(
            f"{len(estimators)} estimators and {len(seeds)} seeds: give at least one of each."
        )
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"The seeds {list(seeds)} repeat themselves: give different ones.")
    if reference is not None and reference not in estimators:
        raise UsageError(
            f"The reference {reference!r} is no estimator: choose from {list(estimators)}."
        )
    for name, estimator in estimators.items():
        if not (hasattr(estimator, "fit") and hasattr(estimator, "predict_proba")):
            raise UsageError(
                f"{name!r} ({type(estimator).__name__}) has no fit and predict_proba: give a "
                "classifier that predicts probabilities."
            )
        pretraining_of(estimator)


def _check_classes(trials: Trials, classes: tuple[str, ...]) -> None:
    if sorted(classes) != list(trials.classes) or len(classes) < 2:
        raise UsageError(
            f"The trials are of the classes {list(trials.classes)} and the task of "
            f"{list(classes)}: a task needs two or more, and windows of each."
        )


def _with_progress(jobs: list[Job]) -> Iterable[Job]:
    """Return the jobs, behind a progress bar where somebody watches."""
    if not sys.stderr.isatty():
        return jobs
    from rich.console import Console
    from rich.progress import track

    return track(jobs, "Folds", console=Console(stderr=True))
