"""A supervised network as a scikit-learn classifier: the references that pretraining has to beat."""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

from brainfm.baselines.covariance import Scale
from brainfm.errors import UsageError

Windows = Float[np.ndarray, "trial channel time"]


@dataclass(frozen=True)
class Shape:
    """What a network is built for: sizes of a window, classes, and samples a second."""

    n_channels: int
    n_times: int
    n_classes: int
    sfreq: float

    def check_length(self, shortest: int, network: str) -> None:
        """Refuse windows too short for a network's pooling."""
        if self.n_times < shortest:
            raise UsageError(
                f"{network} pools at least {shortest} samples at {self.sfreq} Hz and the windows have "
                f"{self.n_times}: give longer windows."
            )


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """Trains a small network with Adam, every class with the same total weight.

    This loop is the baselines' own: the foundation models' lives in ``learning``, which no baseline may
    import. The epoch with the lowest loss on the validation subjects is kept where the protocol hands
    them over, else the last.

    Parameters
    ----------
    epochs
        passes over the training windows.
    batch
        windows a step.
    lr
        Adam's step size.
    random_state
        seeds weights, order and dropout; the evaluation fills it in.
    sfreq
        sampling rate in Hz; the evaluation fills it in.

    Attributes
    ----------
    network_
        the trained network.
    epoch_
        the epoch it is of, counted from 1.
    """

    def __init__(
        self,
        epochs: int = 100,
        batch: int = 32,
        *,
        lr: float = 1e-3,
        random_state: int = 0,
        sfreq: float | None = None,
    ) -> None:
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.random_state = random_state
        self.sfreq = sfreq

    @abstractmethod
    def build(self, shape: Shape) -> nn.Module:
        """Return an untrained network from (batch, channel, time) to (batch, class) logits."""

    def bound(self) -> None:
        """Bring the network's weights back within their bounds, after every step; here they have none."""

    def fit(
        self,
        X: Windows,
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> NetworkClassifier:
        """Train from scratch."""
        if self.sfreq is None:
            raise UsageError("The sampling rate is not known: set sfreq, in Hz.")
        self.classes_, truth = np.unique(y, return_inverse=True)
        self.scale_ = Scale().fit(X)
        shape = Shape(X.shape[1], X.shape[2], len(self.classes_), float(self.sfreq))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self.network_ = self.build(shape).to(device)
            held_out = None
            if validation is not None:
                known = np.searchsorted(self.classes_, validation[1])
                held_out = self._tensor(validation[0]), torch.from_numpy(known).to(device)
            self._train(self._tensor(X), torch.from_numpy(truth).to(device), held_out)
        return self

    @property
    def n_trained_parameters_(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network_.parameters())

    @torch.no_grad()
    def predict_proba(self, X: Windows) -> Float[np.ndarray, "trial class"]:
        """Return the probability of every class."""
        self.network_.eval()
        logits = torch.cat([self.network_(part) for part in self._tensor(X).split(256)])
        return logits.double().softmax(dim=1).cpu().numpy()

    def predict(self, X: Windows) -> np.ndarray:
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _tensor(self, X: Windows) -> Tensor:
        device = next(self.network_.parameters()).device
        return torch.from_numpy(np.asarray(self.scale_.transform(X), np.float32)).to(device)

    def _train(self, X: Tensor, truth: Tensor, held_out: tuple[Tensor, Tensor] | None) -> None:
        weight = len(truth) / (len(self.classes_) * truth.bincount().float())
        loss = nn.CrossEntropyLoss(weight)
        adam = torch.optim.Adam(self.network_.parameters(), self.lr)
        best, self.epoch_ = float("inf"), self.epochs
        kept = None
        for epoch in range(1, self.epochs + 1):
            self._pass(X, truth, loss, adam)
            if held_out is None:
                continue
            value = self._loss(held_out, loss)
            if value < best:
                best, self.epoch_ = value, epoch
                kept = copy.deepcopy(self.network_.state_dict())
        if kept is not None:
            self.network_.load_state_dict(kept)

    def _pass(self, X: Tensor, truth: Tensor, loss: nn.Module, adam: torch.optim.Optimizer) -> None:
        self.network_.train()
        for rows in torch.randperm(len(X)).split(self.batch):
            if len(rows) == 1:
                continue  # batch normalisation has no variance over one window
            adam.zero_grad()
            loss(self.network_(X[rows]), truth[rows]).backward()
            adam.step()
            self.bound()

    @torch.no_grad()
    def _loss(self, held_out: tuple[Tensor, Tensor], loss: nn.Module) -> float:
        self.network_.eval()
        return float(loss(self.network_(held_out[0]), held_out[1]))
