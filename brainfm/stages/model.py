"""A model as YAML names it: a tokenizer, a backbone and an objective joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

import brainfm.backbones
import brainfm.heads
import brainfm.objectives  # noqa: F401
from brainfm.contracts import Backbone, Batch, Kind, Objective, Tokenizer
from brainfm.tokenizers import Pretrained


@dataclass(frozen=True)
class Window:
    """The window that a paper's sizes are stated for.

    Attributes
    ----------
    seconds
        length.
    n_channels
        sensors.
    sfreq
        sampling rate in Hz.
    """

    seconds: float = 5.0
    n_channels: int = 16
    sfreq: float = 200.0

    def silence(self) -> Batch:
        """Return one such window of silence, for shapes."""
        n = self.n_channels
        unknown = torch.full((1, n, 3), torch.nan)
        return Batch(
            signal=torch.zeros(1, n, round(self.seconds * self.sfreq)),
            position=unknown,
            orientation=unknown,
            kind=torch.full((1, n), int(Kind.eeg)),
            mask=torch.ones(1, n, dtype=torch.bool),
            sfreq=self.sfreq,
            recording=("silence",),
            onset=torch.zeros(1),
        )


@dataclass(frozen=True)
class Model:
    """What is trained, and how its parts are made.

    Attributes
    ----------
    tokenizer
        makes the tokenizer.
    objective
        makes the objective of a tokenizer and a backbone.
    backbone
        makes the backbone of the tokens' width; none where the tokenizer is trained.
    window
        the window that sizes are stated for.
    paper
        where the model comes from.
    """

    tokenizer: Callable[[], Tokenizer]
    objective: Callable[[Tokenizer, Backbone | None], Objective]
    backbone: Callable[[int], Backbone] | None = None
    window: Window = field(default_factory=Window)
    paper: str = ""

    def build(self, seed: int, *, tokenizer: Path | None = None) -> Objective:
        """Build all parts with weights drawn from ``seed``.

        Parameters
        ----------
        seed
            of the weights.
        tokenizer
            run folder of a trained tokenizer to take, frozen, in place of the model's own.
        """
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            first = self.tokenizer() if tokenizer is None else Pretrained(tokenizer)
            backbone = self.backbone(first.dim) if self.backbone is not None else None
            return self.objective(first, backbone)


def load_model(path: Path) -> Model:
    """Read a model from YAML, as `brainfm pretrain` does."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model", sub_configs=True)
    config = parser.parse_object({"model": str(path)})
    return parser.instantiate(config).model
