"""One estimator on the page: where it stands, what it cost, and its strip of every figure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.contest import Contest
from brainfm.evaluation.report.drawing import Linear
from brainfm.evaluation.report.numbers import NONE, figure, interval, is_number, magnitude, signed
from brainfm.evaluation.report.standings import (
    folds_done,
    largest,
    missing_folds,
    overlap_status,
    seconds,
)
from brainfm.evaluation.report.strips import (
    difference_ends,
    difference_scale,
    difference_strip,
    score_scale,
    score_strip,
    subject_scale,
    subject_strip,
)
from brainfm.evaluation.report.verdict import Standing


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


@dataclass(frozen=True)
class Scales:
    """What the strips of all rows share: the horizontal axis of each figure."""

    score: Linear
    subject: Linear
    difference: Linear


def scales_of(contest: Contest) -> Scales:
    """Return scales that hold every row."""
    standings = contest.standings
    return Scales(
        score=score_scale(standings),
        subject=subject_scale(contest.subjects),
        difference=difference_scale(standings),
    )


def draw_rows(contest: Contest, scales: Scales) -> tuple[Row, ...]:
    """Return a row an estimator, in the order of the standings."""
    return tuple(_row(s, contest, scales) for s in contest.standings)


def _row(s: Standing, contest: Contest, scales: Scales) -> Row:
    results = contest.results
    overlap, overlap_says = overlap_status(results, s.estimator)
    return Row(
        standing=s,
        missing=missing_folds(contest.main, s, results),
        folds=folds_done(contest.main, s.estimator),
        overlap=overlap,
        overlap_says=overlap_says,
        parameters=magnitude(largest(results, s.estimator, "trained_parameters")),
        flops=magnitude(largest(results, s.estimator, "flops")),
        fits=magnitude(largest(results, s.estimator, "fits")),
        seconds=seconds(results, s.estimator),
        strip=score_strip(s, scales.score),
        subject_strip=subject_strip(contest.subjects[s.estimator], s, scales.subject),
        difference_strip=difference_strip(s, scales.difference),
        cells=tuple(_cell(contest.table, s, metric) for metric in contest.metrics),
        difference=signed(s.difference) if s.complete else NONE,
        difference_ends=difference_ends(s),
        p=figure(s.p_holm if is_number(s.p_holm) else s.p),
        effect=signed(s.effect) if s.complete else NONE,
    )


def _cell(table: pd.DataFrame, s: Standing, metric: str) -> tuple[str, str]:
    row = table[(table["estimator"] == s.estimator) & (table["metric"] == metric)]
    if row.empty or not s.complete:
        return NONE, ""
    first = row.iloc[0]
    return figure(first["value"]), interval(first.get("low"), first.get("high"))
