"""FEMBA's tokens: rectangles of a fixed bipolar montage, all of one moment joined into one token.

Tegon et al., "FEMBA: Efficient and Scalable EEG Analysis with a Bidirectional Mamba Foundation Model", 2025,
arXiv 2502.06438.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange, repeat
from torch import nn

from brainfm.contracts import Batch, Signal, SignalTokenizer, Tokens
from brainfm.errors import UsageError

# The order of FEMBA's pretraining data. The released scripts for its downstream data sets put A1-T3 ninth
# and T4-A2 fourteenth, so that a model meets other channels than it has learned; we have one order.
# T7, T8, P7 and P8 are called T3, T4, T5 and T6 there.
TCP = (
    *("Fp1-F7", "F7-T7", "T7-P7", "P7-O1", "Fp2-F8", "F8-T8", "T8-P8", "P8-O2"),
    *("T7-C3", "C3-Cz", "Cz-C4", "C4-T8"),
    *("Fp1-F3", "F3-C3", "C3-P3", "P3-O1", "Fp2-F4", "F4-C4", "C4-P4", "P4-O2"),
    *("A1-T7", "T8-A2"),
)


class MontagePatches(SignalTokenizer):
    """A convolution over rectangles of (channel, time), whose columns become tokens.

    The weights know the place of every channel, so windows must hold exactly ``ch_names``, in that
    order and ``n_times`` long. A token describes all channels and stands in `Tokens` as channel 0.

    Parameters
    ----------
    width
        features of a rectangle; a token has ``width`` for each row of rectangles.
    ch_names
        the channels, in their order; by default the 22 of the Temple montage.
    n_times
        samples a window.
    sfreq
        sampling rate in Hz.
    patch
        channels and samples a rectangle.
    normalisation
        ``"iqr"`` takes each channel of each window from its lower to its upper quartile to
        0…1, which is what the paper says, and the default because it does not depend on the
        amplifier; ``"fixed"`` takes −20…20 µV to 0…1 everywhere, which is what the released code
        does and the released weights expect.
    """

    sfreq: float
    ch_names: Sequence[str]

    def __init__(
        self,
        width: int = 35,
        *,
        ch_names: Sequence[str] = TCP,
        n_times: int = 1280,
        sfreq: float = 256.0,
        patch: Sequence[int] = (2, 16),
        normalisation: Literal["iqr", "fixed"] = "iqr",
    ):
        super().__init__()
        self.width, self.ch_names, self.n_times, self.sfreq = width, tuple(ch_names), n_times, sfreq
        self.patch, self.normalisation = (patch[0], patch[1]), normalisation
        self.cell, self.span = self.patch, (len(ch_names), patch[1])
        if len(ch_names) % patch[0] or n_times % patch[1]:
            raise UsageError(
                f"Rectangles of {patch[0]} channels × {patch[1]} samples do not fill a window of "
                f"{len(ch_names)} × {n_times}; choose another patch, ch_names or n_times."
            )
        self.grid = (len(ch_names) // patch[0], n_times // patch[1])
        self.dim = width * self.grid[0]
        self.embed = nn.Conv2d(1, width, self.patch, stride=self.patch)
        self.position = nn.Parameter(torch.zeros(1, self.grid[1], self.dim))

    def normalise(self, batch: Batch) -> Signal:
        """Return the windows' signal around 0…1.

        Raises
        ------
        UsageError
            If the windows are not of the montage, length and sampling rate that the weights know.
        """
        self._check(batch)
        microvolts = 1e6 * batch.signal
        if self.normalisation == "fixed":
            return (microvolts + 20) / 40
        quartiles = torch.quantile(
            microvolts, microvolts.new_tensor([0.25, 0.75]), -1, keepdim=True
        )
        return (microvolts - quartiles[0]) / (quartiles[1] - quartiles[0] + 1e-8)

    def _check(self, batch: Batch) -> None:
        _, n_channels, n_times = batch.signal.shape
        met = (n_channels, n_times, float(batch.sfreq), bool(batch.mask.all()))
        wanted = (len(self.ch_names), self.n_times, float(self.sfreq), True)
        if met != wanted:
            padded = "" if met[3] else ", some of them padding"
            raise UsageError(
                f"The windows have {n_channels} channels{padded} × {n_times} samples at {met[2]:g} Hz, and "
                f"the tokenizer knows exactly {wanted[0]} ({self.ch_names[0]} … {self.ch_names[-1]}) × "
                f"{self.n_times} at {self.sfreq:g} Hz; bring the recordings to these or set the "
                "tokenizer's ch_names, n_times and sfreq."
            )

    def tokens(self, signal: Signal, batch: Batch) -> Tokens:
        """Make tokens of a normalised signal, one for each column of rectangles."""
        n, n_tokens = len(signal), self.grid[1]
        value = rearrange(self.embed(signal.unsqueeze(1)), "b e h k -> b k (e h)") + self.position
        start = torch.arange(n_tokens, device=signal.device) * (self.patch[1] / self.sfreq)
        return Tokens(
            value=value,
            code=None,
            time=repeat(start, "k -> b k", b=n),
            channel=torch.zeros(n, n_tokens, dtype=torch.long, device=signal.device),
            position=signal.new_full((n, n_tokens, 3), torch.nan),
            kind=batch.kind[:, :1].expand(n, n_tokens),
            mask=torch.ones(n, n_tokens, dtype=torch.bool, device=signal.device),
        )
