"""An estimator that sees one frequency band: imagery in 8 to 32 Hz, flicker in 7 to 45 Hz."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, get_tags

from brainfm.errors import UsageError
from brainfm.windows.fitting import fit_validated

Windows = Float[np.ndarray, "trial channel time"]

# Windows that are filtered at a time, in double precision. Changes no value.
BATCH = 16
# Samples by which a window is continued at both ends, as scipy does it for filters of this order.
PADDING = 27


class InBand(BaseEstimator):
    """Filters the windows before an estimator sees them, training, validation and test windows alike.

    A Butterworth filter of order 4, forwards and backwards, as MOABB's paradigms have; they filter whole
    recordings, this filters window by window, so that the first and last cycles differ.

    Parameters
    ----------
    estimator
        a classifier or regressor on windows; never fitted itself.
    low, high
        edges of the band in Hz.
    sfreq
        sampling rate in Hz; the evaluation fills it in.

    Attributes
    ----------
    estimator_
        as fitted.
    classes_
        of a classifier.
    """

    def __init__(
        self, estimator: BaseEstimator, low: float, high: float, *, sfreq: float | None = None
    ) -> None:
        self.estimator = estimator
        self.low = low
        self.high = high
        self.sfreq = sfreq

    def fit(
        self,
        X: Windows,
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
    ) -> InBand:
        """Filter and fit, handing on ``validation``, filtered too, and ``groups`` where they are asked for.

        Raises
        ------
        UsageError
            When the sampling rate is not known or cannot hold the band, or the windows are shorter than a
            cycle at its lower edge.
        """
        self._check(X)
        held_out = None if validation is None else (self._filtered(validation[0]), validation[1])
        filtered = self._filtered(X)
        self.estimator_ = fit_validated(clone(self.estimator), filtered, y, held_out, groups)
        if hasattr(self.estimator_, "classes_"):
            self.classes_ = self.estimator_.classes_
        return self

    def decision_function(self, X: Windows) -> np.ndarray:
        """Return the estimator's signed distances."""
        return self.estimator_.decision_function(self._filtered(X))

    def predict_proba(self, X: Windows) -> Float[np.ndarray, "trial class"]:
        """Return the probability of every class."""
        return self.estimator_.predict_proba(self._filtered(X))

    def predict(self, X: Windows) -> np.ndarray:
        """Return the most probable class, or a number."""
        return self.estimator_.predict(self._filtered(X))

    def __sklearn_tags__(self) -> Tags:
        """Say that it is of the estimator's kind."""
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
        return tags

    def _check(self, X: Windows) -> None:
        if self.sfreq is None:
            raise UsageError("The sampling rate is not known: set sfreq, in Hz.")
        if not 0 < self.low < self.high < self.sfreq / 2:
            raise UsageError(
                f"The band {self.low}–{self.high} Hz does not lie between 0 and half of {self.sfreq} Hz: "
                "give another band."
            )
        if X.shape[-1] < self.sfreq / self.low:
            raise UsageError(
                f"Windows of {X.shape[-1]} samples at {self.sfreq} Hz do not hold a cycle of {self.low} "
                "Hz: give longer windows or a higher band."
            )

    def _filtered(self, X: Windows) -> Windows:
        """Return the windows in the band, in their own precision."""
        filters = butter(4, (self.low, self.high), "bandpass", fs=self.sfreq, output="sos")
        pad = min(X.shape[-1] - 1, PADDING)
        filtered = np.empty_like(X)
        for start in range(0, len(X), BATCH):
            rows = slice(start, start + BATCH)
            filtered[rows] = sosfiltfilt(filters, X[rows].astype(np.float64), padlen=pad)
        return filtered
