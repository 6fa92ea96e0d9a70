"""Drawing in SVG that takes its colours from the page and keeps its letters' size at any width.

Across, places are percentages and down they are pixels, so a figure stretches with the page while its text
does not; lines live in a nested, stretched ``svg`` whose strokes do not scale. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from brainfm.evaluation.report.numbers import figure

WIDTH = 1000
"""Units across the nested svg that holds lines."""


Values = float | int | Sequence[Any] | np.ndarray
"""One number or many."""


@dataclass(frozen=True)
class Linear:
    """Equal steps are equal lengths."""

    low: float
    high: float

    def __call__(self, values: Values) -> np.ndarray:
        """Return where the values lie on the axis."""
        width = self.high - self.low or 1.0
        return np.asarray((np.asarray(values, dtype=float) - self.low) / width)

    def ticks(self, n: int = 5) -> list[float]:
        """Return multiples of 1, 2 or 5 inside the axis."""
        width = (self.high - self.low) or 1.0
        raw = width / max(n, 1)
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Logarithmic:
    """Equal ratios are equal lengths; values must be above 0."""

    low: float
    high: float

    def __call__(self, values: Values) -> np.ndarray:
        """Return where the values lie on the axis."""
        width = math.log(self.high / self.low) or 1.0
        return np.asarray(np.log(np.asarray(values, dtype=float) / self.low) / width)

    def ticks(self, n: int = 5) -> list[float]:
        """Return powers of ten inside the axis, with 2 and 5 between where there are few."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        few = math.log10(self.high / self.low) < n / 2
        steps = (1, 2, 5) if few else (1,)
        ticks = [m * 10.0**d for d in decades for m in steps]
        inside = [t for t in ticks if self.low * 0.999 <= t <= self.high * 1.001]
        return inside if len(inside) <= 2 * n else inside[:: math.ceil(len(inside) / n)]


Scale = Linear | Logarithmic
"""From values to shares of an axis, 0 at its low end and 1 at its high end."""


def spanning(values: Values, *, margin: float = 0.06) -> Linear:
    """Return a linear scale around the finite values, with some air at both ends."""
    x = np.asarray(values, dtype=float)
    x = x[np.isfinite(x)]
    if not x.size:
        return Linear(0.0, 1.0)
    air = margin * (x.max() - x.min()) or 0.5 * abs(x.max()) or 0.5
    return Linear(float(x.min() - air), float(x.max() + air))


def across(share: float) -> str:
    """Return a place across a figure, as a percentage."""
    return f"{100 * share:.2f}%"


@dataclass(frozen=True)
class Frame:
    """A plotting area: two scales and a height in pixels."""

    x: Scale
    y: Scale
    height: int

    def down(self, values: Values) -> np.ndarray:
        """Return pixels from the top."""
        return np.asarray(self.height * (1 - self.y(values)))

    def line(self, xs: Values, ys: Values, style: str) -> Markup:
        """Return a line through the points; it is broken where a value is not finite."""
        return Markup('<path class="line {}" d="{}"/>').format(style, self._path(xs, ys))

    def band(self, xs: Values, low: Values, high: Values, style: str) -> Markup:
        """Return the area between two lines."""
        xs, low, high = (np.asarray(v, dtype=float) for v in (xs, low, high))
        keep = np.isfinite(low) & np.isfinite(high)
        around = self._path(np.r_[xs[keep], xs[keep][::-1]], np.r_[high[keep], low[keep][::-1]])
        return Markup('<path class="band {}" d="{}Z"/>').format(style, around)

    def dot(
        self, x: float, y: float, style: str, title: str = "", *, radius: float = 4.0
    ) -> Markup:
        """Return a dot, ``radius`` in pixels, with a text that appears under the pointer."""
        place = across(float(self.x(x))), f"{float(self.down(y)):.1f}", f"{radius:.3g}"
        return Markup('<circle class="dot {}" cx="{}" cy="{}" r="{}">{}</circle>').format(
            style, *place, Markup("<title>{}</title>").format(title) if title else ""
        )

    def _path(self, xs: Values, ys: Values) -> str:
        xs, ys = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        good = np.isfinite(xs) & np.isfinite(ys)
        px, py = WIDTH * self.x(np.where(good, xs, 1.0)), self.down(np.where(good, ys, 1.0))
        parts, pen = [], "M"
        for ok, x, y in zip(good, px, py, strict=True):
            if ok:
                parts.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L" if ok else "M"
        return "".join(parts)

    def stretched(self, lines: list[Markup]) -> Markup:
        """Return lines and bands inside the svg that stretches with the page."""
        return Markup(
            '<svg width="100%" height="{0}" viewBox="0 0 {1} {0}" preserveAspectRatio="none">{2}</svg>'
        ).format(self.height, WIDTH, Markup("").join(lines))

    def x_axis(self, n: int = 6, ticks: Sequence[float] | None = None) -> Markup:
        """Return tick labels below, with short marks; at round numbers where none are given."""
        marks = [
            Markup(
                '<line class="tick" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>'
                '<text class="tick-text" x="{0}" y="{3}" text-anchor="middle">{4}</text>'
            ).format(
                across(float(self.x(t))), self.height, self.height + 4, self.height + 17, tick(t)
            )
            for t in (self.x.ticks(n) if ticks is None else ticks)
        ]
        return Markup("").join(marks)

    def y_axis(self, n: int = 4) -> Markup:
        """Return tick labels at the left, with lines right across."""
        marks = [
            Markup(
                '<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>'
                '<text class="tick-text" x="-7" y="{1:.1f}" text-anchor="end">{2}</text>'
            ).format(float(self.down(t)), float(self.down(t)) + 4, tick(t))
            for t in self.y.ticks(n)
        ]
        return Markup("").join(marks)


def tick(value: float) -> str:
    """Return the label of a tick, as short as it can be."""
    if value and abs(value) < 1e-4:
        return figure(value)
    if abs(value) >= 10_000:
        return f"{value / 1e3:g} k" if abs(value) < 1e6 else f"{value / 1e6:g} M"
    return f"{value:g}".replace("-", "−")


def plot(
    frame: Frame,
    lines: list[Markup],
    *,
    says: str,
    over: list[Markup] | None = None,
    ticks: Sequence[float] | None = None,
) -> Markup:
    """Return a figure with both axes; ``says`` is what a reader who cannot see it is told."""
    return Markup('<svg class="plot" role="img" aria-label="{}" height="{}">{}{}{}{}</svg>').format(
        says,
        frame.height + 22,
        frame.y_axis(),
        frame.x_axis(ticks=ticks),
        frame.stretched(lines),
        Markup("").join(over or []),
    )
