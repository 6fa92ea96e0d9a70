"""Whether a model learns or collapses, in columns of metrics.csv at every validation.

A loss can fall while a model forgets fast rhythms, says the same of every window, or uses three of a thousand
codes. The columns are written in docs/training.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from jaxtyping import Float, Int
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from brainfm.contracts import Misfit, Observation
from brainfm.learning.callbacks import MetricsFile
from brainfm.learning.processes import gather

BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 75)}
MOST_WINDOWS = 512  # a rank grows with the number of windows, and a validation should stay short


def feature_rank(features: Float[Tensor, "window dim"]) -> float:
    """Return how many directions the features use evenly: RankMe.

    Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
    Representations by Their Rank", ICML 2023: exp of the entropy of the singular values' shares.
    Between 1, where all windows have the same features up to a factor, and the smaller of the
    number of windows and that of features; NaN where a feature is no number.
    """
    if not features.isfinite().all():
        return math.nan
    values = torch.linalg.svdvals(features.double())
    share = values / values.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return float(torch.special.entr(share).sum().exp())


def unexplained(misfits: Sequence[Misfit]) -> dict[str, float]:
    """Return the share of each band's power that the drawn signals get wrong.

    0 where it is drawn exactly, 1 where nothing is drawn; bands that the windows' spectrum does not
    hold are left out. Batches of several sampling rates have several spectra, so sums are taken
    over bands.
    """
    shares = {}
    for name, (low, high) in BANDS.items():
        bands = [(m, (m.frequency >= low) & (m.frequency < high)) for m in misfits]
        if (power := sum(float(m.power[band].sum()) for m, band in bands)) > 0:
            wrong = sum(float(m.error[band].sum()) for m, band in bands)
            shares[f"unexplained_{name}"] = wrong / power
    return shares


def code_use(counts: Int[Tensor, " code"]) -> dict[str, float]:
    """Return the entropy of the codes' frequencies in bits, and how many codes no window has."""
    share = counts.double() / counts.sum().clamp_min(1)
    bits = float(torch.special.entr(share).sum()) / math.log(2)
    return {"code_entropy": bits, "dead_codes": float((counts == 0).sum())}


class Health(Callback):
    """Observes the first validation windows of each validation and writes what it sees.

    Parameters
    ----------
    rows
        where the columns go.
    seed
        says of a validation batch with which seed it is measured, so that masks are the same at
        every validation.
    """

    def __init__(self, rows: MetricsFile, seed: Callable[[int], int]):
        self.rows, self.seed = rows, seed
        self.seen: list[Observation] = []

    def on_validation_start(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Begin anew."""
        self.seen = []

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        loop: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Observe a batch, while there are not enough."""
        if sum(len(o.features) for o in self.seen) < MOST_WINDOWS:
            place = batch_idx * trainer.world_size + trainer.global_rank
            generator = torch.Generator().manual_seed(self.seed(place))
            self.seen += [loop.judged.observe(part, generator) for part in batch]

    def on_validation_end(self, trainer: lightning.Trainer, loop: Any) -> None:
        """Write the columns."""
        everywhere = [one for seen in gather(self.seen) for one in seen]
        found = measures(everywhere, loop.judged.tokenizer.vocabulary)
        self.rows.add(trainer, {f"val/{k}": v for k, v in found.items()})
        self.seen = []


def measures(seen: list[Observation], vocabulary: int | None) -> dict[str, float]:
    """Return all that observations tell."""
    found = {"feature_rank": feature_rank(torch.cat([o.features for o in seen]))}
    codes = [o.code for o in seen if o.code is not None]
    if codes and vocabulary is not None:
        found |= code_use(torch.bincount(torch.cat(codes), minlength=vocabulary))
    return found | unexplained([o.misfit for o in seen if o.misfit is not None])
