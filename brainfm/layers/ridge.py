"""Ridge regression whose penalty is chosen by leaving out trials, or whole subjects, in closed form.

Hoerl & Kennard, Technometrics, 1970; the residual of a trial that was left out is its residual over one
minus its leverage (Allen, "The Relationship between Variable Selection and Data Augmentation", 1974). The
residuals of a group that is left out together are (I − H)⁻¹ e of the group's own part H of the hat matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

ALPHAS = tuple(float(10 ** (k / 2)) for k in range(-4, 13))  # 0.01 … 10⁶ on standardised features


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A fitted ridge regression.

    Attributes
    ----------
    weight
        (output, dim).
    bias
        (output,), which is not penalised.
    alpha
        the chosen penalty.
    errors
        mean squared error of the trials left out, for each penalty that was tried.
    left_out
        (trial, output) what each trial is predicted by a fit without it, or without its whole group, with
        the chosen penalty.
    """

    weight: Float64[np.ndarray, "output dim"]
    bias: Float64[np.ndarray, " output"]
    alpha: float
    errors: tuple[float, ...]
    left_out: Float64[np.ndarray, "trial output"]


def solve_ridge(
    features: Float64[np.ndarray, "trial dim"],
    target: Float64[np.ndarray, "trial output"],
    *,
    alphas: Sequence[float] = ALPHAS,
    weight: Float64[np.ndarray, " trial"] | None = None,
    groups: np.ndarray | None = None,
) -> RidgeFit:
    """Fit ridge regression with every penalty at the cost of one decomposition, and keep the best.

    Parameters
    ----------
    features
        (trial, dim), standardised.
    target
        (trial, output) numbers to predict.
    alphas
        penalties to choose from, all above 0: of the sum of squared coefficients, beside the weighted
        sum of squared errors.
    weight
        of each trial; 1 where None.
    groups
        (trial,) whose trial it is: the trials of a group are left out together. Each trial by itself where
        None, or where there is one group only.
    """
    weight = np.ones(len(features)) if weight is None else weight
    root = np.sqrt(weight)[:, None]
    mean_x, mean_y = (np.average(v, axis=0, weights=weight) for v in (features, target))
    u, s, vt = np.linalg.svd(root * (features - mean_x), full_matrices=False)
    rotated = u.T @ (root * (target - mean_y))
    blocks = _blocks(groups)
    # The mean is fitted too: its leverage is a trial's share of all weights.
    axes = np.hstack([u, root / np.sqrt(weight.sum())])
    residuals = []
    for alpha in alphas:
        kept = s**2 / (s**2 + alpha)
        fitted = root * (target - mean_y) - u @ (kept[:, None] * rotated)
        residuals.append(_without(fitted, axes, np.append(kept, 1.0), blocks) / root)
    errors = [float(np.average((r**2).mean(1), weights=weight)) for r in residuals]
    best = int(np.argmin(errors))
    coefficients = (vt.T * (s / (s**2 + alphas[best]))) @ rotated
    return RidgeFit(
        weight=coefficients.T.copy(),
        bias=mean_y - mean_x @ coefficients,
        alpha=float(alphas[best]),
        errors=tuple(errors),
        left_out=target - residuals[best],
    )


def _blocks(groups: np.ndarray | None) -> list[np.ndarray]:
    """Return the rows of each group; none where every trial is left out by itself."""
    names, place = np.unique([] if groups is None else groups, return_inverse=True)
    return [np.flatnonzero(place == i) for i in range(len(names))] if len(names) > 1 else []


def _without(
    residual: Float64[np.ndarray, "trial output"],
    axes: Float64[np.ndarray, "trial axis"],
    kept: Float64[np.ndarray, " axis"],
    blocks: list[np.ndarray],
) -> Float64[np.ndarray, "trial output"]:
    """Return the residuals of fits without the trial, or without its group; H is axes · kept · axesᵀ."""
    if not blocks:
        return residual / (1 - axes**2 @ kept)[:, None]
    left = np.empty_like(residual)
    for rows in blocks:
        mine, e = axes[rows], residual[rows]
        if len(rows) <= len(kept):
            left[rows] = np.linalg.solve(np.eye(len(rows)) - (mine * kept) @ mine.T, e)
        else:  # the same by the smaller matrix (Woodbury), which many trials of a subject need
            inner = np.eye(len(kept)) - kept[:, None] * (mine.T @ mine)
            left[rows] = e + mine @ np.linalg.solve(inner, kept[:, None] * (mine.T @ e))
    return left
