"""Linear probes: heads fitted to convergence on features that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from brainfm.layers.ridge import ALPHAS, solve_ridge

PENALTIES = tuple(10.0**k for k in range(-3, 3))  # inverse strengths to choose between

Features = Float64[np.ndarray, "trial dim"]
HeldOut = tuple[Float64[np.ndarray, "held_out dim"], np.ndarray]


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear map from features to scores.

    Attributes
    ----------
    weight
        (output, dim).
    bias
        (output,).
    penalty
        what it was fitted with: the inverse strength of a logistic regression, the strength of a ridge.
    tried
        penalties that it was chosen among.
    """

    weight: Float64[np.ndarray, "output dim"]
    bias: Float64[np.ndarray, " output"]
    penalty: float
    tried: int


def solve_logistic(
    features: Features,
    y: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
    validation: HeldOut | None = None,
) -> Probe:
    """Fit logistic regression to standardised features, classes weighing the same.

    Parameters
    ----------
    features
        (trial, dim).
    y
        (trial,) class of each.
    penalties
        inverse strengths to choose between.
    validation
        features and classes on which the penalty is chosen, by log loss; 1 without them.

    Returns
    -------
    The map for features as they are: the standardisation is worked into it.
    """
    scaler = StandardScaler().fit(features)
    fits = [
        LogisticRegression(C=c, max_iter=2000, class_weight="balanced").fit(
            scaler.transform(features), y
        )
        for c in (penalties if validation else (1.0,))
    ]
    best = fits[0]
    if validation is not None:
        held_out = scaler.transform(validation[0])
        losses = [
            log_loss(validation[1], fit.predict_proba(held_out), labels=fit.classes_)
            for fit in fits
        ]
        best = fits[int(np.argmin(losses))]
    weight, bias = best.coef_, best.intercept_
    if len(weight) == 1:  # two classes share one row; a softmax wants one each
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.stack([-bias[0], bias[0]]) / 2
    return _unscaled(weight, bias, scaler, penalty=best.C, tried=len(fits))


def solve_ridge_classifier(
    features: Features,
    y: np.ndarray,
    *,
    alphas: Sequence[float] = ALPHAS,
    groups: np.ndarray | None = None,
) -> Probe:
    """Fit a ridge to +1 for a trial's class and −1 for the others, classes weighing the same.

    The penalty has the least squared error on trials left out. Scores of a ridge are no log odds: they
    are multiplied by the one factor that gives trials left out the least log loss.

    Parameters
    ----------
    features
        (trial, dim).
    y
        (trial,) class of each.
    alphas
        penalties to choose from.
    groups
        (trial,) subject of each, whose trials are left out together; see `solve_ridge`.
    """
    scaler = StandardScaler().fit(features)
    classes, label = np.unique(y, return_inverse=True)
    target = 2 * np.eye(len(classes))[label] - 1
    weight = np.asarray(compute_sample_weight("balanced", y), np.float64)
    scaled = scaler.transform(features)
    fit = solve_ridge(scaled, target, alphas=alphas, weight=weight, groups=groups)

    def loss(log_factor: float) -> float:
        odds = log_softmax(np.exp(log_factor) * fit.left_out, axis=1)
        return -float(np.average(odds[np.arange(len(y)), label], weights=weight))

    factor = np.exp(minimize_scalar(loss, bounds=FACTORS, method="bounded").x)
    weight, bias = factor * fit.weight, factor * fit.bias
    return _unscaled(weight, bias, scaler, penalty=fit.alpha, tried=len(alphas))


FACTORS = (-5.0, 3.0)  # natural logarithms


def solve_ridge_regressor(
    features: Features,
    y: np.ndarray,
    *,
    alphas: Sequence[float] = ALPHAS,
    groups: np.ndarray | None = None,
) -> Probe:
    """Fit a ridge to a number, with the penalty of the least squared error on trials left out.

    Parameters
    ----------
    features
        (trial, dim).
    y
        (trial,) number of each.
    alphas
        penalties to choose from.
    groups
        (trial,) subject of each, whose trials are left out together; see `solve_ridge`.
    """
    scaler = StandardScaler().fit(features)
    target = np.asarray(y, np.float64)[:, None]
    fit = solve_ridge(scaler.transform(features), target, alphas=alphas, groups=groups)
    return _unscaled(fit.weight, fit.bias, scaler, penalty=fit.alpha, tried=len(alphas))


def _unscaled(
    weight: np.ndarray, bias: np.ndarray, scaler: StandardScaler, *, penalty: float, tried: int
) -> Probe:
    """Return the map for features as they are."""
    weight = weight / scaler.scale_
    return Probe(weight, bias - weight @ scaler.mean_, float(penalty), tried)
