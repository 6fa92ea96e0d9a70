"""Estimators beside each other: the figure, the full table, subjects and paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.cells import Cell, cells
from brainfm.evaluation.report.clinical import Clinical, describe_measures
from brainfm.evaluation.report.identity import Identity, describe_identity
from brainfm.evaluation.report.inputs import Results
from brainfm.evaluation.report.numbers import (
    NONE,
    figure,
    interval,
    is_number,
    listed,
    magnitude,
    signed,
)
from brainfm.evaluation.report.predicted import draw_predicted
from brainfm.evaluation.report.ranks import rank_diagram, ranking_of
from brainfm.evaluation.report.shots import Curve, describe_shots
from brainfm.evaluation.report.standings import (
    caution,
    class_paths,
    count_subjects,
    folds_done,
    largest,
    missing_folds,
    of_task,
    overlap_status,
    seconds,
    standing_of,
    tuning,
)
from brainfm.evaluation.report.strips import (
    axis,
    difference_ends,
    difference_scale,
    difference_strip,
    scatter,
    score_scale,
    score_strip,
    subject_scale,
    subject_strip,
)
from brainfm.evaluation.report.subjects import (
    class_names,
    confusion,
    gaps_in,
    subject_scores,
)
from brainfm.evaluation.report.verdict import (
    Family,
    Standing,
    against_baseline,
    pretraining_gain,
    verdict,
)

PRIMARY = "balanced_accuracy"
NOTHING = pd.DataFrame()
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
class Row:
    """One estimator on the page: where it stands, what it cost, and its pictures.

    Attributes
    ----------
    standing
        in the primary measure.
    missing
        the folds that did not finish, in words; empty where all did.
    folds
        how many of how many fits are done.
    overlap, overlap_says
        the status in words, and what it means.
    parameters, flops, fits, seconds
        how many numbers were trained, what predicting a window costs, settings tried in a fold, and the time
        of all fits.
    strip, subject_strip, difference_strip
        the row's part of each figure.
    cells
        one (value, interval) a measure.
    difference, difference_ends
        the paired difference and its interval, in words.
    p
        of the difference, corrected for the number of comparisons where the table says so.
    effect
        the difference in units of its spread over subjects.
    """

    standing: Standing
    missing: str
    folds: str
    overlap: str
    overlap_says: str
    parameters: str
    flops: str
    fits: str
    seconds: str
    strip: Markup
    subject_strip: Markup
    difference_strip: Markup
    cells: tuple[tuple[str, str], ...]
    difference: str
    difference_ends: str
    p: str
    effect: str

    @property
    def name(self) -> str:
        """Name of the estimator."""
        return self.standing.estimator

    @property
    def family(self) -> str:
        """Name of its colour."""
        return self.standing.family.name


@dataclass(frozen=True, eq=False)
class Comparison:
    """All estimators on one task.

    Attributes
    ----------
    task
        its name.
    metric
        the primary measure in words; ``metrics`` all of them.
    verdict, gain
        what the intervals allow to say.
    caution
        what the number of subjects asks for.
    tuning
        how many settings were tried, and whether all tried as many.
    n_subjects
        test subjects.
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
    primary
        index of the primary measure among ``metrics``.
    scored
        whether any subject can be scored alone.
    classes
        of the task, where predictions are there.
    reference
        what paired differences are to.
    pooled
        names of the estimators whose difference is of pooled scores, ``"all"`` for all.
    corrected
        whether the p values are corrected for the number of comparisons.
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

    task: str
    metric: str
    metrics: tuple[str, ...]
    verdict: str
    gain: str
    caution: str
    tuning: str
    n_subjects: int | None
    rows: tuple[Row, ...]
    axis: Markup
    subject_axis: Markup
    difference_axis: Markup
    scatter: Markup | None
    scatter_says: tuple[str, str]
    confusions: tuple[tuple[str, str, tuple[tuple[Cell, ...], ...]], ...]
    predicted: tuple[tuple[Standing, Markup], ...]
    primary: int
    scored: bool
    classes: tuple[str, ...]
    reference: str
    pooled: str
    corrected: bool
    ranks: Markup | None
    ranks_p: str
    measured: Clinical
    few_shot: tuple[Curve, ...]
    identity: Identity | None

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
    return [_task(str(task), rows, inputs) for task, rows in table.groupby("task", sort=False)]


