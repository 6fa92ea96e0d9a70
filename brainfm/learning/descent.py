"""Fine-tuning by gradients: the one loop on labelled trials, which ends at the step that validates best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from brainfm.learning.loop import fit
from brainfm.learning.outcome import BestState
from brainfm.learning.train import Train
from brainfm.learning.trial_batches import LabelledTrials, OrderedBatches, ShuffledBatches
from brainfm.objectives import Supervised

FULL = Train(
    steps=60,
    batch_size=16,
    lr=3e-4,
    warmup=6,
    weight_decay=0.05,
    betas=(0.9, 0.999),
    validate_every=6,
)


def descend(
    model: Supervised,
    trials: LabelledTrials,
    held_out: LabelledTrials | None,
    *,
    train: Train,
    seed: int,
    out: Path | None,
    origin: Mapping[str, str],
) -> int:
    """Train a model in place, and return the step with the best validation loss.

    Parameters
    ----------
    model
        of which every parameter that takes a gradient is trained.
    trials
        to train on.
    held_out
        to choose the step on; where None it is the last, and 0 is returned.
    train
        options; a batch has no more trials than there are.
    seed
        of every random draw.
    out
        folder for metrics.csv and last.ckpt, from which an interrupted training goes on.
    origin
        digests of what is read, by its name; with others it does not go on.
    """
    options = replace(train, batch_size=min(train.batch_size, len(trials))).over(len(trials))
    chosen = BestState()
    fit(
        model,
        ShuffledBatches(trials, options.batch_size, seed),
        train=options,
        seed=seed,
        out=out,
        origin=origin,
        validation=None if held_out is None else OrderedBatches(held_out),
        callbacks=(chosen,),
    )
    return chosen.step
