"""The linear probe: a head fitted to convergence on features that stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

PENALTIES = tuple(10.0**k for k in range(-3, 3))  # inverse strengths to choose between

Features = Float64[np.ndarray, "trial dim"]
HeldOut = tuple[Float64[np.ndarray, "held_out dim"], np.ndarray]


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear map from features to one score a class.

    Attributes
    ----------
    weight
        (class, dim).
    bias
        (class,).
    penalty
        inverse strength of the penalty it was fitted with.
    """

    weight: Float64[np.ndarray, "class dim"]
    bias: Float64[np.ndarray, " class"]
    penalty: float


def solve_probe(features: Features, y: np.ndarray, *, validation: HeldOut | None = None) -> Probe:
    """Fit logistic regression to standardised features, classes weighing the same.

    Parameters
    ----------
    features
        (trial, dim).
    y
        (trial,) class of each.
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
        for c in (PENALTIES if validation else (1.0,))
    ]
    best = fits[0]
    if validation is not None:
        held_out = scaler.transform(validation[0])
        losses = [
            log_loss(validation[1], fit.predict_proba(held_out), labels=fit.classes_)
            for fit in fits
        ]
        best = fits[int(np.argmin(losses))]
    weight = best.coef_ / scaler.scale_
    bias = best.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:  # two classes share one row; a softmax wants one each
        weight, bias = np.stack([-weight[0], weight[0]]) / 2, np.stack([-bias[0], bias[0]]) / 2
    return Probe(weight, bias, best.C)
