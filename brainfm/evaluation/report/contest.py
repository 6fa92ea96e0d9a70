"""Estimators compete on a task: what its tables hold, looked up once for all that is drawn of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from brainfm.evaluation.report.inputs import Results
from brainfm.evaluation.report.numbers import is_number, listed
from brainfm.evaluation.report.standings import (
    class_paths,
    count_subjects,
    of_task,
    standing_of,
)
from brainfm.evaluation.report.subjects import class_names, gaps_in, subject_scores
from brainfm.evaluation.report.verdict import Gaps, Standing

PRIMARY = "balanced_accuracy"
NOTHING = pd.DataFrame()


@dataclass(frozen=True, eq=False)
class Contest:
    """All estimators on one task, in the tables of an evaluation.

    Attributes
    ----------
    task
        its name.
    metrics
        every measure that was taken; ``primary`` is the one that estimators are judged by.
    table
        the statistics; ``main`` is those of the primary measure.
    results, predictions
        of every fold, and of every window.
    standings
        of the estimators, sorted by the primary measure, incomplete ones last.
    """

    task: str
    metrics: tuple[str, ...]
    primary: str
    table: pd.DataFrame
    main: pd.DataFrame
    results: pd.DataFrame
    predictions: pd.DataFrame
    standings: list[Standing]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, where predictions are there."""
        return class_names(self.predictions)

    @cached_property
    def scores(self) -> dict[str, pd.DataFrame]:
        """Each estimator's scores, a row a seed and a column a subject."""
        # Nothing is averaged over a missing fold, the seeds of a subject neither.
        return {
            s.estimator: subject_scores(
                self.predictions if s.complete else NOTHING, s.estimator, self.primary
            )
            for s in self.standings
        }

    @cached_property
    def subjects(self) -> dict[str, pd.Series]:
        """Each estimator's score of each subject, the mean over seeds."""
        return {name: scores.mean() for name, scores in self.scores.items()}

    @cached_property
    def n_subjects(self) -> int | None:
        """Number of test subjects, None where nothing says it."""
        return count_subjects(self.main, self.predictions)

    @cached_property
    def gaps(self) -> Gaps:
        """Gives the paired difference of two estimators."""
        return gaps_in(self.predictions, self.primary)

    @cached_property
    def pooled(self) -> str:
        """Names of the estimators that were compared by their pooled scores, ``"all"`` for all."""
        compared = (
            self.main[self.main["reference"].notna()] if "paired_by" in self.main else NOTHING
        )
        if compared.empty:
            return ""
        by = compared["paired_by"] == "pooled"
        return "all" if by.all() else listed(compared.loc[by, "estimator"].tolist())


def contest_of(task: str, table: pd.DataFrame, inputs: Results) -> Contest:
    """Return what the tables hold of one task, whose statistics are ``table``."""
    metrics = tuple(dict.fromkeys(table["metric"]))
    primary = PRIMARY if PRIMARY in metrics else metrics[0]
    main = table[table["metric"] == primary]
    return Contest(
        task=task,
        metrics=metrics,
        primary=primary,
        table=table,
        main=main,
        results=of_task(inputs.results, task),
        predictions=of_task(inputs.predictions, task),
        standings=_ordered(main, class_paths(inputs.config)),
    )


def _ordered(main: pd.DataFrame, classes: dict[str, str]) -> list[Standing]:
    """Return where the estimators stand, the best first and incomplete ones last."""
    return sorted(
        (standing_of(row, classes) for row in main.to_dict("records")),
        key=lambda s: (not s.complete, -s.value if is_number(s.value) else 0.0, s.estimator),
    )
