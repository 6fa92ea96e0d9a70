"""Predicted numbers over true ones, a dot a recording, for tasks that predict a number."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, plot, spanning
from brainfm.evaluation.report.numbers import figure, several
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import Standing

HEIGHT = 180
"""Pixels."""


def draw_predicted(
    predictions: pd.DataFrame, standings: list[Standing]
) -> tuple[tuple[Standing, Markup], ...]:
    """Return a figure for each complete estimator, all on one scale; none where there are classes.

    A dot is the mean over a recording's windows and over seeds, on the true number of the recording.
    """
    if not {"y_pred", "y_true", "recording"} <= set(predictions.columns):
        return ()
    numbers = predictions.astype({"y_true": float, "y_pred": float})
    means = {
        s.estimator: of_estimator(numbers, s.estimator)
        .groupby("recording")[["y_true", "y_pred"]]
        .mean()
        for s in standings
        if s.complete
    }
    scale = spanning([v for table in means.values() for v in table.to_numpy().ravel()])
    ends = [scale.low, scale.high]
    drawn = []
    for s in standings:
        if s.complete:
            frame, table = Frame(scale, scale, HEIGHT), means[s.estimator]
            dots = [
                frame.dot(true, guess, f"subject {s.family.name}", _title(name, true, guess))
                for name, true, guess in zip(table.index, table.y_true, table.y_pred, strict=True)
            ]
            says = (
                f"{s.estimator}: predicted over true numbers of {several(len(table), 'recording')}"
            )
            figure_of = plot(frame, [frame.line(ends, ends, "diagonal")], says=says, over=dots)
            drawn.append((s, figure_of))
    return tuple(drawn)


def _title(name: object, true: float, guess: float) -> str:
    return f"{name}: {figure(guess)} predicted, {figure(true)} true"
