"""A model that others have trained → a checkpoint that `finetune` and `evaluate` take."""

from __future__ import annotations

from pathlib import Path

from brainfm.backbones import SeriesBackbone, SeriesEmbedder
from brainfm.card import UNIT
from brainfm.errors import UsageError
from brainfm.heads import LinearHead
from brainfm.objectives import Classification
from brainfm.stages.pretrain import use_of
from brainfm.store.read import open_store
from brainfm.tokenizers import MuLawPatches
from brainfm.weights import save
from brainfm.windows.reader import Selection


def adopt(
    embedder: SeriesEmbedder,
    *,
    store: Path,
    out: Path,
    seconds: float = 1.0,
    kinds: tuple[str, ...] = ("eeg",),
    licence: str = "unknown",
) -> None:
    """Write a checkpoint that embeds patches of single channels with a model of time series.

    Electrodes are read in units of 100 µV, as in STAMP. What the model was trained on is not known here, and
    evaluations say so.

    Parameters
    ----------
    embedder
        the model.
    store
        recordings that the checkpoint is to be used on; it fits others of the same rate and preprocessing.
    out
        folder for the checkpoint.
    seconds
        length of a patch.
    kinds
        of the sensors.
    licence
        of the model's weights.

    Raises
    ------
    UsageError
        If the store's recordings have several sampling rates.
    """
    opened = open_store(store)
    use = use_of(opened, Selection(store, kinds))
    if len(use.rates) != 1 or (sfreq := use.rates[0]) is None:
        raise UsageError(
            f"The recordings of {store} have the rates {list(use.rates)}; ingest them with one rate."
        )
    patch = round(seconds * sfreq)
    tokenizer = MuLawPatches(patch, law="none", sfreq=sfreq)
    backbone = SeriesBackbone(patch, embedder=embedder)
    # The head is there to make the model whole; a fine-tuning brings its own.
    model = Classification(tokenizer, backbone, LinearHead(backbone.dim, 2))
    card = {
        "sfreq": sfreq,
        "unit": UNIT,
        "kinds": list(kinds),
        "view": use.view,
        "preprocessing": opened.attributes["preprocessing"],
        "preprocessing_hash": use.preprocessing_hash,
        "data": {"fingerprints": [], "subjects": []},
        "seed": 0,
        "licence": licence,
    }
    save(model, out / "model", card)
