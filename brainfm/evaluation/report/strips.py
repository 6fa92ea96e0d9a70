"""The figures of a comparison, one strip an estimator, so that a table holds them together."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, Linear, across, plot, spanning, tick
from brainfm.evaluation.report.numbers import figure, interval, is_number, signed
from brainfm.evaluation.report.verdict import Family, Standing

DOT = 4.5
"""Radius of a subject's dot, in pixels."""
TOUCHING = 0.012
"""Share of a strip's width within which dots hide each other."""


def score_scale(standings: list[Standing]) -> Linear:
    """Return a scale that holds all values, intervals and chance bands."""
    ends = [v for s in standings for v in (s.value, s.low, s.high, s.chance_low, s.chance_high)]
    return spanning(ends)


def difference_scale(standings: list[Standing]) -> Linear:
    """Return a scale that holds all paired differences and 0."""
    ends = [v for s in standings for v in (s.difference, s.difference_low, s.difference_high)]
    return spanning([*ends, 0.0])


def subject_scale(subjects: dict[str, pd.Series]) -> Linear:
    """Return a scale that holds every subject's score."""
    return spanning([v for s in subjects.values() for v in s], margin=0.04)


def axis(x: Linear, *, sign: bool = False) -> Markup:
    """Return the tick labels below strips; with ``sign``, a plus before what is above 0."""
    label = (lambda t: ("+" if t > 0 else "") + tick(t)) if sign else tick
    marks = [
        Markup('<text class="tick-text" x="{}" y="12" text-anchor="middle">{}</text>').format(
            across(float(x(t))), label(t)
        )
        for t in x.ticks(5)
    ]
    return _svg(Markup("").join(marks), 18, "")


def _svg(inside: Markup, height: int, says: str) -> Markup:
    role = (
        Markup('role="img" aria-label="{}"').format(says) if says else Markup('aria-hidden="true"')
    )
    return Markup('<svg class="strip" height="{}" {}>{}</svg>').format(height, role, inside)


def _grid(x: Linear, height: int) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
            across(float(x(t))), height
        )
        for t in x.ticks(5)
    )


def score_strip(s: Standing, x: Linear, height: int = 40) -> Markup:
    """Return one estimator's mark and interval over its chance band.

    An estimator with a missing fold has no mean: it gets words and no mark.
    """
    parts = [_chance(s, x, height), _grid(x, height)]
    if s.complete and is_number(s.value):
        parts.append(_whisker(s.low, s.high, x, height / 2, s.family.name))
        parts.append(marker(s.value, x, height / 2, s.family))
        says = f"{s.estimator}: {figure(s.value)} {interval(s.low, s.high)}"
    else:
        parts.append(_lost(height))
        says = f"{s.estimator}: not judged, folds are missing"
    return _svg(Markup("").join(parts), height, says)


