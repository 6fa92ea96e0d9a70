"""What of a pretrained model a fit may change: nothing but the head, all, or small adapters.

Full fine-tuning and adapters start a linear head from the probe: from a random head the first steps would
spoil the pretrained features (Kumar et al., "Fine-Tuning can Distort Pretrained Features", ICLR 2022).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from torch import nn

from brainfm.contracts import Backbone, Head
from brainfm.errors import UsageError
from brainfm.heads import LinearHead
from brainfm.layers.ridge import ALPHAS
from brainfm.learning.probe import (
    PENALTIES,
    Features,
    HeldOut,
    Probe,
    solve_logistic,
    solve_ridge_classifier,
    solve_ridge_regressor,
)

Name = Literal["probe", "ridge", "full", "lora"]


@dataclass(frozen=True, kw_only=True)
class Adaptation(ABC):
    """One way to adapt a pretrained model.

    Attributes
    ----------
    penalties
        a linear head's fit to classes chooses among: inverse strengths of a logistic regression.
    alphas
        a ridge chooses among: its penalties, on standardised features.
    word
        what commands and `Finetuned` call it, with its defaults.
    moves
        whether the fit changes the features.
    tokenizes
        whether it changes a tokenizer that was trained as a part of the model.
    """

    word: ClassVar[str]
    moves: ClassVar[bool] = False
    tokenizes: ClassVar[bool] = False

    penalties: tuple[float, ...] = PENALTIES
    alphas: tuple[float, ...] = ALPHAS

    def __post_init__(self) -> None:
        for values in (self.penalties, self.alphas):
            if not values or min(values) <= 0:
                raise UsageError(f"The penalties {values} are not all above 0; give some that are.")

    @property
    def n_settings(self) -> int:
        """Settings that a linear head's fit to classes chooses among."""
        return len(self.penalties)

    @abstractmethod
    def open(self, backbone: Backbone) -> None:
        """Let gradients reach what is to be trained of the backbone, and nothing else of it."""

    def close(self, backbone: Backbone) -> None:  # noqa: B027  (most change no shape)
        """Bring a trained backbone back to the shape that it is described by, to save it."""

    def check(self, head: Head) -> None:  # noqa: B027  (most fit any head)
        """Refuse a head that the adaptation cannot fit."""

    def classify(
        self,
        features: Features,
        y: np.ndarray,
        validation: HeldOut | None,
        groups: np.ndarray | None = None,
    ) -> Probe:
        """Fit a linear head to classes."""
        return solve_logistic(features, y, penalties=self.penalties, validation=validation)

    def regress(self, features: Features, y: np.ndarray, groups: np.ndarray | None = None) -> Probe:
        """Fit a linear head to numbers."""
        return solve_ridge_regressor(features, y, alphas=self.alphas, groups=groups)


@dataclass(frozen=True)
class FrozenProbe(Adaptation):
    """Keep tokenizer and backbone as they are and fit the head on their features.

    A linear head is fitted to convergence: to classes by logistic regression whose penalty is chosen on
    validation trials, to numbers by the ridge of `RidgeProbe`. Another head is trained.
    """

    word = "probe"

    def open(self, backbone: Backbone) -> None:
        """Let no gradient reach the backbone."""
        backbone.requires_grad_(False)


@dataclass(frozen=True)
class RidgeProbe(FrozenProbe):
    """Keep tokenizer and backbone as they are and fit a linear head by ridge regression, in closed form.

    The penalty has the least squared error on training subjects left out in turn, which needs no
    validation trials; on trials left out one by one where the subjects are not told or there is but one,
    and may then be too small, for windows of a person resemble each other.
    """

    word = "ridge"

    @property
    def n_settings(self) -> int:
        """Settings that a linear head's fit to classes chooses among."""
        return len(self.alphas)

    def check(self, head: Head) -> None:
        """Refuse all heads but the linear one."""
        if not isinstance(head, LinearHead):
            raise UsageError(
                f"A ridge probe fits a LinearHead and was given {type(head).__name__}; choose the "
                "adaptation `probe` to train that head."
            )

    def classify(
        self,
        features: Features,
        y: np.ndarray,
        validation: HeldOut | None,
        groups: np.ndarray | None = None,
    ) -> Probe:
        """Fit to +1 for a trial's class and −1 for the others."""
        return solve_ridge_classifier(features, y, alphas=self.alphas, groups=groups)


