"""The one protocol by which everything with ``fit`` and ``predict_proba`` is scored, and every regressor.

Every estimator gets the same folds, by subject, the same seeds and the same budget for tuning. It is fitted
on the training subjects; the validation subjects are for choosing (a checkpoint, an epoch, a threshold, a
hyper-parameter) and never fitted on, by anybody, so that no estimator has more training data than
another. The test subjects lie sealed until the fit is over and are opened once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
from sklearn.base import BaseEstimator

from brainfm.disk import write_whole
from brainfm.errors import WorkError
from brainfm.evaluation.attempt import attempt, training_rows
from brainfm.evaluation.audit import Past, look_back, seen_before, tested_in
from brainfm.evaluation.fingerprints import fingerprint, identify
from brainfm.evaluation.identity import identity_table
from brainfm.evaluation.jobs import Job, changes
from brainfm.evaluation.leakage import check_leaks, find_leaks
from brainfm.evaluation.measures import Evidence, Measure, measure_all
from brainfm.evaluation.metrics import metrics_of
from brainfm.evaluation.overlap import all_names
from brainfm.evaluation.preconditions import check_call, check_classes
from brainfm.evaluation.records import FoldRecord, read_record, write_record
from brainfm.evaluation.shots import ALL_LABELS, FewShot
from brainfm.evaluation.tables import predictions_table, results_table, statistics_table
from brainfm.evaluation.tuning import UNLIMITED, Budget
from brainfm.progress import watched
from brainfm.tokenizers import WindowCache
from brainfm.windows.splits import NESTED, Fold, Split
from brainfm.windows.trials import Trials

logger = logging.getLogger(__name__)

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The tables of an evaluation, which are also in its folder.

    Attributes
    ----------
    results
        one row an estimator, fold, seed, number of labels and measure.
    predictions
        one row an estimator, seed and test window, with all labels.
    statistics
        one row an estimator and measure, with all labels.
    records
        of all folds, done or not.
    leaks
        what was found and allowed.
    """

    results: pd.DataFrame
    predictions: pd.DataFrame
    statistics: pd.DataFrame
    records: tuple[FoldRecord, ...]
    leaks: tuple[str, ...] = ()

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


def run(
    trials: Trials,
    estimators: Mapping[str, BaseEstimator],
    *,
    out: Path,
    folds: Split = NESTED,
    seeds: Sequence[int] = SEEDS,
    task: str = "task",
    metrics: Sequence[str] | None = None,
    classes: tuple[str, ...] | None = None,
    reference: str | None = None,
    draws: int = 1000,
    measures: Sequence[Measure] = (),
    store: Path | None = None,
    budget: Budget = UNLIMITED,
    few_shot: FewShot = ALL_LABELS,
    allow_leakage: str | None = None,
) -> Outcome:
    """Fit and test every estimator on every fold of every seed, and write the tables.

    A fold that is already in ``out/folds``, made of the same data, estimator, subjects and seed by the same
    code, is not computed again, see `brainfm.evaluation.jobs`; what changed is logged. A fold that fails is
    recorded with its error and does not stop the others.

    Parameters
    ----------
    trials
        labelled windows of all subjects.
    estimators
        by name; never fitted themselves, each fold has a clone. Parameters called ``sfreq``,
        ``sensors``, ``random_state``, ``test_subjects``, ``budget`` and ``cache`` are filled in, at any
        depth.
    out
        folder for ``folds/``, ``results.csv``, ``predictions.csv`` and ``statistics.csv``.
    folds
        how the windows are divided; by subject unless there is a reason.
    seeds
        each shuffles the folds anew and seeds the estimators.
    task
        name of the task in the tables.
    metrics
        names out of `brainfm.evaluation.metrics.METRICS`, or for numbers out of
        `brainfm.evaluation.regression.NUMBER_METRICS`; all of them where None.
    classes
        the classes in an order of one's own; of two, the second is the positive one. Sorted when
        not given; none where the trials have numbers.
    reference
        name of the estimator that the others are compared with, subject by subject.
    draws
        bootstrap draws and permutations.
    measures
        what is measured beside; each leaves a table in ``out``, and ``measures.csv`` sums them up.
    store
        of the recordings, for measures that need more of them than windows.
    budget
        what each estimator may spend on tuning in a fold.
    few_shot
        how few labels are tried besides all.
    allow_leakage
        the reason for which sides may know of each other; leakage is an error without one.

    Returns
    -------
    outcome
        the tables; ask it to `Outcome.check_complete`.

    Raises
    ------
    UsageError
        Before anything is fitted, when the call cannot work or the test is leaked.
    """
    classes = trials.classes if classes is None else classes
    metrics = metrics_of(classes) if metrics is None else metrics
    check_call(
        estimators, seeds=seeds, metrics=metrics, classes=classes, reference=reference, budget=budget
    )  # fmt: skip
    check_classes(trials, classes)
    divided = {seed: folds.split(trials.table, seed) for seed in seeds}
    every = [fold for mine in divided.values() for fold in mine]
    tested = tested_in(trials, divided)
    pasts = look_back(trials, estimators, tested)
    leaks = find_leaks(trials.table, every, trials.recordings) + seen_before(pasts)
    check_leaks(leaks, allow_leakage)
    names = {place: all_names(rows) for place, rows in tested.items()}
    alike = partial(
        Job,
        task=task,
        data=fingerprint(trials),
        metrics=tuple(metrics),
        classes=classes,
        budget=budget,
    )
    jobs = _jobs(alike, estimators, divided, names, few_shot)
    evidence = Evidence(trials, classes, store)
    for measure in measures:
        measure.check(evidence, every)
    records = _records(jobs, trials, out / "folds", pasts)
    whole = [r for r in records if r.shots is None]
    statistics = statistics_table(
        whole, trials, classes, metrics=metrics, reference=reference, draws=draws, seed=seeds[0]
    )
    outcome = Outcome(
        results_table(records, metrics, allow_leakage),
        predictions_table(whole, trials, classes),
        statistics,
        tuple(records),
        tuple(leaks),
    )
    _write(outcome, measure_all(measures, evidence, whole), out)
    return outcome


