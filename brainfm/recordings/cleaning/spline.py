"""Scalp potentials where no electrode was: spherical splines.

Perrin, Pernier, Bertrand & Echallier, "Spherical splines for scalp potential and current density mapping",
Electroencephalography and Clinical Neurophysiology 72(2):184-187, 1989.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.polynomial.legendre import legval

STIFFNESS, TERMS, SMOOTHING = 4, 50, 1e-5
"""The spline's order m, the Legendre terms summed and the diagonal's weight; MNE's values."""


def spline_matrix(
    sources: Float[np.ndarray, "source 3"],
    targets: Float[np.ndarray, "target 3"],
    *,
    origin: Float[np.ndarray, " xyz"],
) -> Float[np.ndarray, "target source"]:
    """Return the matrix that makes the potentials at ``targets`` of those at ``sources``.

    Its rows sum to 1, so that a common reference stays what it is.

    Parameters
    ----------
    sources, targets
        places in metres; only their direction from the origin counts.
    origin
        centre of the head's sphere in metres.
    """
    here, there = _directions(sources, origin), _directions(targets, origin)
    n = len(here)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = _spline(here @ here.T) + SMOOTHING * np.eye(n)
    system[n, n] = 0
    wanted = np.column_stack([_spline(there @ here.T), np.ones(len(there))])
    return wanted @ np.linalg.pinv(system)[:, :n]


def fit_origin(points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, " xyz"]:
    """Return the centre of the sphere that fits ``points`` best, in their unit."""
    # |p|² = 2 p·c + (r² - |c|²) is linear in the centre c and in what stands in the bracket.
    left = np.column_stack([2 * points, np.ones(len(points))])
    return np.linalg.lstsq(left, (points**2).sum(axis=1), rcond=None)[0][:3]


def _directions(
    points: Float[np.ndarray, "point 3"], origin: Float[np.ndarray, " xyz"]
) -> Float[np.ndarray, "point 3"]:
    away = points - origin
    return away / np.linalg.norm(away, axis=1, keepdims=True)


def _spline(cosine: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    n = np.arange(1.0, TERMS + 1)
    weight = (2 * n + 1) / (4 * np.pi * (n * (n + 1)) ** STIFFNESS)
    return legval(np.clip(cosine, -1, 1), np.concatenate([[0.0], weight]))