def _task(task: str, table: pd.DataFrame, inputs: Results) -> Comparison:
    metrics = list(dict.fromkeys(table["metric"]))
    primary = PRIMARY if PRIMARY in metrics else metrics[0]
    classes = class_paths(inputs.config)
    main = table[table["metric"] == primary]
    standings = sorted(
        (standing_of(row, classes) for row in main.to_dict("records")),
        key=lambda s: (not s.complete, -s.value if is_number(s.value) else 0.0, s.estimator),
    )
    results = of_task(inputs.results, task)
    predictions = of_task(inputs.predictions, task)
    labels = class_names(predictions)
    by_seed = {
        # Nothing is averaged over a missing fold, the seeds of a subject neither.
        s.estimator: subject_scores(predictions if s.complete else NOTHING, s.estimator, primary)
        for s in standings
    }
    subjects = {name: scores.mean() for name, scores in by_seed.items()}
    x, dx, sx = score_scale(standings), difference_scale(standings), subject_scale(subjects)
    rows = tuple(
        Row(
            standing=s,
            missing=missing_folds(main, s, results),
            folds=folds_done(main, s.estimator),
            overlap=overlap_status(results, s.estimator)[0],
            overlap_says=overlap_status(results, s.estimator)[1],
            parameters=magnitude(largest(results, s.estimator, "trained_parameters")),
            flops=magnitude(largest(results, s.estimator, "flops")),
            fits=magnitude(largest(results, s.estimator, "fits")),
            seconds=seconds(results, s.estimator),
            strip=score_strip(s, x),
            subject_strip=subject_strip(subjects[s.estimator], s, sx),
            difference_strip=difference_strip(s, dx),
            cells=tuple(_cell(table, s, m) for m in metrics),
            difference=signed(s.difference) if s.complete else NONE,
            difference_ends=difference_ends(s),
            p=figure(s.p_holm if is_number(s.p_holm) else s.p),
            effect=signed(s.effect) if s.complete else NONE,
        )
        for s in standings
    )
    n = count_subjects(main, predictions)
    pooled = _pooled(main)
    gaps = gaps_in(predictions, primary)
    played = against_baseline(standings, gaps)
    pair = (played.ours, played.theirs) if played else None
    ranking = ranking_of(standings, by_seed, n)
    return Comparison(
        task=task,
        metric=METRIC_WORDS.get(primary, primary),
        metrics=tuple(METRIC_WORDS.get(m, m) for m in metrics),
        verdict=verdict(standings, gaps),
        gain=pretraining_gain(standings, gaps),
        caution=caution(n, standings, flipped=not pooled),
        tuning=tuning(results, standings),
        n_subjects=n,
        rows=rows,
        axis=axis(x),
        subject_axis=axis(sx),
        difference_axis=axis(dx, sign=True),
        scatter=scatter(pair, subjects) if pair else None,
        scatter_says=(pair[0].estimator, pair[1].estimator) if pair else ("", ""),
        confusions=tuple(
            (s.estimator, s.family.name, cells(confusion(predictions, s.estimator, labels)))
            for s in standings
            if labels and s.complete
        ),
        predicted=draw_predicted(predictions, standings),
        primary=metrics.index(primary),
        scored=any(len(scores) for scores in subjects.values()),
        classes=labels,
        reference=next((s.reference for s in standings if s.reference), ""),
        pooled=pooled,
        corrected="p_holm" in table.columns,
        ranks=rank_diagram(ranking, standings) if ranking else None,
        ranks_p=figure(ranking.p) if ranking else NONE,
        measured=describe_measures(inputs, task, standings),
        few_shot=describe_shots(of_task(inputs.few, task), results, standings, primary),
        identity=describe_identity(of_task(inputs.tables.get("identity", NOTHING), task)),
    )


def _pooled(main: pd.DataFrame) -> str:
    """Name the estimators that were compared by their pooled scores: all of them, some, or none."""
    compared = main[main["reference"].notna()] if "paired_by" in main else NOTHING
    if compared.empty:
        return ""
    by = compared["paired_by"] == "pooled"
    return "all" if by.all() else listed(compared.loc[by, "estimator"].tolist())


def _cell(table: pd.DataFrame, s: Standing, metric: str) -> tuple[str, str]:
    row = table[(table["estimator"] == s.estimator) & (table["metric"] == metric)]
    if row.empty or not s.complete:
        return NONE, ""
    first = row.iloc[0]
    return figure(first["value"]), interval(first.get("low"), first.get("high"))
