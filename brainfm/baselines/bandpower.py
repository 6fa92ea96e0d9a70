"""Log band power and a linear discriminant: the oldest features of the field."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.signal import welch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline

from brainfm.baselines.covariance import Scale
from brainfm.baselines.pipeline import DiscriminantPipeline
from brainfm.errors import UsageError

Bands = tuple[tuple[float, float], ...]

# delta, theta, alpha, beta, low gamma, in Hz
BANDS: Bands = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))


def log_bandpower_lda(
    bands: Bands = BANDS, *, class_weight: Literal["balanced"] | None = "balanced"
) -> Pipeline:
    """Logarithm of the power in frequency bands → linear discriminant with shrinkage.

    Parameters
    ----------
    bands
        (low, high) of each band in Hz.
    class_weight
        ``"balanced"`` counts the classes as equally probable beforehand.
    """
    discriminant = ShrunkLDA(class_weight)
    return DiscriminantPipeline(
        [("scale", Scale()), ("power", LogBandPower(bands)), ("lda", discriminant)]
    )


def check_bands(
    X: Float[np.ndarray, "trial channel time"], bands: Bands, sfreq: float | None
) -> None:
    """Refuse bands that hold no frequency of windows as long as these."""
    if sfreq is None:
        raise UsageError("The sampling rate is not known: set sfreq, in Hz.")
    frequency = np.fft.rfftfreq(_segment(X, sfreq), 1 / sfreq)
    for low, high in bands:
        if high > sfreq / 2 or not ((frequency >= low) & (frequency < high)).any():
            raise UsageError(
                f"The band {low}–{high} Hz holds no frequency of windows of {X.shape[-1]} samples "
                f"at {sfreq} Hz, or passes half that rate: give other bands."
            )


class LogBandPower(TransformerMixin, BaseEstimator):
    """Mean power density of every channel in every band, as a logarithm (Welch, 2 s segments).

    Parameters
    ----------
    bands
        (low, high) of each band in Hz, low included, high not.
    sfreq
        sampling rate in Hz; the evaluation fills it in.
    """

    # A flat channel has no logarithm. Six decades below the typical amplitude is below any noise.
    floor = 1e-12

    def __init__(self, bands: Bands = BANDS, sfreq: float | None = None) -> None:
        self.bands = bands
        self.sfreq = sfreq

    def fit(
        self, X: Float[np.ndarray, "trial channel time"], y: np.ndarray | None = None
    ) -> LogBandPower:
        """Check the bands against the sampling rate and the windows; nothing is learned."""
        check_bands(X, self.bands, self.sfreq)
        return self

    def transform(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float[np.ndarray, "trial channel_band"]:
        """Return (trial, channel × band)."""
        frequency, density = welch(
            X.astype(np.float64), self.sfreq, nperseg=_segment(X, self.sfreq or 0.0)
        )
        inside = [(frequency >= low) & (frequency < high) for low, high in self.bands]
        power = np.stack([density[..., i].mean(axis=-1) for i in inside], axis=-1)
        return np.log(power + self.floor).reshape(len(X), -1)

    def __sklearn_is_fitted__(self) -> bool:
        """Nothing is learned, so it always is."""
        return True


class ShrunkLDA(LinearDiscriminantAnalysis):
    """Linear discriminant analysis with Ledoit–Wolf shrinkage and, on demand, no prior.

    Parameters
    ----------
    class_weight
        ``"balanced"`` counts the classes as equally probable beforehand, None as often as they are
        in the training windows. The shared covariance is the same in both.
    """

    def __init__(self, class_weight: Literal["balanced"] | None = "balanced") -> None:
        super().__init__(solver="lsqr", shrinkage="auto")
        self.class_weight = class_weight

    def fit(self, X: Float[np.ndarray, "trial feature"], y: np.ndarray) -> ShrunkLDA:
        """Fit the discriminant; with ``"balanced"`` take the log priors off its intercept."""
        super().fit(X, y)
        if self.class_weight == "balanced":
            log_prior = np.log(self.priors_)
            two = len(log_prior) == 2
            self.intercept_ = self.intercept_ - (
                log_prior[1:] - log_prior[:1] if two else log_prior
            )
        return self


def _segment(X: np.ndarray, sfreq: float) -> int:
    """Return the samples of a Welch segment: two seconds, or the window where that is shorter."""
    return min(X.shape[-1], round(2 * sfreq))
