"""A pretrained model as a scikit-learn classifier or regressor on (trial, channel, time) arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin

from brainfm.contracts import Backbone, Head, Tokenizer
from brainfm.errors import UsageError
from brainfm.learning.adaptation import adaptation_of
from brainfm.learning.finetuning import FineTuning, Trials
from brainfm.learning.probe import Features, HeldOut, Probe
from brainfm.learning.trial_batches import Labels
from brainfm.objectives import Classification, Regression
from brainfm.weights import build, describe


class Finetuned(ClassifierMixin, FineTuning):
    """Fine-tunes any checkpoint with any head to tell classes apart.

    Attributes
    ----------
    classes_
        names of the classes.
    """

    def _study(self, y: np.ndarray) -> int:
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise UsageError(
                f"All {len(y)} trials are of the class {self.classes_.tolist()}; give two or more."
            )
        return len(self.classes_)

    def _objective(self, tokenizer: Tokenizer, backbone: Backbone, head: Head) -> Classification:
        return Classification(tokenizer, backbone, head)

    def _fit_linear(
        self,
        features: Features,
        y: np.ndarray,
        validation: HeldOut | None,
        groups: np.ndarray | None,
    ) -> Probe:
        return self.adaptation_.classify(features, y, validation, groups)

    def _n_settings(self) -> int:
        return adaptation_of(self.adaptation).n_settings

    def _label(self, y: np.ndarray) -> Labels:
        if unseen := sorted({str(c) for c in np.unique(y) if c not in self.classes_}):
            raise UsageError(
                f"No training trial is of the class {unseen} of the validation trials, only of "
                f"{self.classes_.tolist()}; give some that are, or leave those out."
            )
        return np.searchsorted(self.classes_, y)

    def _about(self) -> dict[str, Any]:
        return {"labels": [str(c) for c in self.classes_]}

    def predict_proba(self, X: Trials) -> Float[np.ndarray, "trial output"]:
        """Return the probability of each class."""
        return softmax(self._scores(X), axis=1)

    def predict(self, X: Trials) -> np.ndarray:
        """Return the likeliest class of each trial."""
        return self.classes_[self.predict_proba(X).argmax(1)]


class FinetunedRegressor(RegressorMixin, FineTuning):
    """Fine-tunes any checkpoint with any head to predict a number.

    A linear head is fitted by ridge regression, whatever the adaptation; where more is trained, by the
    squared error of the standardised number.
    """

    def _study(self, y: np.ndarray) -> int:
        y = np.asarray(y)
        if y.ndim != 1 or y.dtype.kind not in "iuf" or not np.isfinite(y).all():
            raise UsageError(
                f"Answers of shape {y.shape} and dtype {y.dtype}; give one finite number a trial."
            )
        self.mean_, self.scale_ = float(y.mean()), float(y.std())
        if self.scale_ == 0:
            raise UsageError(
                f"All {len(y)} trials have the number {self.mean_:g}; give others too."
            )
        return 1

    def _objective(self, tokenizer: Tokenizer, backbone: Backbone, head: Head) -> Regression:
        return Regression(tokenizer, backbone, head, mean=self.mean_, scale=self.scale_)

    def _fit_linear(
        self,
        features: Features,
        y: np.ndarray,
        validation: HeldOut | None,
        groups: np.ndarray | None,
    ) -> Probe:
        return self.adaptation_.regress(features, (y - self.mean_) / self.scale_, groups)

    def _n_settings(self) -> int:
        return len(adaptation_of(self.adaptation).alphas)

    def _label(self, y: np.ndarray) -> Labels:
        return np.asarray(y, np.float64)

    def _about(self) -> dict[str, Any]:
        return {"target": {"mean": self.mean_, "scale": self.scale_}}

    def predict(self, X: Trials) -> Float[np.ndarray, " trial"]:
        """Return the number predicted for each trial."""
        return self.mean_ + self.scale_ * self._scores(X)[:, 0]


class FromScratch(FineTuning):
    """Fine-tunes a backbone of random weights in place of the checkpoint's: what pretraining has to beat.

    A frozen or discrete tokenizer stays the checkpoint's, and the backbone starts from its code
    vectors as pretraining did, so that the two differ in nothing but the backbone's pretraining. A
    tokenizer that was trained together with the backbone starts anew like it.
    """

    def _tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        if tokenizer.learns:
            tokenizer = build(describe(tokenizer))  # ty: ignore[invalid-assignment]
        return super()._tokenizer(tokenizer)

    def _backbone(self, model: Any) -> Backbone:
        backbone = build(describe(model.backbone))
        assert isinstance(backbone, Backbone)
        codebook = getattr(model.tokenizer, "codebook", None)
        if codebook is not None:
            backbone.adopt(codebook)
        return backbone.eval()


class Untrained(FromScratch, Finetuned):
    """`Finetuned` with a backbone of random weights, see `FromScratch`."""


class UntrainedRegressor(FromScratch, FinetunedRegressor):
    """`FinetunedRegressor` with a backbone of random weights, see `FromScratch`."""
