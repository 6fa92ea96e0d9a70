"""Every estimator on the same folds, to tables and a report."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sklearn.base import BaseEstimator

from brainfm.card import check_card
from brainfm.evaluation.calibration import Calibration
from brainfm.evaluation.journey import Journey
from brainfm.evaluation.protocol import check_call, run
from brainfm.evaluation.task import Task
from brainfm.stages.pretrain import use_of
from brainfm.stages.run import now, write_manifest
from brainfm.store.read import open_store
from brainfm.weights import load_card
from brainfm.windows.reader import Selection
from brainfm.windows.splits import SubjectFolds
from brainfm.windows.trials import Trials


def evaluate(
    task: Task,
    estimators: dict[str, BaseEstimator],
    *,
    folds: SubjectFolds,
    seeds: list[int],
    out: Path,
    reference: str | None = None,
    journey: Journey | None = None,
) -> None:
    """Score every estimator on every fold and seed, and write tables and a report.

    Parameters
    ----------
    task
        what is to be told apart, in which recordings.
    estimators
        scikit-learn classifiers by name.
    folds
        how the subjects are divided.
    seeds
        each shuffles the folds anew and seeds the estimators; five or more are advised.
    out
        folder for results.csv, predictions.csv, statistics.csv, measures.csv, report.html and the finished
        folds.
        The same command again computes missing folds only.
    reference
        name of the estimator that the others are compared with, subject by subject.
    journey
        folders of the stages before, for the report.

    Raises
    ------
    WorkError
        When a fold has no result, after everything was written.
    """
    # The report draws figures, which other verbs need not load.
    from brainfm.evaluation.report import write_report

    check_call(estimators, seeds=seeds, metrics=task.metrics, reference=reference)
    _check_checkpoints(task, estimators)
    started, trials = now(), task.load()
    outcome = run(
        trials, estimators, folds=folds, seeds=seeds, out=out,
        task=task.name, metrics=task.metrics, classes=task.classes, reference=reference,
        measures=task.measures or (Calibration(),), store=task.store,
    )  # fmt: skip
    facts = {"seeds": seeds, "data": _data(trials), "complete": not outcome.failed}
    write_manifest(out, started, **facts)
    write_report(out, journey=journey)
    _say(outcome.statistics, task.metrics[0], out)
    outcome.check_complete()


def _check_checkpoints(task: Task, estimators: dict[str, BaseEstimator]) -> None:
    """Refuse checkpoints that do not fit the task's recordings, before any is read."""
    named = [
        folder
        for estimator in estimators.values()
        for name, value in estimator.get_params().items()
        if name.rsplit("__", maxsplit=1)[-1] == "checkpoint"
        for folder in ([value] if isinstance(value, str | Path) else value)
    ]
    if named:
        selection = Selection(task.store, task.kinds, view=task.view)
        use = use_of(open_store(task.store), selection)
        for folder in named:
            check_card(load_card(folder), use)


def _data(trials: Trials) -> dict[str, list[str]]:
    """Say what was tested on, by content and by name."""
    names = ("fingerprint", "subject")
    return {f"{name}s": sorted(trials.meta[name].unique().tolist()) for name in names}


def _say(statistics: pd.DataFrame, metric: str, out: Path) -> None:
    """Print one line an estimator."""
    rows = statistics[statistics["metric"] == metric]
    print(f"{metric} with 95 % intervals over subjects; all of it in {out / 'report.html'}")
    for row in rows.to_dict("records"):
        done = f"{row['folds_done']} of {row['folds_expected']} folds"
        value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        print(f"  {value if row['complete'] else 'incomplete, ' + done:24}  {row['estimator']}")
