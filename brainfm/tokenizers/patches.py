"""The plainest continuous tokens: pieces of one channel through one linear map.

As in vision transformers (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929), in one dimension.
"""

from __future__ import annotations

from einops import rearrange
from torch import nn

from brainfm.contracts import Batch, Signal, SignalTokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.layers.spectrum import scale_by_percentile
from brainfm.tokenizers.by_channel import tokens_by_channel


class Patches(SignalTokenizer):
    """Cuts every channel into pieces of equal length and maps each to a vector.

    Any number of channels of any kind will do: each is divided by its 95th percentile, so that the
    unit does not matter. What is where stands in the tokens, not in their values.

    Parameters
    ----------
    dim
        width of a token.
    n_samples
        samples a token.
    """

    def __init__(self, dim: int = 64, *, n_samples: int = 100):
        super().__init__()
        self.dim, self.n_samples = dim, n_samples
        self.cell = self.span = (1, n_samples)
        self.embed = nn.Linear(n_samples, dim)

    def normalise(self, batch: Batch) -> Signal:
        """Return channels over their 95th percentiles.

        Raises
        ------
        UsageError
            If pieces do not fill the window.
        """
        n, _, n_times = batch.signal.shape
        if n_times % self.n_samples:
            raise UsageError(
                f"Windows of {n_times} samples are no whole number of pieces of {self.n_samples}; "
                "choose other `seconds` or another `n_samples`."
            )
        rows = scale_by_percentile(rearrange(batch.signal, "b c t -> (b c) t"))
        return rearrange(rows, "(b c) t -> b c t", b=n)

    def tokens(self, signal: Signal, batch: Batch) -> Tokens:
        """Make tokens of a normalised signal."""
        value = self.embed(rearrange(signal, "b c (k s) -> b c k s", s=self.n_samples))
        return tokens_by_channel(value, batch, step=self.n_samples / batch.sfreq)
