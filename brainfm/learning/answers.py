"""What is predicted, a class or a number: all that a fine-tuned classifier and regressor differ in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from brainfm.contracts import Backbone, Head, Tokenizer
from brainfm.learning.probe import Features, HeldOut, Probe
from brainfm.learning.trial_batches import Labels
from brainfm.objectives import Supervised


class Answers(ABC):
    """Knows the answers of the trials, and which objective and linear head learn them."""

    @abstractmethod
    def _study(self, y: np.ndarray) -> int:
        """Learn what the answers are like, and return how many outputs the head needs."""

    @abstractmethod
    def _objective(self, tokenizer: Tokenizer, backbone: Backbone, head: Head) -> Supervised:
        """Join the parts of the model."""

    @abstractmethod
    def _fit_linear(
        self,
        features: Features,
        y: np.ndarray,
        validation: HeldOut | None,
        groups: np.ndarray | None,
    ) -> Probe:
        """Fit a linear head in closed form or to convergence."""

    @abstractmethod
    def _n_settings(self) -> int:
        """Return how many penalties of a linear head are chosen among."""

    @abstractmethod
    def _label(self, y: np.ndarray) -> Labels:
        """Return the answers as the objective wants them."""

    @abstractmethod
    def _about(self) -> dict[str, Any]:
        """Return what the model card says of the answers."""
