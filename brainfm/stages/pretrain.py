"""`brainfm pretrain`: trains a tokenizer or a foundation model, as the objective decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from brainfm.card import UNIT, Use, check_card, data_of, join_seen, seen_of
from brainfm.contracts import Objective
from brainfm.errors import UsageError
from brainfm.layers.mamba import adapted, check_scans, kernels, mixers
from brainfm.learning.loop import fit
from brainfm.learning.processes import is_first
from brainfm.learning.train import Train
from brainfm.objectives import Diffusion
from brainfm.stages.batches import training_batches, validation_batches
from brainfm.stages.model import Model
from brainfm.stages.run import is_finished, now, versions, write_manifest
from brainfm.stages.sampling import leave_samples
from brainfm.stages.sources import Data, Division, Source, content_of, divide, sources_of
from brainfm.store.read import Store
from brainfm.tokenizers import Frozen, Pretrained
from brainfm.weights import count_parameters, load_card, save
from brainfm.windows.dataset import RandomBatches
from brainfm.windows.description import describe_coverage, describe_view
from brainfm.windows.mixture import MixedBatches
from brainfm.windows.order import digest
from brainfm.windows.people import known_of
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.views import Native


def pretrain(
    model: Model,
    data: Data,
    *,
    out: Path,
    tokenizer: Path | None = None,
    train: Train = Train(),  # noqa: B008
    seed: int = 0,
    profile: bool = False,
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
    profile
        write trace.json of some early steps, and say in a sentence what limits them.

    Raises
    ------
    UsageError
        If the model does not fit the recordings.
    """
    if is_finished(out):
        return
    started = now()
    objective = model.build(seed, tokenizer=tokenizer)
    check_scans(objective, train.device)
    sources = sources_of(data)
    for source in sources:
        check_fit(objective, source)
    covered = {s.name: coverage(s.reader, s.table) for s in sources}
    division = divide(sources, data.validation, seed)
    train = train.over(sum(float(t["seconds"].sum()) for t in division.training) / data.seconds)
    batches = training_batches(sources, division.training, data, batch=train.batch_size, seed=seed)
    held_out = validation_batches(sources, division.validation, data, train.batch_size)
    _rehearse(objective, batches)
    out.mkdir(parents=True, exist_ok=True)
    fit(
        objective,
        batches,
        train=train,
        seed=seed,
        validation=held_out,
        out=out,
        origin=_origin(objective, sources, division),
        profile=profile,
    )
    if not is_first():
        return
    card = _card(objective, sources, data, seed)
    save(objective, out / "model", card)
    facts = _facts(objective, card, covered)
    if isinstance(objective, Diffusion) and held_out is not None:
        facts["generated"] = leave_samples(objective, held_out, out, seed=seed)
    write_manifest(out, started, **facts)
    print(f"{out}: {count_parameters(objective):,} parameters trained for {train.steps} steps")


def check_fit(objective: Objective, source: Source) -> None:
    """Refuse a model whose tokenizer was made for other recordings."""
    tokenizer, path = objective.tokenizer, source.selection.store
    if tokenizer.sfreq not in (None, source.sfreq):
        raise UsageError(
            f"The tokenizer wants {tokenizer.sfreq:g} Hz and the recordings of {path} have "
            f"{source.sfreq:g} Hz; ingest them with `sfreq: {tokenizer.sfreq:g}` in the recipe."
        )
    if tokenizer.ch_names is not None:
        for recording in source.table["id"]:
            names = source.reader.sensors(recording).sensors.names
            tokenizer.check_channels(names, f"The recording {recording}")
    if isinstance(tokenizer, Frozen):
        if tokenizer.card is None:
            raise UsageError(
                "The model takes its tokenizer as given and this one was never trained; name a "
                "trained one with --tokenizer FOLDER."
            )
        check_card(tokenizer.card, use_of(source.store, source.selection))


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


@torch.no_grad()
def _rehearse(objective: Objective, batches: RandomBatches | MixedBatches) -> None:
    """Run one window of each data set, so that what does not fit is said before anything is written.

    It runs on the processor wherever the training will, and leaves no trace.
    """
    every = [m.batches for m in batches.members] if isinstance(batches, MixedBatches) else [batches]
    objective.eval()
    with adapted(objective, "cpu"):
        for one in every:
            window = one.reader.read(one.windows.at(0)[:1], one.windows.sfreq)
            objective(window, torch.Generator().manual_seed(0))
    for mixer in mixers(objective):
        mixer.kernels = ()
    objective.train()


def _origin(objective: Objective, sources: Sequence[Source], division: Division) -> dict[str, str]:
    """Return digests of what is trained on, with which a run that is interrupted has to go on."""
    origin = {
        "training recordings": content_of(sources, division.training),
        "validation recordings": content_of(sources, division.validation),
    }
    if isinstance(objective.tokenizer, Pretrained):
        origin["tokenizer"] = digest(load_card(objective.tokenizer.checkpoint))
    return origin


def _card(objective: Objective, sources: Sequence[Source], data: Data, seed: int) -> dict[str, Any]:
    """Say what the model was made for and of."""
    hours = float(sum(source.table["seconds"].sum() for source in sources) / 3600)
    cleaned = [source.store.attributes for source in sources]
    earlier = getattr(objective.tokenizer, "card", None) or {}
    seen = [seen_of(s.table, known_of(s.table, s.store.table)) for s in sources]
    return {
        "sfreq": _one_or_all([source.sfreq for source in sources]),
        "unit": UNIT,
        "kinds": list(data.kinds),
        "view": describe_view(data.view or Native()),
        "seconds": data.seconds,
        "preprocessing": _one_or_all([c["preprocessing"] for c in cleaned]),
        "preprocessing_hash": _one_or_all([c["preprocessing_hash"] for c in cleaned]),
        "data": join_seen(*seen, data_of(earlier)) | {"hours": hours},
        "seed": seed,
        "licence": data.licence,
        "versions": versions(),
    }


def _facts(
    objective: Objective, card: Mapping[str, Any], covered: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the manifest says of the model, of its data and of what of a view these gave."""
    return {
        "seed": card["seed"],
        "parameters": count_parameters(objective),
        "data": card["data"],
        "view": card["view"],
        "coverage": covered if len(covered) > 1 else next(iter(covered.values())),
        "kernels": kernels(objective),
    }


def _one_or_all(values: Sequence[Any]) -> Any:
    """Return what all data sets have in common, or the list of what they have."""
    unlike = [value for i, value in enumerate(values) if value not in values[:i]]
    return unlike[0] if len(unlike) == 1 else unlike
