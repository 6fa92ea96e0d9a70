"""`brainfm pretrain`: trains a tokenizer or a foundation model, as the objective decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from brainfm.card import UNIT, Use, check_card
from brainfm.contracts import Objective
from brainfm.errors import UsageError
from brainfm.learning.loop import fit
from brainfm.learning.processes import is_first
from brainfm.learning.train import Train
from brainfm.objectives import Diffusion
from brainfm.stages.model import Model
from brainfm.stages.run import MANIFEST, kernels, now, versions, write_manifest
from brainfm.stages.sampling import leave_samples
from brainfm.store.read import Store, open_store
from brainfm.tokenizers import Frozen
from brainfm.weights import count_parameters, save
from brainfm.windows.dataset import ListedBatches, RandomBatches
from brainfm.windows.description import describe_coverage, describe_view
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.sampler import LocalWindows, RandomWindows, Windows, by_channels, sequential
from brainfm.windows.splits import hold_out
from brainfm.windows.views import Native


@dataclass(frozen=True)
class Data(Selection):
    """What to train on.

    Attributes
    ----------
    seconds
        length of a window.
    validation
        share of the subjects to measure on instead of training on them.
    validation_windows
        measure on so many of their windows at most, evenly spread; on all where None.
    licence
        of the data, for the model card.
    stretches
        draw the windows of a step from so many stretches of ten minutes, for stores that are far away
        or on slow disks; from everywhere where None.
    """

    seconds: float = 5.0
    validation: float = 0.2
    validation_windows: int | None = None
    licence: str = "unknown"
    stretches: int | None = None


def pretrain(
    model: Model,
    data: Data,
    *,
    out: Path,
    tokenizer: Path | None = None,
    train: Train = Train(),  # noqa: B008
    seed: int = 0,
) -> None:
    """Train a model on the recordings of a store; interrupted, the same call goes on.

    Parameters
    ----------
    model
        the model, usually one of configs/models.
    data
        the recordings.
    out
        folder for the model, metrics.csv, last.ckpt and manifest.json; of a diffusion also
        generated.csv, spectra of what it makes up beside real ones.
    tokenizer
        folder of a trained tokenizer, for models that take theirs as given.
    train
        options of the training.
    seed
        of every random draw.

    Raises
    ------
    UsageError
        If the model does not fit the recordings.
    """
    if (out / MANIFEST).exists():
        print(f"{out} is finished: nothing to do. Remove it to train again.")
        return
    started = now()
    store = open_store(data.store)
    table = data.table(store)
    objective = model.build(seed, tokenizer=tokenizer)
    check_fit(objective, store, data)
    reader = data.reader()
    covered = coverage(reader, table)
    training, validation = _split(table, data.validation, seed)
    batches = RandomBatches(reader, _windows(reader, training, data, train.batch_size, seed))
    held_out = _validation(reader, validation, data, train.batch_size)
    _rehearse(objective, batches)
    out.mkdir(parents=True, exist_ok=True)
    fit(
        objective,
        batches,
        train=train,
        seed=seed,
        validation=held_out,
        out=out,
    )
    if not is_first():
        return
    card = _card(objective, store, table, data, seed)
    save(objective, out / "model", card)
    facts = {
        "seed": seed,
        "parameters": count_parameters(objective),
        "data": card["data"],
        "view": card["view"],
        "coverage": covered,
        "kernels": kernels(objective),
    }
    if isinstance(objective, Diffusion) and held_out is not None:
        facts["generated"] = leave_samples(objective, held_out, out, seed=seed)
    write_manifest(out, started, **facts)
    print(f"{out}: {count_parameters(objective):,} parameters trained for {train.steps} steps")


def check_fit(objective: Objective, store: Store, data: Selection) -> None:
    """Refuse a model whose tokenizer was made for other recordings."""
    sfreq, rates = objective.tokenizer.sfreq, sorted(set(data.table(store)["sfreq"]))
    if sfreq is not None and rates != [sfreq]:
        raise UsageError(
            f"The tokenizer wants {sfreq:g} Hz and the recordings of {data.store} have {rates} Hz; "
            f"ingest them with `sfreq: {sfreq:g}` in the recipe."
        )
    if objective.tokenizer.ch_names is not None:
        reader = data.reader()
        for recording in data.table(store)["id"]:
            names = reader.sensors(recording).sensors.names
            objective.tokenizer.check_channels(names, f"The recording {recording}")
    if isinstance(objective.tokenizer, Frozen):
        if objective.tokenizer.card is None:
            raise UsageError(
                "The model takes its tokenizer as given and this one was never trained; name a "
                "trained one with --tokenizer FOLDER."
            )
        check_card(objective.tokenizer.card, use_of(store, data))


def coverage(reader: WindowReader, table: pd.DataFrame) -> str:
    """Return what of the view the recordings give, and say it where there is a view."""
    told = describe_coverage(reader.view, reader.plans(table["id"]))
    if reader.view != Native():
        print(told)
    return told


def use_of(store: Store, data: Selection) -> Use:
    """Return what the chosen recordings of a store are, for a checkpoint that is to be used on them."""
    return Use(
        what=f"the recordings of {data.store}",
        rates=tuple(sorted(set(data.table(store)["sfreq"]))),
        kinds=data.kinds,
        preprocessing_hash=store.attributes["preprocessing_hash"],
        view=describe_view(data.view or Native()),
    )


def _split(
    table: pd.DataFrame, share: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    if not share:
        return table, None
    fold = hold_out(table, share, seed)
    held = table["subject"].isin(fold.validation)
    return table[~held].reset_index(drop=True), table[held].reset_index(drop=True)


def _windows(
    reader: WindowReader, table: pd.DataFrame, data: Data, batch_size: int, seed: int
) -> Windows:
    def sampler(part: pd.DataFrame) -> Windows:
        everywhere = RandomWindows(part, data.seconds, batch_size, seed)
        return everywhere if data.stretches is None else LocalWindows(everywhere, data.stretches)

    n_channels = [len(reader.sensors(recording).sensors) for recording in table["id"]]
    return by_channels(table, n_channels, sampler, seconds=data.seconds, seed=seed)


def _validation(
    reader: WindowReader, table: pd.DataFrame | None, data: Data, batch_size: int
) -> ListedBatches | None:
    if table is None:
        return None
    places = sequential(table, data.seconds)
    if not places:
        raise UsageError(
            f"No validation recording (subjects {sorted(set(table['subject']))}) has {data.seconds:g} s; "
            "ask for shorter windows or for no validation."
        )
    n = len(places) if data.validation_windows is None else data.validation_windows
    if n < 1:
        raise UsageError(
            f"data.validation_windows is {n} and must be at least 1; for none set data.validation to 0."
        )
    places = places[:: -(-len(places) // n)]
    return ListedBatches(reader, places, float(table["sfreq"].iloc[0]), batch_size)


@torch.no_grad()
def _rehearse(objective: Objective, batches: RandomBatches) -> None:
    """Run one window through, so that what does not fit is said before anything is written."""
    place = batches.windows.at(0)[:1]
    objective.eval()
    objective(batches.reader.read(place, batches.windows.sfreq), torch.Generator().manual_seed(0))
    objective.train()


def _card(
    objective: Objective, store: Store, table: pd.DataFrame, data: Data, seed: int
) -> dict[str, Any]:
    """Say what the model was made for and of."""
    earlier = getattr(objective.tokenizer, "card", None) or {}
    seen = earlier.get("data", {})
    # Earlier cards name no data sets; then all people are known by name alone.
    everyone = set(table["subject"]) | set(seen.get("subjects", []))
    pairs = {*zip(table["dataset"], table["subject"], strict=True)}
    pairs |= {(dataset, subject) for dataset, subject in seen.get("people", [])}
    return {
        "sfreq": float(table["sfreq"].iloc[0]),
        "unit": UNIT,
        "kinds": list(data.kinds),
        "view": describe_view(data.view or Native()),
        "seconds": data.seconds,
        "preprocessing": store.attributes["preprocessing"],
        "preprocessing_hash": store.attributes["preprocessing_hash"],
        "data": {
            "fingerprints": sorted({*table["fingerprint"], *seen.get("fingerprints", [])}),
            "subjects": sorted(everyone),
            "people": sorted(map(list, pairs)),
            "hours": float(table["seconds"].sum() / 3600),
        },
        "seed": seed,
        "licence": data.licence,
        "versions": versions(),
    }
