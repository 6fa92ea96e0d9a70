"""The words of the project: what is passed on, and what may be exchanged.

A `Tokenizer` makes `Tokens` of a `Batch`, a `Backbone` makes `Features` of those, a `Head` a prediction.
An `Objective` joins a tokenizer and a backbone into losses. The values stand in `brainfm.values`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from brainfm.errors import UsageError
from brainfm.values import Batch, Features, Kind, Misfit, Observation, Tokens

__all__ = [
    "Backbone",
    "Batch",
    "Component",
    "Features",
    "Head",
    "Kind",
    "Mask",
    "Misfit",
    "Objective",
    "Observation",
    "Signal",
    "SignalTokenizer",
    "Tokenizer",
    "Tokens",
]


class Component(nn.Module, ABC):
    """A part that YAML can name: its class is its name, its constructor's signature its schema.

    As in scikit-learn, a constructor keeps each argument under the argument's own name, so that
    `brainfm.weights.describe` can write down how to build the part again.

    Attributes
    ----------
    saved_as
        the class that a checkpoint names in place of this one, where building it again needs
        something that a checkpoint must not depend on (another run's folder).
    plain
        names of constructor arguments that are data, in which nothing is to be built.
    local
        names of constructor arguments that say how a machine computes the part and not what: a
        checkpoint keeps their defaults in place of their values, so that it loads anywhere.
    """

    saved_as: type[Component] | None = None
    plain: tuple[str, ...] = ()
    local: tuple[str, ...] = ()


class Tokenizer(Component):
    """Makes `Tokens` of a `Batch`.

    Attributes
    ----------
    dim
        width of a token's value.
    vocabulary
        number of codes, or None where tokens are continuous.
    sfreq
        the sampling rate in Hz that the tokenizer is made for, or None where any will do.
    ch_names
        the channels, in their order, that it is made for, or None where any will do.
    samples
        True where a token's value is the samples of its patch, so that the tokens of a channel,
        side by side, are its signal.
    frozen
        True where no training changes it.
    """

    dim: int
    vocabulary: int | None = None
    sfreq: float | None = None
    ch_names: Sequence[str] | None = None
    samples: bool = False
    frozen: bool = False

    @property
    def learns(self) -> bool:
        """Whether it is a part of the model that is trained, as an embedding of patches is."""
        return not self.frozen and self.vocabulary is None

    def check_channels(self, names: Sequence[str], where: str) -> None:
        """Refuse channels that are not those the tokenizer is made for, whatever their case.

        Raises
        ------
        UsageError
            If there are such channels and ``names`` (of the recording ``where``) are others.
        """
        wanted = self.ch_names
        if wanted is not None and [n.upper() for n in names] != [n.upper() for n in wanted]:
            raise UsageError(
                f"{where} has the {len(names)} channels {', '.join(names)} and the tokenizer knows exactly "
                f"{len(wanted)}, in this order: {', '.join(wanted)}; choose other recordings or set the "
                "tokenizer's ch_names."
            )

    @abstractmethod
    def forward(self, batch: Batch) -> Tokens:
        """Tokenize windows."""


Signal = Float[Tensor, "batch channel time"]


class SignalTokenizer(Tokenizer):
    """A tokenizer of continuous tokens that stand on a grid, so that its signal can be drawn again.

    Tokens run through time first, then through channels.

    Attributes
    ----------
    cell
        channels and samples of the smallest piece of a window that can be hidden by itself.
    span
        channels and samples that a token covers.
    """

    cell: tuple[int, int]
    span: tuple[int, int]

    @abstractmethod
    def normalise(self, batch: Batch) -> Signal:
        """Return the windows' signal as it is tokenized, of the order of 1."""

    @abstractmethod
    def tokens(self, signal: Signal, batch: Batch) -> Tokens:
        """Make tokens of a normalised signal, whole or with parts hidden."""

    def forward(self, batch: Batch) -> Tokens:
        """Tokenize windows."""
        return self.tokens(self.normalise(batch), batch)


class Backbone(Component):
    """Makes `Features` of `Tokens`; the first constructor argument is the tokens' width.

    Attributes
    ----------
    dim
        width of the features.
    needs_codes
        True where the backbone reads ``Tokens.code`` and so needs a discrete tokenizer.
    needs_samples
        True where it puts a channel's tokens together again and so needs samples in them.
    """

    dim: int
    needs_codes: bool = False
    needs_samples: bool = False

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Refuse a tokenizer whose tokens the backbone cannot read.

        Raises
        ------
        UsageError
            If it lacks what ``needs_codes`` or ``needs_samples`` asks for.
        """
        given, own = type(tokenizer).__name__, type(self).__name__
        if self.needs_codes and tokenizer.vocabulary is None:
            raise UsageError(
                f"{own} reads discrete codes and {given} gives continuous tokens; choose a tokenizer "
                "with a vocabulary or another backbone."
            )
        if self.needs_samples and not tokenizer.samples:
            raise UsageError(
                f"{own} puts samples together and the tokens of {given} are none; choose a tokenizer "
                "whose tokens are samples or another backbone."
            )

    def stages(self) -> Sequence[nn.Module]:
        """Return the blocks from first to last, for learning rates that differ by depth."""
        return list(getattr(self, "blocks", ()))

    @abstractmethod
    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; with ``layers`` also every layer's output."""

    def adopt(self, codebook: Float[Tensor, "code dim"]) -> None:
        """Start from a tokenizer's code vectors, where the backbone has a use for them."""


class Head(Component):
    """Makes a prediction of `Features`; constructed from their width and the number of outputs."""

    @abstractmethod
    def forward(self, features: Features) -> Float[Tensor, "batch output"]:
        """Return one row of scores a window."""


class Mask(Component):
    """Says what is hidden from a model; built of numbers alone."""

    @abstractmethod
    def forward(
        self, real: Bool[Tensor, "batch row"], columns: int, generator: torch.Generator
    ) -> Bool[Tensor, "batch row {columns}"]:
        """Return which cells of a grid (rows of channels, columns of time) are hidden.

        Rows that are not ``real`` are never hidden.
        """


class Objective(Component):
    """Joins a tokenizer and a backbone into losses; holds both as ``tokenizer`` and ``backbone``.

    Parameters
    ----------
    tokenizer
        the tokenizer.
    backbone
        the backbone, None where the tokenizer itself is what is trained.

    Raises
    ------
    UsageError
        If the backbone cannot read the tokenizer's tokens.
    """

    tokenizer: Tokenizer
    backbone: Backbone | None

    def __init__(self, tokenizer: Tokenizer, backbone: Backbone | None):
        super().__init__()
        if backbone is not None:
            backbone.check_tokenizer(tokenizer)
        self.tokenizer, self.backbone = tokenizer, backbone

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return named losses and measures; ``"loss"`` is what the training minimises.

        All randomness of the objective itself (masks, diffusion steps) comes from ``generator``.
        """

    @torch.no_grad()
    def observe(self, batch: Batch, generator: torch.Generator) -> Observation:
        """Return what the health of the training is told from, in evaluation mode.

        An objective that draws a signal adds how wrong it is at each frequency.
        """
        tokens = self.tokenizer(batch)
        plain = Features(tokens.value, tokens.mask)
        made = plain if self.backbone is None else self.backbone(tokens)
        code = None if tokens.code is None else tokens.code[tokens.mask]
        return Observation(made.pooled(), code)

    def begin(self, batch: Batch) -> None:
        """Set what depends on the data, from the first training batch, before the first step."""

    def advance(self) -> None:
        """Follow the weights, once before each step, into however many parts its batch is cut."""

    def end(self) -> None:
        """Set what depends on the whole training, after its last step."""
