"""The values that are passed on: a window, its tokens, what a backbone makes of them.

A window of EEG or MEG is a `Batch`, which a tokenizer turns into `Tokens` and a backbone into `Features`.
Sensor position, kind and mask travel inside them, so no model holds a channel list.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
    channel
        (batch, token) channel of the window that the token describes, or None where the backbone
        does not say.
    """

    value: Float[Tensor, "batch token dim"]
    mask: Bool[Tensor, "batch token"]
    summary: Float[Tensor, "batch dim"] | None = None
    layers: tuple[Float[Tensor, "batch token width"], ...] = ()
    time: Float[Tensor, "batch token"] | None = None
    channel: Int[Tensor, "batch token"] | None = None

    def pooled(self) -> Float[Tensor, "batch dim"]:
        """Return the summary, or the mean over real tokens where there is none."""
        if self.summary is not None:
            return self.summary
        weight = self.mask.unsqueeze(-1).to(self.value.dtype)
        return (self.value * weight).sum(1) / weight.sum(1).clamp(min=1)


@dataclass(frozen=True, eq=False)
class Misfit(_Value):
    """How wrong a drawn signal is at each frequency, summed over rows.

    Attributes
    ----------
    frequency
        (frequency,) in Hz.
    error
        (frequency,) squared magnitude of what the drawn signal lacks or has too much.
    power
        (frequency,) squared magnitude of the signal itself.
    """

    frequency: Float[Tensor, " frequency"]
    error: Float[Tensor, " frequency"]
    power: Float[Tensor, " frequency"]


@dataclass(frozen=True, eq=False)
class Observation(_Value):
    """What tells a model that learns from one that collapses, of one batch.

    Attributes
    ----------
    features
        (batch, dim) pooled features of each window.
    code
        (token,) codes of the real tokens, or None where tokens are continuous.
    misfit
        of the drawn signal, or None where none is drawn.
    """

    features: Float[Tensor, "batch dim"]
    code: Int[Tensor, " token"] | None = None
    misfit: Misfit | None = None
