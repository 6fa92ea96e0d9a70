"""Measures of predicted numbers, under a thousand weightings or labellings of the same predictions.

The larger, the better, so that whatever compares scores needs to know no more: the mean absolute error is
negative, under scikit-learn's name for it. Equal to scikit-learn's and SciPy's values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

Rows = Float[np.ndarray, "#draw trial"]


def number_scores(
    metrics: Sequence[str],
    truth: Rows,
    weight: Rows,
    predicted: Float[np.ndarray, " trial"],
) -> dict[str, Float64[np.ndarray, " draw"]]:
    """Compute measures for every draw.

    Parameters
    ----------
    metrics
        names out of `NUMBER_METRICS`.
    truth
        the true numbers in each draw; one row where all draws share them.
    weight
        how often each prediction counts in each draw; one row where shared.
    predicted
        the numbers predicted.

    Returns
    -------
    scores
        (draw,) values a measure; NaN where it is not defined: r and R² where all true numbers of a draw
        are equal, r also where all predictions are.
    """
    weight = np.asarray(weight, np.float64)
    return {name: NUMBER_METRICS[name](truth, weight, predicted) for name in metrics}


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each draw, as a column."""
    total = weight.sum(axis=1, keepdims=True)
    summed = (weight * values).sum(axis=1, keepdims=True)
    return np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)


def _variance(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the variance in each draw, as a column; 0 where there is nothing but rounding."""
    found = _mean((values - _mean(values, weight)) ** 2, weight)
    return np.where(found > 1e-12 * _mean(values**2, weight), found, 0.0)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the quotient of two columns, NaN where the lower one is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)[:, 0]


def neg_mean_absolute_error(truth: Rows, weight: Rows, predicted: np.ndarray) -> np.ndarray:
    """Return the mean absolute error, times -1."""
    return -_mean(np.abs(truth - predicted), weight)[:, 0]


def pearson_r(truth: Rows, weight: Rows, predicted: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of predicted with true numbers."""
    x, y = truth - _mean(truth, weight), predicted - _mean(predicted[None], weight)
    spread = np.sqrt(_variance(truth, weight) * _variance(predicted[None], weight))
    return _ratio(_mean(x * y, weight), spread)


def r2(truth: Rows, weight: Rows, predicted: np.ndarray) -> np.ndarray:
    """Return the explained share of the true numbers' variance; below 0 where their mean does better."""
    return 1 - _ratio(_mean((truth - predicted) ** 2, weight), _variance(truth, weight))


# The first is defined of a single subject, so subjects are compared by it.
NUMBER_METRICS = {
    "neg_mean_absolute_error": neg_mean_absolute_error,
    "pearson_r": pearson_r,
    "r2": r2,
}
