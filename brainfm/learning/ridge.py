"""Ridge regression whose penalty is chosen by leaving out each trial in turn, in closed form.

Hoerl & Kennard, Technometrics, 1970; the residual of a trial that was left out is its residual over one
minus its leverage (Allen, "The Relationship between Variable Selection and Data Augmentation", 1974).
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
        (trial, output) what each trial is predicted by a fit without it, with the chosen penalty.
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
    """
    weight = np.ones(len(features)) if weight is None else weight
    root = np.sqrt(weight)[:, None]
    mean_x, mean_y = (np.average(v, axis=0, weights=weight) for v in (features, target))
    u, s, vt = np.linalg.svd(root * (features - mean_x), full_matrices=False)
    rotated = u.T @ (root * (target - mean_y))
    residuals = []
    for alpha in alphas:
        kept = s**2 / (s**2 + alpha)
        # The mean is fitted too: its leverage is a trial's share of all weights.
        leverage = (u**2 @ kept)[:, None] + root**2 / weight.sum()
        residuals.append((target - mean_y - u @ (kept[:, None] * rotated) / root) / (1 - leverage))
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