def _jobs(
    alike: Callable[..., Job],
    estimators: Mapping[str, BaseEstimator],
    divided: Mapping[int, Sequence[Fold]],
    names: Mapping[tuple[int, int], tuple[str, ...]],
    few_shot: FewShot,
) -> list[Job]:
    """Return a job an estimator, fold, seed and number of labels, of which ``alike`` makes each."""
    described = {name: identify(e) for name, e in estimators.items()}
    return [
        alike(
            name=name, estimator=estimator, described=described[name], fold=fold, seed=seed,
            tested=names[seed, fold.index], shots=shots,
        )
        for seed, mine in divided.items()
        for fold in mine
        for shots in (None, *few_shot)
        for name, estimator in estimators.items()
    ]  # fmt: skip


def _records(
    jobs: Sequence[Job], trials: Trials, folder: Path, pasts: Sequence[Past]
) -> list[FoldRecord]:
    """Return the record of every fold, and what its estimator had seen; compute those that are not kept."""
    for job in jobs:
        training_rows(job, trials)  # refuses a curve with too many or too few labels
    if said := changes(jobs, folder):
        logger.warning(said)
    cache = WindowCache()
    status = {(past.estimator, past.seed, past.fold): past.status for past in pasts}
    return [
        replace(
            _recorded(job, trials, folder, cache),
            overlap=status[job.name, job.seed, job.fold.index],
        )
        for job in watched(jobs, "Folds", len(jobs))
    ]


def _recorded(job: Job, trials: Trials, folder: Path, cache: WindowCache) -> FoldRecord:
    """Return a fold's result from its file, or compute it and write the file."""
    path = folder / job.file
    record = read_record(path)
    if record is None:
        record = attempt(job, trials, cache)
        write_record(record, path)
    return record


def _write(outcome: Outcome, measured: Mapping[str, pd.DataFrame], out: Path) -> None:
    """Write the tables, those of the measures too."""
    tables = {stem: getattr(outcome, stem) for stem in ("results", "predictions", "statistics")}
    tables |= measured
    whole = [r for r in outcome.records if r.shots is None]
    if any(record.identity for record in whole):
        tables["identity"] = identity_table(whole)
    for stem, table in tables.items():
        write_whole(out / f"{stem}.csv", table.to_csv(index=False).encode())
