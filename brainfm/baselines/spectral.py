"""Covariances band by band: a filter bank, and the cospectra of Welch's segments."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from scipy.signal import butter, get_window, sosfiltfilt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from brainfm.baselines.bandpower import BANDS, Bands, check_bands
from brainfm.baselines.covariance import Covariance, Scale, Shrinkage, oas_of
from brainfm.baselines.geometry import logarithms, vectorised
from brainfm.baselines.pipeline import SmallMatrixPipeline
from brainfm.baselines.tangent import TangentSpace
from brainfm.errors import UsageError

Windows = Float[np.ndarray, "trial channel time"]
Vectors = Float64[np.ndarray, "trial band_feature"]


class FilterBankTangent(TransformerMixin, BaseEstimator):
    """Covariance of every band in the tangent space at that band's mean, side by side.

    Bands are cut out by a Butterworth filter of order 4, forwards and backwards.

    Parameters
    ----------
    bands
        (low, high) of each band in Hz.
    estimator
        covariance estimator, see `Covariance`.
    sfreq
        sampling rate in Hz; the evaluation fills it in.
    """

    def __init__(
        self, bands: Bands = BANDS, *, estimator: Shrinkage = "oas", sfreq: float | None = None
    ) -> None:
        self.bands = bands
        self.estimator = estimator
        self.sfreq = sfreq

    def fit(self, X: Windows, y: np.ndarray | None = None) -> FilterBankTangent:
        """Find the mean of every band."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Windows, y: np.ndarray | None = None) -> Vectors:
        """Find the mean of every band and return the vectors."""
        check_bands(X, self.bands, self.sfreq)
        self.tangents_ = [TangentSpace() for _ in self.bands]
        bands = zip(self.tangents_, self.bands, strict=True)
        return np.hstack([t.fit_transform(self._matrices(X, band)) for t, band in bands])

    def transform(self, X: Windows) -> Vectors:
        """Return (trial, band × channel × (channel + 1) / 2)."""
        bands = zip(self.tangents_, self.bands, strict=True)
        return np.hstack([t.transform(self._matrices(X, band)) for t, band in bands])

    def _matrices(self, X: Windows, band: tuple[float, float]) -> np.ndarray:
        filters = butter(4, band, "bandpass", fs=self.sfreq, output="sos")
        covariance = Covariance(self.estimator).fit(X)
        parts = [X[s : s + Covariance.batch] for s in range(0, len(X), Covariance.batch)]
        return np.concatenate([covariance.transform(sosfiltfilt(filters, part)) for part in parts])


class LogCospectra(TransformerMixin, BaseEstimator):
    """Matrix logarithm of the real cross-spectrum in every band: log-Euclidean vectors.

    The cospectra of a band are averaged over its frequencies and over Hann-windowed segments of
    ``segment`` seconds that overlap by half, and shrunk as `Covariance` does with as many samples as
    values were averaged. No mean is fitted, so whole nights need one pass. After Congedo et al.,
    Brain-Computer Interfaces 4 (2017) 155.

    Parameters
    ----------
    bands
        (low, high) of each band in Hz, low included, high not.
    segment
        length of a segment in s; the whole window where that is shorter.
    sfreq
        sampling rate in Hz; the evaluation fills it in.
    """

    def __init__(
        self, bands: Bands = BANDS, *, segment: float = 2.0, sfreq: float | None = None
    ) -> None:
        self.bands = bands
        self.segment = segment
        self.sfreq = sfreq

    def fit(self, X: Windows, y: np.ndarray | None = None) -> LogCospectra:
        """Check the bands against the sampling rate and the windows; nothing is learned."""
        check_bands(X, self.bands, self.sfreq)
        return self

    def transform(self, X: Windows) -> Vectors:
        """Return (trial, band × channel × (channel + 1) / 2)."""
        parts = [X[s : s + Covariance.batch] for s in range(0, len(X), Covariance.batch)]
        return np.concatenate([self._vectors(part) for part in parts])

    def __sklearn_is_fitted__(self) -> bool:
        """Nothing is learned, so it always is."""
        return True

    def _vectors(self, X: Windows) -> Vectors:
        if self.sfreq is None:
            raise UsageError("The sampling rate is not known: set sfreq, in Hz.")
        length = min(X.shape[-1], round(self.segment * self.sfreq))
        cut = np.lib.stride_tricks.sliding_window_view(X.astype(np.float64), length, axis=-1)
        cut = cut[:, :, :: max(1, length // 2)]
        spectrum = np.fft.rfft((cut - cut.mean(-1, keepdims=True)) * get_window("hann", length))
        frequency = np.fft.rfftfreq(length, 1 / self.sfreq)
        whitener = np.eye(X.shape[1])
        found = []
        for low, high in self.bands:
            inside = spectrum[..., (frequency >= low) & (frequency < high)]
            values = inside.reshape(*X.shape[:2], -1)
            both = np.concatenate([values.real, values.imag], axis=-1)
            cospectrum = both @ both.swapaxes(-1, -2) / values.shape[-1]
            shrunk = oas_of(cospectrum, both.shape[-1])
            found.append(vectorised(logarithms(shrunk, whitener)))
        return np.hstack(found)


def filter_bank_lr(
    bands: Bands = BANDS,
    estimator: Shrinkage = "oas",
    *,
    C: float = 1.0,
    class_weight: Literal["balanced"] | None = "balanced",
) -> Pipeline:
    """Filter bank → covariance and tangent space a band → logistic regression.

    Parameters
    ----------
    bands
        (low, high) of each band in Hz.
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the regression's L2 penalty.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    lr = LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)
    bank = FilterBankTangent(bands, estimator=estimator)
    return SmallMatrixPipeline([("scale", Scale()), ("bank", bank), ("lr", lr)])


def log_cospectra_lr(
    bands: Bands = BANDS,
    *,
    C: float = 1.0,
    class_weight: Literal["balanced"] | None = "balanced",
) -> Pipeline:
    """Logarithms of the cospectra of every band → logistic regression: sleep and other long states.

    Parameters
    ----------
    bands
        (low, high) of each band in Hz.
    C
        inverse strength of the regression's L2 penalty.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    lr = LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)
    return SmallMatrixPipeline([("scale", Scale()), ("cospectra", LogCospectra(bands)), ("lr", lr)])