def _lost(height: int) -> Markup:
    return Markup(
        '<line class="lost" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
        '<text class="lost-text" x="50%" y="{1}" text-anchor="middle">folds missing: no mean</text>'
    ).format(height // 2, height // 2 + 4)


def _chance(s: Standing, x: Linear, height: int) -> Markup:
    if not (is_number(s.chance_low) and is_number(s.chance_high)):
        return Markup("")
    left, right = (float(x(v)) for v in (s.chance_low, s.chance_high))
    return Markup('<rect class="chance" x="{}" y="0" width="{}" height="{}"/>').format(
        across(left), across(right - left), height
    )


def _whisker(low: float, high: float, x: Linear, y: float, style: str) -> Markup:
    if not (is_number(low) and is_number(high)):
        return Markup("")
    return Markup('<line class="whisker {}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
        style, across(float(x(low))), across(float(x(high))), y=y
    )


def marker(value: float, x: Linear, y: float, family: Family) -> Markup:
    """Return the family's own shape, so that colour is not the only sign."""
    shapes = {
        Family.foundation: '<circle r="7"/>',
        Family.random: '<circle class="hollow" r="6"/>',
        Family.riemann: '<path d="M0-7.5L7.5 0L0 7.5L-7.5 0Z"/>',
        Family.bandpower: '<rect x="-5.5" y="-5.5" width="11" height="11"/>',
        Family.other: '<path d="M0-7L7 6L-7 6Z"/>',
    }
    return Markup('<svg class="marker {}" x="{}" y="{}">{}</svg>').format(
        family.name, across(float(x(value))), y, Markup(shapes[family])
    )


def subject_strip(scores: pd.Series, s: Standing, x: Linear, height: int = 34) -> Markup:
    """Return one estimator's subjects as dots, apart where they would hide each other, and their median."""
    shares = [float(x(v)) for v in scores]
    dots = [
        Markup(
            '<circle class="subject {}" cx="{}" cy="{:.1f}" r="{}"><title>{}</title></circle>'
        ).format(s.family.name, across(share), height / 2 + off, DOT, f"{name}: {figure(v)}")
        for share, off, (name, v) in zip(shares, apart(shares, height), scores.items(), strict=True)
    ]
    median = Markup("")
    if len(scores):
        at = across(float(x(float(scores.median()))))
        median = Markup('<line class="median" x1="{0}" x2="{0}" y1="6" y2="{1}"/>').format(
            at, height - 6
        )
    if not s.complete:
        return _svg(_grid(x, height) + _lost(height), height, f"{s.estimator}: folds are missing")
    says = f"{s.estimator}: " + (
        f"subjects from {figure(scores.min())} to {figure(scores.max())}, "
        f"median {figure(scores.median())}"
        if len(scores)
        else "no subject can be scored alone"
    )
    return _svg(_grid(x, height) + Markup("").join(dots) + median, height, says)


def apart(shares: list[float], height: int) -> list[float]:
    """Return how many pixels up or down each dot moves, so that dots in one place are seen as many.

    Those that find no room any more stay in the middle.
    """
    rooms = [0.0]
    for step in range(1, int((height / 2 - DOT) // (DOT + 1)) + 1):
        rooms += [step * (DOT + 1), -step * (DOT + 1)]
    taken: list[tuple[float, float]] = []
    moved = [0.0] * len(shares)
    for i in sorted(range(len(shares)), key=lambda i: shares[i]):
        near = {off for share, off in taken if abs(share - shares[i]) < TOUCHING}
        moved[i] = next((room for room in rooms if room not in near), 0.0)
        taken.append((shares[i], moved[i]))
    return moved


def difference_strip(s: Standing, x: Linear, height: int = 34) -> Markup:
    """Return one estimator's paired difference to the reference."""
    zero = Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
        across(float(x(0.0))), height
    )
    parts = [_grid(x, height), zero]
    if is_number(s.difference) and s.complete:
        parts.append(_whisker(s.difference_low, s.difference_high, x, height / 2, s.family.name))
        parts.append(marker(s.difference, x, height / 2, s.family))
    says = f"{s.estimator}: {signed(s.difference)} {difference_ends(s)}"
    return _svg(Markup("").join(parts), height, says)


def difference_ends(s: Standing) -> str:
    """Return the interval of the paired difference, with signs."""
    if not s.complete or not is_number(s.difference_low):
        return ""
    return f"[{signed(s.difference_low)}, {signed(s.difference_high)}]"


def scatter(pair: tuple[Standing, Standing], subjects: dict[str, pd.Series]) -> Markup | None:
    """Return one dot a subject, the first estimator's score over the second's; None for under two."""
    ours, theirs = (subjects[s.estimator] for s in pair)
    both = sorted(set(ours.index) & set(theirs.index))
    if len(both) < 2:
        return None
    scale = spanning([*ours[both], *theirs[both]])
    frame = Frame(scale, scale, 300)
    ends = [scale.low, scale.high]
    dots = [
        frame.dot(
            theirs[name], ours[name], "subject foundation", _scatter_title(name, ours, theirs)
        )
        for name in both
    ]
    above = sum(ours[name] > theirs[name] for name in both)
    says = f"{pair[0].estimator} scores higher than {pair[1].estimator} in {above} of {len(both)} subjects"
    return plot(frame, [frame.line(ends, ends, "diagonal")], says=says, over=dots)


def _scatter_title(name: str, ours: pd.Series, theirs: pd.Series) -> str:
    return f"{name}: {figure(ours[name])} against {figure(theirs[name])}"
