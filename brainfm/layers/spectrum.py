"""Short-time magnitude spectra and the scale of a signal."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brainfm.contracts import Misfit

FAINTEST = 2.0**-20  # of a row's peak; a power of two, so that scaling by one stays exact


def scale_by_percentile(
    signal: Float[Tensor, "row time"], *, quantile: float = 0.95
) -> Float[Tensor, "row time"]:
    """Divide each row by the 95th percentile of its absolute value.

    A guard against silence must not depend on the unit, as the customary 1e-8 does where EEG in
    volts is 1e-5. Here the divisor is at least a millionth of the row's peak, so that a spike in a
    channel that is otherwise dead stays finite; and a silent row stays silent.
    """
    size = signal.abs().float()
    scale = torch.quantile(size, quantile, dim=-1, keepdim=True)
    scale = torch.maximum(scale, FAINTEST * size.amax(-1, keepdim=True))
    return signal / scale.clamp_min(torch.finfo(torch.float32).tiny)


def magnitude_spectrogram(
    signal: Float[Tensor, "row time"], *, n_fft: int, hop: int
) -> Float[Tensor, "row frequency frame"]:
    """Return linear magnitudes without centring, padding or the Nyquist bin.

    There are ``n_fft // 2`` bins and ``(time - n_fft) // hop + 1`` frames, Hann-windowed.
    """
    window = torch.hann_window(n_fft, device=signal.device, dtype=signal.dtype)
    spectrum = torch.stft(
        signal, n_fft, hop_length=hop, window=window, center=False, return_complex=True
    )
    return spectrum.abs()[:, :-1]


def misfit(
    drawn: Float[Tensor, "*rows time"],
    signal: Float[Tensor, "*rows time"],
    where: Bool[Tensor, "*rows time"],
    sfreq: float,
) -> Misfit:
    """Compare two signals by frequency, counting only the samples ``where`` they are to agree.

    Both are silent elsewhere, so a border between the two spreads over neighbouring frequencies, in error and
    power alike.
    """
    frequency = torch.fft.rfftfreq(signal.shape[-1], 1 / sfreq, device=signal.device)
    error, power = (
        torch.fft.rfft((x * where).float()).abs().square().flatten(0, -2).sum(0)
        for x in (drawn - signal, signal)
    )
    return Misfit(frequency, error, power)
