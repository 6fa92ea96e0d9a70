"""The critical-difference diagram: estimators by mean rank, and bars over those that are alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.ranks import Ranking, rank_estimators
from brainfm.evaluation.report.drawing import Linear, across
from brainfm.evaluation.report.numbers import figure, several
from brainfm.evaluation.report.strips import marker
from brainfm.evaluation.report.verdict import Standing

ROW, TOP, BAR = 24, 34, 11
"""Pixels: between estimators, above the first, between bars."""


def ranking_of(
    standings: list[Standing], by_seed: dict[str, pd.DataFrame], n_subjects: int | None
) -> Ranking | None:
    """Rank the complete estimators over subjects; None where not every subject can be scored alone.

    Parameters
    ----------
    standings
        of all estimators.
    by_seed
        each one's scores, a row a seed and a column a subject.
    n_subjects
        that were tested; None where that is not known.
    """
    scores = [by_seed[s.estimator] for s in standings if s.complete and by_seed[s.estimator].size]
    names = [s.estimator for s in standings if s.complete and by_seed[s.estimator].size]
    if len(names) < 3:
        return None
    seeds, subjects = (
        sorted(set.intersection(*(set(ends(table)) for table in scores)))
        for ends in (lambda t: t.index, lambda t: t.columns)
    )
    if n_subjects is not None and len(subjects) < n_subjects:
        return None
    tables = (table.loc[seeds, subjects].to_numpy(dtype=np.float64) for table in scores)
    return rank_estimators(dict(zip(names, tables, strict=True)))


def rank_diagram(ranking: Ranking, standings: list[Standing]) -> Markup:
    """Return an estimator a row at its mean rank, the best rank at the left."""
    family = {s.estimator: s.family for s in standings}
    x = Linear(0.8, len(ranking.names) + 0.2)
    below = TOP + ROW * len(ranking.names)
    parts = [_tick(x, rank, below) for rank in range(1, len(ranking.names) + 1)]
    for row, (name, rank) in enumerate(zip(ranking.names, ranking.mean_rank, strict=True)):
        y = float(TOP + ROW * row)
        parts.append(marker(rank, x, y, family[name]))
        parts.append(_label(f"{name}  {figure(rank)}", float(x(rank)), y))
    for row, (first, last) in enumerate(ranking.alike):
        ends = (across(float(x(ranking.mean_rank[i]))) for i in (first, last))
        parts.append(
            Markup('<line class="alike" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                *ends, y=below + BAR * row
            )
        )
    height = below + BAR * max(1, len(ranking.alike))
    return Markup('<svg class="strip" role="img" aria-label="{}" height="{}">{}</svg>').format(
        ranking_in_words(ranking), height, Markup("").join(parts)
    )


def ranking_in_words(ranking: Ranking) -> str:
    """Return the ranks and the groups as a sentence."""
    ranks = zip(ranking.names, ranking.mean_rank, strict=True)
    listed = ", ".join(f"{name} {figure(rank)}" for name, rank in ranks)
    groups = "; ".join(", ".join(ranking.names[a : b + 1]) for a, b in ranking.alike)
    return (
        f"Mean ranks over {several(ranking.n_subjects, 'subject')}: {listed}. "
        f"Not told apart: {groups or 'none'}."
    )


def _tick(x: Linear, rank: int, below: int) -> Markup:
    return Markup(
        '<line class="grid" x1="{0}" x2="{0}" y1="18" y2="{1}"/>'
        '<text class="tick-text" x="{0}" y="12" text-anchor="middle">{2}</text>'
    ).format(across(float(x(rank))), below - ROW // 2, rank)


def _label(words: str, share: float, y: float) -> Markup:
    """Return words beside a mark, on the side where there is room."""
    anchor, shift = ("start", 14) if share < 0.55 else ("end", -14)
    return Markup('<text x="{}" dx="{}" y="{}" text-anchor="{}">{}</text>').format(
        across(share), shift, y + 4, anchor, words
    )
