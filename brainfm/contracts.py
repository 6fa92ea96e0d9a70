"""The words of the project: what is passed on, and what may be exchanged.

A window of EEG or MEG is a `Batch`. A `Tokenizer` makes `Tokens` of it, a `Backbone` makes `Features`
of those, a `Head` makes a prediction. An `Objective` joins a tokenizer and a backbone into losses.
Sensor position, kind and mask travel inside the values, so no model holds a channel list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from brainfm.errors import UsageError


class Kind(IntEnum):
    """What a sensor measures, by coil type where MNE's channel type is not enough.

    CTF and KIT axial gradiometers are typed ``mag`` by MNE on purpose; their signals differ from a
    magnetometer's, so they are a kind of their own here.
    """

    eeg = 0
    mag = 1
    grad_planar = 2
    grad_axial = 3
    ref_meg = 4
    ecog = 5
    seeg = 6
    eog = 7
    ecg = 8
    emg = 9
    misc = 10


V = TypeVar("V", bound="_Value")


@dataclass(frozen=True, eq=False)
class _Value:
    """What all values share: moving between devices."""

    def to(self: V, device: torch.device | str) -> V:
        """Return a copy with every tensor on ``device``."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(device) for k, v in tensors.items() if isinstance(v, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class Batch(_Value):
    """Windows of equal length, padded to the same number of channels.

    Attributes
    ----------
    signal
        (batch, channel, time) float32, SI units as in MNE: V, T or T/m by kind.
    position
        (batch, channel, 3) metres in MNE head coordinates, NaN where unknown.
    orientation
        (batch, channel, 3) unit normal of an MEG coil, NaN for electrodes.
    kind
        (batch, channel) values of `Kind`.
    mask
        (batch, channel) True for a real channel, False for padding.
    sfreq
        sampling rate in Hz.
    recording
        id of the recording each window came from.
    onset
        (batch,) start of each window in its recording, in seconds.
    """

    signal: Float[Tensor, "batch channel time"]
    position: Float[Tensor, "batch channel 3"]
    orientation: Float[Tensor, "batch channel 3"]
    kind: Int[Tensor, "batch channel"]
    mask: Bool[Tensor, "batch channel"]
    sfreq: float
    recording: tuple[str, ...]
    onset: Float[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class Tokens(_Value):
    """A sequence of tokens, each of one channel and one moment.

    Attributes
    ----------
    value
        (batch, token, dim) continuous value.
    code
        (batch, token) index into the tokenizer's vocabulary, or None where tokens are continuous.
        The index equal to the size of the vocabulary stands for a hidden token.
    time
        (batch, token) start of the token in seconds from the start of the window.
    channel
        (batch, token) channel of the window that the token describes.
    position
        (batch, token, 3) that channel's position in metres, NaN where unknown.
    kind
        (batch, token) that channel's `Kind`.
    mask
        (batch, token) True for a real token, False for padding.
    """

    value: Float[Tensor, "batch token dim"]
    code: Int[Tensor, "batch token"] | None
    time: Float[Tensor, "batch token"]
    channel: Int[Tensor, "batch token"]
    position: Float[Tensor, "batch token 3"]
    kind: Int[Tensor, "batch token"]
    mask: Bool[Tensor, "batch token"]


@dataclass(frozen=True, eq=False)
class Features(_Value):
    """What a backbone makes of tokens.

    Attributes
    ----------
    value
        (batch, token, dim) one feature vector a token, in the tokens' order.
    mask
        (batch, token) True for a real token.
    summary
        (batch, dim) the backbone's own summary of the window (a CLS token), or None.
    layers
        every layer's (batch, token, width), first to last; empty unless asked for.
    time
        (batch, token) start of the token in seconds from the start of the window, or None where
        the backbone does not say.
    """

    value: Float[Tensor, "batch token dim"]
    mask: Bool[Tensor, "batch token"]
    summary: Float[Tensor, "batch dim"] | None = None
    layers: tuple[Float[Tensor, "batch token width"], ...] = ()
    time: Float[Tensor, "batch token"] | None = None

    def pooled(self) -> Float[Tensor, "batch dim"]:
        """Return the summary, or the mean over real tokens where there is none."""
        if self.summary is not None:
            return self.summary
        weight = self.mask.unsqueeze(-1).to(self.value.dtype)
        return (self.value * weight).sum(1) / weight.sum(1).clamp(min=1)


class Component(nn.Module, ABC):
    """A part that YAML can name: its class is its name, its constructor's signature its schema.

    As in scikit-learn, a constructor keeps each argument under the argument's own name, so that
    `brainfm.weights.describe` can write down how to build the part again.

    Attributes
    ----------
    saved_as
        the class that a checkpoint names in place of this one, where building it again needs
        something that a checkpoint must not depend on (another run's folder).
    """

    saved_as: type[Component] | None = None


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

    def begin(self, batch: Batch) -> None:
        """Set what depends on the data, from the first training batch, before the first step."""

    def end(self) -> None:
        """Set what depends on the whole training, after its last step."""