@dataclass(frozen=True)
class Full(Adaptation):
    """Train backbone and head, and a tokenizer that was trained as a part of the model.

    ``train.layer_decay`` lets lower blocks learn more slowly. A frozen or discrete tokenizer stays.
    """

    word = "full"
    moves = True
    tokenizes = True

    def open(self, backbone: Backbone) -> None:
        """Leave the backbone as it was loaded, which takes gradients."""


@dataclass(frozen=True)
class LoRA(Adaptation):
    """Train the head and low-rank additions to the backbone's linear maps; its own weights stay.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, through peft, which
    ``pip install 'brainfm[lora]'`` installs. A saved model has the additions added to its weights.

    Attributes
    ----------
    rank
        of an addition.
    alpha
        an addition is multiplied by ``alpha / rank``.
    dropout
        of what goes into an addition.
    targets
        last parts of the names of the linear maps that have one, such as ``["enter", "out"]``; None
        for all linear maps of the backbone's blocks.
    """

    word = "lora"
    moves = True

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None

    def open(self, backbone: Backbone) -> None:
        """Add adapters, which alone take gradients.

        Raises
        ------
        UsageError
            If peft is not installed, or there is no such linear map.
        """
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise UsageError(
                "LoRA needs peft, which is not installed; run pip install 'brainfm[lora]'."
            ) from error
        chosen = list(self._targets(backbone))
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # ty: ignore[invalid-argument-type]  (peft only divides it)
            lora_dropout=self.dropout,
            target_modules=chosen,
        )
        backbone.requires_grad_(False)
        inject_adapter_in_model(config, backbone)

    def _targets(self, backbone: Backbone) -> Iterator[str]:
        """Yield the full names of the linear maps that get an adapter."""
        inside = {id(m) for stage in backbone.stages() for m in stage.modules()}
        linear = [n for n, m in backbone.named_modules() if isinstance(m, nn.Linear)]
        blocks = [n for n in linear if id(backbone.get_submodule(n)) in inside]
        if self.targets is None:
            chosen = [n for n in blocks if not _only_read(backbone, n)]
        else:
            chosen = [n for n in linear if any(f".{n}".endswith(f".{t}") for t in self.targets)]
        if not chosen:
            wanted = "of its blocks" if self.targets is None else f"called {list(self.targets)}"
            raise UsageError(
                f"{type(backbone).__name__} has no linear map {wanted} for LoRA to add to; it has "
                f"{', '.join(linear) or 'none'}."
            )
        yield from chosen

    def close(self, backbone: Backbone) -> None:
        """Add the additions to the weights, and take the adapters off."""
        from peft.tuners.lora import LoraLayer

        adapted = [(n, m) for n, m in backbone.named_modules() if isinstance(m, LoraLayer)]
        for name, layer in adapted:
            layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(backbone.get_submodule(parent), own, layer.get_base_layer())


def _only_read(backbone: Backbone, name: str) -> bool:
    """Whether a linear map's weight is read and the map never called, so that an adapter has no effect."""
    parent, _, own = name.rpartition(".")
    return own in getattr(backbone.get_submodule(parent), "uncalled", ())


def adaptation_of(given: Adaptation | str) -> Adaptation:
    """Return an adaptation given by itself, or by its word, with its defaults.

    Raises
    ------
    UsageError
        If there is no such word.
    """
    if isinstance(given, Adaptation):
        return given
    known = {kind.word: kind for kind in (FrozenProbe, RidgeProbe, Full, LoRA)}
    if given not in known:
        raise UsageError(f"There is no adaptation {given!r}; choose from {', '.join(known)}.")
    return known[given]()
