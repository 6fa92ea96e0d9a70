"""Few-shot curves: what each estimator makes of few labels."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, Logarithmic, across, plot, spanning
from brainfm.evaluation.report.numbers import count, figure
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import Standing

MOST_LINES = 6


@dataclass(frozen=True, eq=False)
class Curve:
    """The curves over one kind of label.

    Attributes
    ----------
    of
        what is counted, in words.
    drawing
        the figure.
    legend
        (estimator, colour) of its lines.
    left_out
        how many estimators have no line.
    """

    of: str
    drawing: Markup
    legend: tuple[tuple[str, str], ...]
    left_out: int


WORDS = {"trials": "labelled windows of each class", "subjects": "training subjects"}


def describe_shots(
    few: pd.DataFrame, whole: pd.DataFrame, standings: list[Standing], metric: str
) -> tuple[Curve, ...]:
    """Return a figure for labelled windows and one for subjects, as far as they were tried.

    Parameters
    ----------
    few, whole
        rows of the results, of fits on few labels and on all.
    standings
        the estimators, the best first.
    metric
        what is drawn.
    """
    if not {"shots", "shots_of", "estimator", "metric", "value"} <= set(few.columns):
        return ()
    few, whole = (table[table["metric"] == metric] for table in (few, whole))
    return tuple(
        _curve(str(of), rows, whole, [s for s in standings if s.complete])
        for of, rows in few.groupby("shots_of", sort=False)
        if rows["value"].notna().any()
    )


def _curve(of: str, few: pd.DataFrame, whole: pd.DataFrame, standings: list[Standing]) -> Curve:
    drawn = standings[:MOST_LINES]
    low, most = float(few["shots"].min()), float(few["shots"].max())
    end = most * max(2.0, (most / low) ** 0.25)
    means = [of_estimator(few, s.estimator).groupby("shots")["value"].mean() for s in drawn]
    ends = [float(of_estimator(whole, s.estimator)["value"].mean()) for s in drawn]
    y = spanning([v for m in means for v in m] + ends)
    frame = Frame(Logarithmic(low / 1.2, end * 1.1), y, 240)
    lines, dots = [], []
    for i, (s, mean, last) in enumerate(zip(drawn, means, ends, strict=True)):
        points = [*mean.items(), (end, last)]
        lines.append(frame.line([k for k, _ in points], [v for _, v in points], f"c{i}"))
        for k, v in points:
            words = "all labels" if k == end else count(k)
            dots.append(frame.dot(k, v, f"solid c{i}", f"{s.estimator}, {words}: {figure(v)}"))
    dots.append(
        Markup('<text class="tick-text" x="{}" y="{}" text-anchor="middle">all</text>').format(
            across(float(frame.x(end))), frame.height + 17
        )
    )
    words = WORDS.get(of, of)
    drawing = plot(
        frame, lines, says=f"Score over {words}", over=dots, ticks=sorted(set(few["shots"]))
    )
    legend = tuple((s.estimator, f"c{i}") for i, s in enumerate(drawn))
    return Curve(words, drawing, legend, len(standings) - len(drawn))
