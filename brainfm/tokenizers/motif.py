"""Time-frequency motif tokenizer: one discrete token for each channel and half second.

Pradeepkumar et al., "Tokenizing Single-Channel EEG with Time-Frequency Motif Learning", ICLR 2026,
arXiv 2502.16060. Sizes are those of the released "2×2×8" tokenizer (1,166,100 learned numbers).
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from brainfm.contracts import Batch, Tokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.layers.linear_attention import LinearTransformer
from brainfm.layers.spectrum import magnitude_spectrogram, scale_by_percentile
from brainfm.tokenizers.quantizer import Quantized, Quantizer

BAND = 5  # bins a frequency band; also bands a group in the gated aggregation


class SpectralWindowEncoder(nn.Module):
    """Summarises one spectrum of ``n_bins`` in ``dim // 2`` numbers (localised spectral window).

    Bands of 5 bins become tokens, a linear transformer relates them, and a gated convolution
    gathers groups of 5 bands.
    """

    def __init__(self, dim: int, *, n_bins: int, depth: int, heads: int, dropout: float):
        super().__init__()
        groups = n_bins // BAND**2
        self.embed = _convolutions(dim, [(1, dim, BAND), (dim, dim, 1), (dim, dim, 1)])
        self.transformer = LinearTransformer(dim, depth=depth, heads=heads, dropout=dropout)
        self.gate = nn.Conv1d(dim, dim // (2 * groups), BAND, stride=BAND)
        self.gather = nn.Conv1d(dim, dim // (2 * groups), BAND, stride=BAND)

    def forward(self, spectrum: Float[Tensor, "row bin"]) -> Float[Tensor, "row half"]:
        """Encode one spectrum a row."""
        bands = rearrange(self.embed(spectrum.unsqueeze(1)), "r d b -> r b d")
        bands = rearrange(self.transformer(bands)[-1], "r b d -> r d b")
        return rearrange(self.gate(bands).sigmoid() * self.gather(bands), "r d g -> r (d g)")


def _convolutions(dim: int, layers: list[tuple[int, int, int]], hop: int = BAND) -> nn.Sequential:
    """Convolution, GELU and group norm for each (inputs, outputs, kernel)."""
    parts: list[nn.Module] = []
    for n_in, n_out, kernel in layers:
        stride = 1 if kernel == 1 else hop
        parts += [nn.Conv1d(n_in, n_out, kernel, stride=stride), nn.GELU()]
        parts += [nn.GroupNorm(dim // 4, n_out)]
    return nn.Sequential(*parts)


class MotifTokenizer(Tokenizer):
    """Time-frequency motif tokenizer (TFM-Tokenizer).

    Each channel is tokenized by itself: scaled by its 95th percentile, so that the unit does not
    matter; cut into frames of one second every half second; a spectral path (magnitudes) and a
    temporal path (raw signal) meet in a transformer over time, whose unit-length outputs are
    replaced by the nearest of ``n_codes`` code vectors. There is no position code (an ablated choice).

    Parameters
    ----------
    n_codes
        size of the vocabulary.
    dim
        width of a token.
    n_fft
        samples a frame covers; the sampling rate is the same number, so a frame is one second.
    hop
        samples from one frame to the next.
    sfreq
        sampling rate in Hz that windows must have.
    frequency_depth
        transformer blocks over the bands of a spectrum.
    temporal_depth
        transformer blocks over time, where both paths have met.
    decoder_depth
        transformer blocks of the decoder.
    heads
        attention heads.
    dropout
        dropout on each attention's output.
    decay
        of the codebook's moving averages.
    """

    sfreq: float

    def __init__(
        self,
        n_codes: int = 8192,
        dim: int = 64,
        *,
        n_fft: int = 200,
        hop: int = 100,
        sfreq: float = 200.0,
        frequency_depth: int = 2,
        temporal_depth: int = 2,
        decoder_depth: int = 8,
        heads: int = 8,
        dropout: float = 0.2,
        decay: float = 0.99,
    ):
        super().__init__()
        self.n_codes, self.dim, self.n_fft, self.hop, self.sfreq = n_codes, dim, n_fft, hop, sfreq
        self.frequency_depth, self.temporal_depth = frequency_depth, temporal_depth
        self.decoder_depth, self.heads, self.dropout = decoder_depth, heads, dropout
        self.decay, self.vocabulary = decay, n_codes
        n_bins = n_fft // 2
        if n_bins % BAND**2 or dim % (2 * n_bins // BAND**2) or dim % heads:
            raise UsageError(
                f"A motif tokenizer with n_fft={n_fft}, dim={dim} and heads={heads} cannot be built: "
                f"n_fft must be a multiple of {2 * BAND**2}, dim of n_fft/{BAND**2} and of heads."
            )
        options = {"heads": heads, "dropout": dropout}
        self.spectral = SpectralWindowEncoder(dim, n_bins=n_bins, depth=frequency_depth, **options)
        self.temporal = _convolutions(
            dim, [(1, dim, n_fft), (dim, dim, 1), (dim, dim // 2, 1)], hop
        )
        self.fusion = LinearTransformer(dim, depth=temporal_depth, **options)
        self.quantizer = Quantizer(dim, n_codes, decay=decay)
        self.decoder = LinearTransformer(dim, depth=decoder_depth, **options)
        self.readout = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, n_bins))

    @property
    def codebook(self) -> Float[Tensor, "code dim"]:
        """The code vectors."""
        return self.quantizer.ema_codebook

    @property
    def step(self) -> float:
        """Seconds from one token to the next."""
        return self.hop / self.sfreq

    @property
    def span(self) -> float:
        """Seconds that a token covers."""
        return self.n_fft / self.sfreq

    def channels(self, batch: Batch) -> Float[Tensor, "row time"]:
        """Return every channel of every window as a scaled row, padding included.

        Raises
        ------
        UsageError
            If the sampling rate is not the tokenizer's, or a window is shorter than a frame.
        """
        if batch.sfreq != self.sfreq:
            raise UsageError(
                f"The windows have {batch.sfreq:g} Hz and the tokenizer wants {self.sfreq:g} Hz; "
                "ingest the recordings with that sampling rate."
            )
        if batch.signal.shape[-1] < self.n_fft:
            raise UsageError(
                f"The windows have {batch.signal.shape[-1] / batch.sfreq:g} s and the tokenizer "
                f"wants at least {self.span:g} s; ask for longer windows."
            )
        return scale_by_percentile(rearrange(batch.signal, "b c t -> (b c) t"))

    def spectrogram(self, rows: Float[Tensor, "row time"]) -> Float[Tensor, "row bin frame"]:
        """Return the magnitudes, one bin a hertz, that are encoded and reconstructed."""
        return magnitude_spectrogram(rows, n_fft=self.n_fft, hop=self.hop)

    def encode(
        self, spectrogram: Float[Tensor, "row bin frame"], rows: Float[Tensor, "row time"]
    ) -> Float[Tensor, "row frame dim"]:
        """Return unit-length vectors, one a frame, before quantisation."""
        n_frames = spectrogram.shape[-1]
        spectral = self.spectral(rearrange(spectrogram, "r f t -> (r t) f"))
        spectral = rearrange(spectral, "(r t) d -> r t d", t=n_frames)
        temporal = rearrange(self.temporal(rows.unsqueeze(1)), "r d t -> r t d")
        return normalize(self.fusion(torch.cat([spectral, temporal], -1))[-1], dim=-1)

    def quantize(self, encoded: Float[Tensor, "row frame dim"]) -> Quantized:
        """Replace vectors by code vectors."""
        return self.quantizer(encoded)

    @torch.no_grad()
    def start_readout(self, spectrum: Float[Tensor, " bin"]) -> None:
        """Let the decoder begin at a given spectrum: the bias of its last layer."""
        last = self.readout[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(spectrum)

    def decode(self, value: Float[Tensor, "row frame dim"]) -> Float[Tensor, "row bin frame"]:
        """Predict magnitudes from code vectors."""
        return rearrange(self.readout(self.decoder(value)[-1]), "r t f -> r f t")

    def forward(self, batch: Batch) -> Tokens:
        """Tokenize windows; tokens run through time first, then through channels."""
        rows = self.channels(batch)
        quantized = self.quantize(self.encode(self.spectrogram(rows), rows))
        n_windows, n_channels = batch.mask.shape
        n_frames = quantized.code.shape[1]
        frames = torch.arange(n_frames, device=rows.device, dtype=torch.float32) * self.step
        index = torch.arange(n_channels, device=rows.device)
        return Tokens(
            value=rearrange(quantized.value, "(b c) t d -> b (c t) d", b=n_windows),
            code=rearrange(quantized.code, "(b c) t -> b (c t)", b=n_windows),
            time=repeat(frames, "t -> b (c t)", b=n_windows, c=n_channels),
            channel=repeat(index, "c -> b (c t)", b=n_windows, t=n_frames),
            position=repeat(batch.position, "b c p -> b (c t) p", t=n_frames),
            kind=repeat(batch.kind, "b c -> b (c t)", t=n_frames),
            mask=repeat(batch.mask, "b c -> b (c t)", t=n_frames),
        )
