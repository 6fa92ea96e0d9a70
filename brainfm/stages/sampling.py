"""What a diffusion run leaves beside its model: spectra of EEG that it makes up, beside those of real EEG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from brainfm.contracts import Batch, Kind
from brainfm.disk import write_whole
from brainfm.evaluation.generated import SpectralComparison, compare_spectra
from brainfm.objectives import Diffusion
from brainfm.windows.mixture import JoinedBatches

FILE = "generated.csv"
CHANNELS = (
    16  # a channel takes all steps of the diffusion, so this is minutes at the published size
)


def leave_samples(
    objective: Diffusion, held_out: JoinedBatches, out: Path, *, seed: int
) -> dict[str, Any] | None:
    """Make up channels by DDPM and by DDIM and write their mean spectra beside real ones.

    As many made-up channels as real ones, of the same channel indices, from validation windows.

    Parameters
    ----------
    objective
        a trained diffusion.
    held_out
        windows that it was not trained on.
    out
        folder for generated.csv: frequency in Hz, and spectra in V²/Hz.
    seed
        of all noise.

    Returns
    -------
    For each sampler the distance of the spectra in dB and the overlap of their shapes; None where
    the validation windows have no EEG.
    """
    batch = held_out[0]
    row, channel = (batch.mask & (batch.kind == Kind.eeg)).nonzero()[:CHANNELS].unbind(1)
    if not len(row):
        return None
    real = batch.signal[row, channel]
    made = {
        name: _compare(objective, name, real, channel, batch, seed) for name in ("ddpm", "ddim")
    }
    first = made["ddpm"]
    table = {"frequency": first.frequency, "real": first.real}
    table |= {name: found.generated for name, found in made.items()}
    write_whole(out / FILE, pd.DataFrame(table).to_csv(index=False).encode())
    return {k: {"distance_db": v.distance, "overlap": v.overlap} for k, v in made.items()}


def _compare(
    objective: Diffusion,
    sampler: Any,
    real: torch.Tensor,
    channel: torch.Tensor,
    batch: Batch,
    seed: int,
) -> SpectralComparison:
    generator = torch.Generator().manual_seed(seed)
    made = objective.eval().generate(
        channel, real.shape[1], generator=generator, sampler=sampler
    )  # fmt: skip
    top = min(75.0, batch.sfreq / 2)
    return compare_spectra(
        real.double().numpy(), made.double().numpy(), batch.sfreq, band=(1.0, top)
    )
