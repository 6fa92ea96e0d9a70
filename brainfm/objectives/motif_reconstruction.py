"""Trains the motif tokenizer: see part of a spectrogram, say all of it, through the codebook.

Pradeepkumar et al., ICLR 2026, arXiv 2502.16060: Σ‖S−Ŝ‖² + α‖sg[E]−v‖² + β‖E−sg[v]‖² over a masked view
and its complement.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from brainfm.contracts import Backbone, Batch, Misfit, Objective, Observation, Tokenizer
from brainfm.errors import UsageError
from brainfm.objectives.masks import frequency_time_mask
from brainfm.tokenizers import MotifTokenizer


class MotifReconstruction(Objective):
    """Masked reconstruction of magnitude spectra through a motif tokenizer.

    Only the spectrogram is masked. The temporal path sees the whole signal, as in the paper.

    Parameters
    ----------
    tokenizer
        the tokenizer to train.
    backbone
        none; the tokenizer is what is trained.
    vq_loss
        ``"paper"`` is the loss as printed: the encoder is drawn to its code vectors (β), and the
        codebook to the encoder, which the moving averages do in closed form in place of α.
        ``"released"`` is what the published code computes: it hands the straight-through vector to
        the loss, where the α and β gradients cancel, so nothing draws the encoder to its codes. The
        default is the paper's, because a term that is meant and printed should act, and because
        encoder and codebook drift apart without it.
    beta
        weight of the commitment term.
    band
        bins a masked frequency band.
    frequency_ratio
        share of the bands that are hidden.
    time_ratio
        share of the frames that are hidden.
    readout_start
        ``"mean"`` starts the decoder's last bias at the mean spectrum of the first batch,
        ``"random"`` where PyTorch starts it. The paper does not say. From a random start the
        decoder first has to climb to the mean spectrum, all tokens are pushed the same way
        meanwhile, and within a hundred steps they coincide: training from there needs an order of
        magnitude more steps (docs/log.md).
    """

    tokenizer: MotifTokenizer

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None = None,
        *,
        vq_loss: Literal["paper", "released"] = "paper",
        beta: float = 1.0,
        band: int = 5,
        frequency_ratio: float = 0.5,
        time_ratio: float = 0.5,
        readout_start: Literal["mean", "random"] = "mean",
    ):
        if not isinstance(tokenizer, MotifTokenizer) or backbone is not None:
            raise UsageError(
                f"MotifReconstruction trains a MotifTokenizer without a backbone, not a "
                f"{type(tokenizer).__name__} with {type(backbone).__name__}; set `backbone: null`."
            )
        super().__init__(tokenizer, backbone)
        self.vq_loss, self.beta, self.band = vq_loss, beta, band
        self.frequency_ratio, self.time_ratio = frequency_ratio, time_ratio
        self.readout_start = readout_start

    def begin(self, batch: Batch) -> None:
        """Start the readout at the mean spectrum, where so configured."""
        if self.readout_start == "mean":
            rows = self.tokenizer.channels(batch)[batch.mask.flatten()]
            mean = self.tokenizer.spectrogram(rows).mean((0, 2))
            self.tokenizer.start_readout(mean)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss, its terms and the codebook's perplexity within the batch."""
        rows = self.tokenizer.channels(batch)[batch.mask.flatten()]
        spectrogram = self.tokenizer.spectrogram(rows)
        keep = self._keep(spectrogram, generator)
        first, second = (self._view(spectrogram, rows, visible) for visible in (keep, ~keep))
        reconstruction, commitment = first[0] + second[0], first[1] + second[1]
        weight = self.beta if self.vq_loss == "paper" else 0.0
        return {
            "loss": reconstruction + weight * commitment,
            "reconstruction": reconstruction.detach(),
            "commitment": commitment.detach(),
            "perplexity": perplexity(first[2], self.tokenizer.n_codes),
        }

    @torch.no_grad()
    def observe(self, batch: Batch, generator: torch.Generator) -> Observation:
        """Add how wrong the magnitudes are that are drawn from a masked view."""
        rows = self.tokenizer.channels(batch)[batch.mask.flatten()]
        spectrogram = self.tokenizer.spectrogram(rows)
        visible = spectrogram * self._keep(spectrogram, generator)
        drawn = self.tokenizer.decode(
            self.tokenizer.quantize(self.tokenizer.encode(visible, rows)).value
        )
        bins = torch.arange(spectrogram.shape[1], device=rows.device)
        wrong = Misfit(
            frequency=bins * (self.tokenizer.sfreq / self.tokenizer.n_fft),
            error=(drawn - spectrogram).square().sum((0, 2)),
            power=spectrogram.square().sum((0, 2)),
        )
        return replace(super().observe(batch, generator), misfit=wrong)

    def _keep(self, spectrogram: Tensor, generator: torch.Generator) -> Tensor:
        """Return which cells stay visible."""
        return frequency_time_mask(
            *spectrogram.shape[1:],
            generator=generator,
            band=self.band,
            frequency_ratio=self.frequency_ratio,
            time_ratio=self.time_ratio,
        ).to(spectrogram.device)

    def _view(
        self,
        spectrogram: Float[Tensor, "row bin frame"],
        rows: Float[Tensor, "row time"],
        visible: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction and commitment of one view, over all cells, and its codes."""
        encoded = self.tokenizer.encode(spectrogram * visible, rows)
        quantized = self.tokenizer.quantize(encoded)
        error = (self.tokenizer.decode(quantized.value) - spectrogram).square().mean()
        return error, quantized.commitment, quantized.code


def perplexity(code: Tensor, vocabulary: int) -> Float[Tensor, ""]:
    """Return exp of the entropy of the codes' frequencies: how many codes are used evenly."""
    share = torch.bincount(code.flatten(), minlength=vocabulary) / code.numel()
    return torch.special.entr(share).sum().exp()
