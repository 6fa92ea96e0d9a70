"""Sensors seen from above: an azimuthal equidistant projection around the sphere that fits them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

RADIUS = 100.0
"""Of the head circle, in units of the drawing."""


def project(position: Float[np.ndarray, "sensor 3"]) -> Float[np.ndarray, "sensor 2"]:
    """Return places on a map from above, the head's widest circle at radius 1, nose up.

    Distances from the top of the head are true. Sensors without a position stay NaN.

    Parameters
    ----------
    position
        metres in the MNE head frame: x to the right, y to the front, z up.
    """
    known = np.isfinite(position).all(axis=1)
    if known.sum() < 2:
        return np.full((len(position), 2), np.nan)
    centre = _centre(position[known])
    away = position - centre
    length = np.linalg.norm(away, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        angle = np.arccos(np.clip(away[:, 2] / length, -1, 1)) / (np.pi / 2)
        flat = away[:, :2] / np.linalg.norm(away[:, :2], axis=1, keepdims=True)
    flat[known & ~np.isfinite(flat).all(axis=1)] = 0.0
    return flat * angle[:, None]


def _centre(points: Float[np.ndarray, "sensor 3"]) -> Float[np.ndarray, " 3"]:
    """Fit a sphere by least squares; where sensors do not span one, stand 9 cm below the highest."""
    below = np.array([points[:, 0].mean(), points[:, 1].mean(), points[:, 2].max() - 0.09])
    if len(points) < 8:
        return below
    design = np.c_[2 * points, np.ones(len(points))]
    solution, _, rank, _ = np.linalg.lstsq(design, (points**2).sum(1), rcond=None)
    radius = float(np.sqrt(max(solution[3] + solution[:3] @ solution[:3], 0.0)))
    plausible = rank == 4 and 0.06 < radius < 0.2 and solution[2] < points[:, 2].max() - 0.04
    return solution[:3] if plausible else below


def outline() -> Markup:
    """Return a head from above: skull, nose and ears."""
    r = RADIUS
    return Markup(
        '<g class="head"><circle r="{r}"/><path d="M-11 {a}L0 {b}L11 {a}"/>'
        '<path d="M-{r} -18q-11 4 -9 18t9 18M{r} -18q11 4 9 18t-9 18"/></g>'
    ).format(r=f"{r:g}", a=f"{-r + 1:g}", b=f"{-r - 13:g}")


def sensor_map(
    names: Sequence[str],
    position: Float[np.ndarray, "sensor 3"],
    source: Sequence[str],
    *,
    says: str,
) -> Markup:
    """Return named sensors on a head; hollow where the position is a template's."""
    places = RADIUS * project(position)
    named = len(names) <= 40
    radius = 9 if named else 4 if len(names) <= 90 else 2.2
    parts = [outline()]
    for name, (x, y), origin in zip(names, places, source, strict=True):
        if np.isfinite(x):
            text = Markup('<text y="2.4">{}</text>').format(name) if named else ""
            parts.append(
                Markup(
                    '<g transform="translate({:.1f} {:.1f})">'
                    '<circle class="sensor {}" r="{}"><title>{}</title></circle>{}</g>'
                ).format(x, -y, origin, radius, name, text)
            )
    return _drawing(parts, says, reach(places))


def topography(
    position: Float[np.ndarray, "sensor 3"], weight: Float[np.ndarray, " sensor"], *, says: str
) -> Markup:
    """Return a small head whose dots grow and darken with ``weight``, 0 to 1."""
    places = RADIUS * project(position)
    size = 15 if len(position) <= 32 else 10
    dots = [
        Markup(
            '<circle class="weight" cx="{:.0f}" cy="{:.0f}" r="{:.1f}" style="opacity:{:.2f}"/>'
        ).format(x, -y, 3 + size * float(np.sqrt(w)), 0.25 + 0.75 * w)
        for (x, y), w in zip(places, weight, strict=True)
        if np.isfinite(x) and np.isfinite(w)
    ]
    return _drawing([outline(), *dots], says, reach(places))


def reach(places: Float[np.ndarray, "sensor 2"]) -> float:
    """Return how far from the centre the drawing goes, with room for the nose and a name."""
    far = np.nanmax(np.abs(places)) if np.isfinite(places).any() else 0.0
    return float(max(RADIUS + 16, far + 20))


def _drawing(parts: list[Markup], says: str, edge: float) -> Markup:
    e = f"{edge:.0f}"
    return Markup(
        '<svg class="map" role="img" aria-label="{}" viewBox="-{} -{} {} {}">{}</svg>'
    ).format(says, e, e, 2 * int(e), 2 * int(e), Markup("").join(parts))
