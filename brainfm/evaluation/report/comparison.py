"""Estimators beside each other: the figure, the full table, subjects and paired differences."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from brainfm.evaluation.report.cells import Cell, cells
from brainfm.evaluation.report.clinical import Clinical, describe_measures
from brainfm.evaluation.report.contest import NOTHING, Contest, contest_of
from brainfm.evaluation.report.identity import Identity, describe_identity
from brainfm.evaluation.report.inputs import Results
from brainfm.evaluation.report.numbers import NONE, figure
from brainfm.evaluation.report.predicted import draw_predicted
from brainfm.evaluation.report.ranks import rank_diagram, ranking_of
from brainfm.evaluation.report.rows import Row, draw_rows, scales_of
from brainfm.evaluation.report.shots import Curve, describe_shots
from brainfm.evaluation.report.standings import caution, of_task, tuning
from brainfm.evaluation.report.strips import axis, scatter
from brainfm.evaluation.report.subjects import confusion
from brainfm.evaluation.report.verdict import (
    Family,
    Standing,
    against_baseline,
    pretraining_gain,
    verdict,
)

METRIC_WORDS = {
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "auc_pr": "AUC-PR",
    "kappa": "Cohen’s κ",
    "cohen_kappa": "Cohen’s κ",
    "weighted_f1": "weighted F1",
    "neg_mean_absolute_error": "negative mean absolute error",
    "pearson_r": "Pearson’s r",
    "r2": "R²",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """All estimators on one task.

    Attributes
    ----------
    contest
        the task's tables, that all this is drawn from.
    verdict, gain
        what the intervals allow to say.
    caution
        what the number of subjects asks for.
    tuning
        how many settings were tried, and whether all tried as many.
    rows
        sorted by the primary measure, incomplete ones last.
    axis, subject_axis, difference_axis
        below the three figures.
    scatter
        foundation model against the best baseline, a dot a subject; or None.
    scatter_says
        its two names.
    confusions
        (estimator, colour, rows of cells).
    predicted
        (standing, figure) of predicted over true numbers, in place of confusions.
    ranks
        the critical-difference diagram, of three estimators or more; or None.
    ranks_p
        Friedman's, of all being alike.
    measured
        calibration, events and nights, as far as the task measures them.
    few_shot
        curves over few labels.
    identity
        how well people are told apart, or None.
    """

    contest: Contest
    verdict: str
    gain: str
    caution: str
    tuning: str
    rows: tuple[Row, ...]
    axis: Markup
    subject_axis: Markup
    difference_axis: Markup
    scatter: Markup | None
    scatter_says: tuple[str, str]
    confusions: tuple[tuple[str, str, tuple[tuple[Cell, ...], ...]], ...]
    predicted: tuple[tuple[Standing, Markup], ...]
    ranks: Markup | None
    ranks_p: str
    measured: Clinical
    few_shot: tuple[Curve, ...]
    identity: Identity | None

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.contest.task

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every measure in words."""
        return tuple(METRIC_WORDS.get(m, m) for m in self.contest.metrics)

    @property
    def primary(self) -> int:
        """Index of the primary measure among ``metrics``."""
        return self.contest.metrics.index(self.contest.primary)

    @property
    def metric(self) -> str:
        """The primary measure in words."""
        return self.metrics[self.primary]

    @property
    def n_subjects(self) -> int | None:
        """Number of test subjects."""
        return self.contest.n_subjects

    @property
    def scored(self) -> bool:
        """Whether any subject can be scored alone."""
        return any(len(scores) for scores in self.contest.subjects.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the task, where predictions are there."""
        return self.contest.classes

    @property
    def reference(self) -> str:
        """What paired differences are to."""
        return next((s.reference for s in self.contest.standings if s.reference), "")

    @property
    def pooled(self) -> str:
        """Names of the estimators whose difference is of pooled scores, ``"all"`` for all."""
        return self.contest.pooled

    @property
    def corrected(self) -> bool:
        """Whether the p values are corrected for the number of comparisons."""
        return "p_holm" in self.contest.table.columns

    @property
    def incomplete(self) -> list[Row]:
        """The rows with a missing fold."""
        return [row for row in self.rows if row.missing]

    @property
    def families(self) -> list[Family]:
        """The families that occur, in the order of the legend."""
        return [f for f in Family if any(r.standing.family is f for r in self.rows)]


def compare_estimators(inputs: Results) -> list[Comparison]:
    """Return one comparison a task, in the order of the statistics."""
    table = inputs.statistics
    if not {"task", "estimator", "metric", "value"} <= set(table.columns):
        return []
    return [
        _compare(contest_of(str(task), rows, inputs), inputs)
        for task, rows in table.groupby("task", sort=False)
    ]


def _compare(contest: Contest, inputs: Results) -> Comparison:
    task, standings, results = contest.task, contest.standings, contest.results
    scales = scales_of(contest)
    picture, names = _scatter(contest)
    ranks, ranks_p = _ranks(contest)
    return Comparison(
        contest=contest,
        verdict=verdict(standings, contest.gaps),
        gain=pretraining_gain(standings, contest.gaps),
        caution=caution(contest.n_subjects, standings, flipped=not contest.pooled),
        tuning=tuning(results, standings),
        rows=draw_rows(contest, scales),
        axis=axis(scales.score),
        subject_axis=axis(scales.subject),
        difference_axis=axis(scales.difference, sign=True),
        scatter=picture,
        scatter_says=names,
        confusions=_confusions(contest),
        predicted=draw_predicted(contest.predictions, standings),
        ranks=ranks,
        ranks_p=ranks_p,
        measured=describe_measures(inputs, task, standings),
        few_shot=describe_shots(of_task(inputs.few, task), results, standings, contest.primary),
        identity=describe_identity(of_task(inputs.tables.get("identity", NOTHING), task)),
    )


def _scatter(contest: Contest) -> tuple[Markup | None, tuple[str, str]]:
    """Draw the best foundation model against the best baseline, and name the two."""
    played = against_baseline(contest.standings, contest.gaps)
    if played is None:
        return None, ("", "")
    ours, theirs = played.ours, played.theirs
    return scatter((ours, theirs), contest.subjects), (ours.estimator, theirs.estimator)


def _ranks(contest: Contest) -> tuple[Markup | None, str]:
    """Draw the ranks, and return the p of all being alike."""
    ranking = ranking_of(contest.standings, contest.scores, contest.n_subjects)
    if ranking is None:
        return None, NONE
    return rank_diagram(ranking, contest.standings), figure(ranking.p)


def _confusions(
    contest: Contest,
) -> tuple[tuple[str, str, tuple[tuple[Cell, ...], ...]], ...]:
    """Return a table an estimator, with its colour; none where classes are not known."""
    labels = contest.classes
    return tuple(
        (s.estimator, s.family.name, cells(confusion(contest.predictions, s.estimator, labels)))
        for s in contest.standings
        if labels and s.complete
    )
