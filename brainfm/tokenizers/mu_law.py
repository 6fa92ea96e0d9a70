"""Patches of one channel's samples, compressed where they are large.

Puah et al., "EEGDM: EEG Representation Learning via Generative Diffusion Model", 2025: volts × 10⁴ (the
unit is 100 µV), then a µ-law that leaves all below 100 µV as it is.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from brainfm.contracts import Batch, Kind, Signal, SignalTokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.tokenizers.by_channel import tokens_by_channel

MU = 255
Law = Literal["staged", "full", "none"]


def compress(x: Float[Tensor, "*shape"], law: Law = "staged") -> Float[Tensor, "*shape"]:
    """Return sgn(x) ln(1 + 255 |x|) / ln 256; where staged, only beyond ±1, where it is continuous."""
    if law == "none":
        return x
    curved = x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return torch.where(x.abs() <= 1, x, curved) if law == "staged" else curved


def expand(y: Float[Tensor, "*shape"], law: Law = "staged") -> Float[Tensor, "*shape"]:
    """Invert `compress`."""
    if law == "none":
        return y
    curved = y.sign() * torch.expm1(y.abs() * math.log1p(MU)) / MU
    return torch.where(y.abs() <= 1, y, curved) if law == "staged" else curved


class MuLawPatches(SignalTokenizer):
    """Cuts each channel into patches; a token is the samples of one patch, learned from nothing.

    Patches follow each other without overlap, so a model can put the channel together again.

    Parameters
    ----------
    patch
        samples a token.
    law
        ``"staged"`` as above; ``"full"`` bends small values too; ``"none"`` only scales (ablated
        in the paper: kappa 72.50 instead of 74.23).
    volt
        factor that brings electrodes to the order of 0.1, the paper's.
    tesla
        the same for magnetometers and axial gradiometers; ours, since the paper knows no MEG.
    tesla_per_metre
        the same for planar gradiometers; ours.
    sfreq
        sampling rate in Hz that windows must have; None for any.
    """

    samples = True

    def __init__(
        self,
        patch: int = 200,
        *,
        law: Law = "staged",
        volt: float = 1e4,
        tesla: float = 1e11,
        tesla_per_metre: float = 1e10,
        sfreq: float | None = 200.0,
    ):
        super().__init__()
        self.patch = self.dim = patch
        self.cell = self.span = (1, patch)
        self.law: Literal["staged", "full", "none"] = law
        self.volt, self.tesla, self.tesla_per_metre = volt, tesla, tesla_per_metre
        self.sfreq = sfreq
        factors = dict.fromkeys(Kind, volt)
        factors |= dict.fromkeys((Kind.mag, Kind.grad_axial, Kind.ref_meg), tesla)
        factors[Kind.grad_planar] = tesla_per_metre
        self.register_buffer("factor", torch.tensor(list(factors.values())), persistent=False)

    def normalise(self, batch: Batch) -> Signal:
        """Return scaled and compressed samples.

        Raises
        ------
        UsageError
            If the sampling rate is another, or a window is no whole number of patches.
        """
        self._check(batch)
        factor = self.get_buffer("factor")[batch.kind].unsqueeze(-1)
        return compress(batch.signal * factor, self.law)

    def tokens(self, signal: Signal, batch: Batch) -> Tokens:
        """Cut compressed samples into tokens."""
        value = rearrange(signal, "b c (t d) -> b c t d", d=self.dim)
        return tokens_by_channel(value, batch, step=self.dim / batch.sfreq)

    def volts(self, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return compressed samples of electrodes as volts."""
        return expand(value, self.law) / self.volt

    def _check(self, batch: Batch) -> None:
        if self.sfreq is not None and batch.sfreq != self.sfreq:
            raise UsageError(
                f"The windows have {batch.sfreq:g} Hz and the tokenizer wants {self.sfreq:g} Hz; "
                "ingest the recordings with that sampling rate."
            )
        if (n_times := batch.signal.shape[-1]) % self.dim:
            raise UsageError(
                f"The windows have {n_times} samples, which is no whole number of patches of "
                f"{self.dim}; ask for windows of a multiple of {self.dim / batch.sfreq:g} s."
            )
