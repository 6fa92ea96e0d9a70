"""Windows to covariance matrices, a batch of windows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator, TransformerMixin

from brainfm.errors import UsageError
from brainfm.recordings.recording import Sensors
from brainfm.windows.stored import StoredWindows

Windows = Float[np.ndarray, "trial channel time"]
AnyWindows = Float[np.ndarray, "trial channel time"] | StoredWindows
Matrices = Float64[np.ndarray, "trial channel channel"]

Shrinkage = Literal["scm", "oas", "lwf"]


class Scale(TransformerMixin, BaseEstimator):
    """Divide by the typical amplitude of the training windows, one number a sensor kind.

    Volts (1e-5) and teslas (1e-13) squared leave the range in which tolerances and regularisers of
    numerical code make sense. Whatever the unit, the result has a median standard deviation of one.

    Parameters
    ----------
    sensors
        the channels, whose kinds are scaled apart; None for channels of one kind.

    Attributes
    ----------
    scale_
        (channel,) what each channel is divided by.
    """

    def __init__(self, sensors: Sensors | None = None) -> None:
        self.sensors = sensors

    def fit(self, X: AnyWindows, y: np.ndarray | None = None) -> Scale:
        """Measure the amplitudes; ``UsageError`` where all channels of a kind are flat."""
        kinds = np.array(self.sensors.kind if self.sensors else ["all"] * X.shape[1])
        deviation = X.std(axis=-1, dtype=np.float64)
        self.scale_ = np.ones(X.shape[1])
        for kind in np.unique(kinds):
            self.scale_[kinds == kind] = np.median(deviation[:, kinds == kind])
        if (self.scale_ == 0).any():
            flat = sorted(set(kinds[self.scale_ == 0].tolist()))
            raise UsageError(
                f"Most channels of kind {flat} are constant: leave them out of the task."
            )
        return self

    def transform(self, X: AnyWindows) -> AnyWindows:
        """Return ``X`` in units of the training amplitude, in its own precision."""
        return X / self.scale_[:, None].astype(X.dtype)


class Covariance(TransformerMixin, BaseEstimator):
    """Covariance matrix of each window, with shrinkage in closed form for all windows at once.

    Parameters
    ----------
    estimator
        ``"scm"`` sample covariance; ``"oas"`` oracle approximating shrinkage (Chen et al. 2010, as
        in scikit-learn); ``"lwf"`` Ledoit & Wolf 2004. An average reference makes the sample
        covariance singular, which the two others mend.
    """

    # Windows in double precision at a time: what fits the cache. Changes no value.
    batch = 16

    def __init__(self, estimator: Shrinkage = "oas") -> None:
        self.estimator = estimator

    def fit(self, X: AnyWindows, y: np.ndarray | None = None) -> Covariance:
        """Check the estimator's name; nothing is learned."""
        if self.estimator not in ESTIMATORS:
            raise UsageError(
                f"Unknown covariance estimator {self.estimator!r}: choose from {list(ESTIMATORS)}."
            )
        return self

    def transform(self, X: AnyWindows) -> Matrices:
        """Return one symmetric matrix a window."""
        estimate = ESTIMATORS[self.estimator]
        starts = range(0, len(X), self.batch)
        return np.concatenate([estimate(_centred(X[s : s + self.batch])) for s in starts])

    def __sklearn_is_fitted__(self) -> bool:
        """Nothing is learned, so it always is."""
        return True


def scm(X: Windows) -> Matrices:
    """Return the sample covariance of centred windows."""
    return X @ X.swapaxes(-1, -2) / X.shape[-1]


def oas(X: Windows) -> Matrices:
    """Return the oracle approximating shrinkage of centred windows (Chen et al. 2010)."""
    return oas_of(scm(X), X.shape[-1])


def oas_of(covariance: Matrices, n_times: int) -> Matrices:
    """Shrink sample covariances of ``n_times`` samples each, as `oas` does."""
    n_channels = covariance.shape[-1]
    mean_square = (covariance**2).mean(axis=(-2, -1))
    target = np.trace(covariance, axis1=-2, axis2=-1) ** 2 / n_channels**2
    numerator = mean_square + target
    denominator = (n_times + 1) * (mean_square - target / n_channels)
    return _shrink(covariance, numerator, denominator)


def lwf(X: Windows) -> Matrices:
    """Return the Ledoit–Wolf shrinkage of centred windows (Ledoit & Wolf 2004)."""
    covariance = scm(X)
    n_channels, n_times = X.shape[-2:]
    square = (covariance**2).sum(axis=(-2, -1))
    target = np.trace(covariance, axis1=-2, axis2=-1) ** 2 / n_channels
    fourth = ((X**2).sum(axis=-2) ** 2).sum(axis=-1)
    noise = (fourth / n_times - square) / n_times
    distance = square - target
    return _shrink(covariance, np.minimum(noise, distance), distance)


ESTIMATORS: dict[str, Callable[[Windows], Matrices]] = {"scm": scm, "oas": oas, "lwf": lwf}


def _centred(X: Windows) -> Windows:
    """Return windows in double precision without their means over time."""
    X = X.astype(np.float64)
    return X - X.mean(axis=-1, keepdims=True)


def _shrink(covariance: Matrices, numerator: np.ndarray, denominator: np.ndarray) -> Matrices:
    """Move matrices towards the identity of equal trace, by at most the whole way."""
    whole = numerator >= denominator
    share = np.where(whole, 1.0, numerator / np.where(whole, 1.0, denominator))[:, None, None]
    n_channels = covariance.shape[-1]
    mean = np.trace(covariance, axis1=-2, axis2=-1)[:, None, None] / n_channels
    return (1 - share) * covariance + share * mean * np.eye(n_channels)
