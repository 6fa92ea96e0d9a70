"""Every estimator on the same folds, to tables and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from sklearn.base import BaseEstimator

from brainfm.card import check_card
from brainfm.evaluation.calibration import Calibration
from brainfm.evaluation.journey import Journey
from brainfm.evaluation.preconditions import check_call
from brainfm.evaluation.protocol import SEEDS, Outcome, run
from brainfm.evaluation.shots import ALL_LABELS, FewShot
from brainfm.evaluation.task import MEMORY, Task
from brainfm.evaluation.tuning import UNLIMITED, Budget
from brainfm.learning.finetuning import FineTuning
from brainfm.stages.pretrain import use_of
from brainfm.stages.run import now, write_manifest
from brainfm.store.read import open_store
from brainfm.weights import load_card
from brainfm.windows.reader import Selection
from brainfm.windows.splits import NESTED, Split, SubjectFolds
from brainfm.windows.trials import Trials


def evaluate(
    task: Task,
    estimators: dict[str, BaseEstimator],
    *,
    out: Path,
    folds: SubjectFolds = NESTED,
    split: str | None = None,
    corpus: Literal["whole", "part"] = "whole",
    seeds: Sequence[int] = SEEDS,
    budget: Budget = UNLIMITED,
    few_shot: FewShot = ALL_LABELS,
    allow_leakage: str | None = None,
    reference: str | None = None,
    journey: Journey | None = None,
    memory: float = MEMORY,
) -> None:
    """Score every estimator on every fold and seed, and write tables and a report.

    Parameters
    ----------
    task
        what is to be told apart, in which recordings.
    estimators
        scikit-learn classifiers by name, or regressors where the task is of numbers.
    out
        folder for results.csv, predictions.csv, statistics.csv, measures.csv, report.html and the finished
        folds.
        The same command again computes missing folds only.
    folds
        how the subjects are divided.
    split
        name of one of the task's published splits, such as cbramod, in place of ``folds``.
    corpus
        ``whole`` checks that a published split has as many windows and channels as published; ``part``
        says that the store holds a part of the data set on purpose.
    seeds
        each shuffles the folds anew and seeds the estimators.
    budget
        what every estimator may spend on tuning in a fold.
    few_shot
        numbers of labelled trials of each class, or of subjects, to train on besides all.
    allow_leakage
        the reason why training and test may know of each other, which the report repeats; without
        one, leakage is an error.
    reference
        name of the estimator that the others are compared with, subject by subject.
    journey
        folders of the stages before, for the report; its store is the task's where it names none.
    memory
        GB of windows held in one array; more of them are read from the store as they are asked for.

    Raises
    ------
    WorkError
        When a fold has no result, after everything was written.
    """
    # The report draws figures, which other verbs need not load.
    from brainfm.evaluation.report import write_report

    task = check(task, estimators, split=split, seeds=seeds, budget=budget, reference=reference)
    _check_scans(estimators)
    started, trials = now(), task.load(memory)
    outcome = run(
        trials, estimators, folds=_division(task, split, folds, corpus, trials=trials), seeds=seeds,
        out=out, task=task.name, metrics=task.metrics, classes=task.classes, reference=reference,
        budget=budget, few_shot=few_shot, allow_leakage=allow_leakage,
        measures=task.measures or ((Calibration(),) if task.classes else ()), store=task.store,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "seeds": list(seeds), "data": _data(trials), "complete": not outcome.failed,
        "split": split, "corpus": corpus,
        "kernels": sorted({kernel for record in outcome.records for kernel in record.kernels}),
        "leakage": {"reason": allow_leakage, "found": list(outcome.leaks)},
    }  # fmt: skip
    write_manifest(out, started, **facts)
    journey = journey or Journey()
    write_report(out, journey=replace(journey, store=journey.store or task.store))
    _say(outcome, task.metrics[0], out)
    outcome.check_complete()


def _division(
    task: Task,
    name: str | None,
    folds: SubjectFolds,
    corpus: Literal["whole", "part"],
    *,
    trials: Trials,
) -> Split:
    """Return how the windows are divided, once their number is checked."""
    if name is None:
        return folds
    published = task.published(name)
    if corpus == "whole":
        made = published.split.split(trials.table, 0)
        published.check(made, trials.meta, name, n_channels=len(trials.sensors))
    return published.split


def check(
    task: Task,
    estimators: dict[str, BaseEstimator],
    *,
    split: str | None,
    seeds: Sequence[int],
    budget: Budget,
    reference: str | None,
) -> Task:
    """Refuse what cannot be evaluated, before any window is read; return the task as the split has it."""
    check_call(
        estimators, seeds=seeds, metrics=task.metrics, classes=task.classes, reference=reference,
        budget=budget,
    )  # fmt: skip
    task = task if split is None else task.as_published(split)
    named = [
        folder
        for estimator in estimators.values()
        for name, value in estimator.get_params().items()
        if name.rsplit("__", maxsplit=1)[-1] == "checkpoint"
        for folder in ([value] if isinstance(value, str | Path) else value)
    ]
    check_checkpoints(task, named)
    return task


def check_checkpoints(task: Task, checkpoints: Sequence[Path | str]) -> None:
    """Refuse a store that is not there, and checkpoints that do not fit its recordings."""
    store = open_store(task.store)
    if checkpoints:
        use = use_of(store, Selection(task.store, task.kinds, view=task.view))
        for folder in checkpoints:
            check_card(load_card(folder), use)


def _check_scans(estimators: dict[str, BaseEstimator]) -> None:
    """Refuse heads whose scan cannot run here, also those of estimators within others."""
    for estimator in estimators.values():
        for one in (estimator, *estimator.get_params().values()):
            if isinstance(one, FineTuning):
                one.check_scans()


def _data(trials: Trials) -> dict[str, list[str]]:
    """Say what was tested on, by content and by name."""
    names = ("fingerprint", "subject")
    return {f"{name}s": sorted(trials.meta[name].unique().tolist()) for name in names}


def _say(outcome: Outcome, metric: str, out: Path) -> None:
    """Print one line an estimator: how well, and at what cost."""
    rows = outcome.statistics[outcome.statistics["metric"] == metric]
    print(f"{metric} with 95 % intervals over subjects; all of it in {out / 'report.html'}")
    for row in rows.to_dict("records"):
        done = f"{row['folds_done']} of {row['folds_expected']} folds"
        value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        cost = _cost(outcome.results, row["estimator"])
        said = value if row["complete"] else "incomplete, " + done
        print(f"  {said:24}  {row['estimator']}: {cost}")


def _cost(results: pd.DataFrame, name: str) -> str:
    """Return what one fit of an estimator takes, on average over folds and seeds."""
    mine = results[(results["estimator"] == name) & results["shots"].isna()]
    once = mine.drop_duplicates(["fold", "seed"])
    flops, trained = once["flops"].max(), once["trained_parameters"].max()
    parts = [
        "" if pd.isna(trained) else f"{trained:,} parameters",
        "FLOPs not counted" if pd.isna(flops) else f"{flops:.3g} FLOPs a window",
        f"fitted in {once['fit_seconds'].mean():.3g} s a fold, settings tried: {once['fits'].max()}",
    ]  # fmt: skip
    return ", ".join(part for part in parts if part)
