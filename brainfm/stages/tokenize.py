"""`brainfm tokenize`: every window of a store → discrete tokens, with codebook health."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from brainfm.card import check_card, check_complete
from brainfm.contracts import Component, Tokenizer
from brainfm.errors import UsageError
from brainfm.progress import watched
from brainfm.stages.pretrain import coverage, use_of
from brainfm.store.files import check_local
from brainfm.store.read import open_store
from brainfm.store.tokens import TokenStore, TokenWriter, header, open_tokens
from brainfm.weights import load
from brainfm.windows.description import view_in
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.sampler import sequential
from brainfm.windows.views import Native


def tokenize(
    store: Path,
    *,
    checkpoint: Path,
    tokens: Path,
    seconds: float | None = None,
    batch_size: int = 16,
) -> TokenStore:
    """Write the discrete tokens of every window; interrupted, the same call goes on.

    Parameters
    ----------
    store
        the recordings.
    checkpoint
        folder of a trained discrete tokenizer, or of a model that holds one.
    tokens
        the token store to make.
    seconds
        length of a window; the tokenizer's own where None.
    batch_size
        windows at a time.

    Raises
    ------
    UsageError
        If the tokenizer has no codes, does not fit the store, or the token store holds other tokens.
    """
    check_local(tokens)
    model, card = load(checkpoint)
    tokenizer = _discrete(model, checkpoint)
    opened = open_store(store)
    check_complete(card)
    selection = Selection(store, tuple(card["kinds"]), view=view_in(card))
    check_card(card, use_of(opened, selection))
    table = selection.table(opened)
    length = card["seconds"] if seconds is None else seconds
    if not sequential(table, length):
        raise UsageError(f"No recording of {store} has {length:g} s; ask for shorter windows.")
    facts = header(
        vocabulary=tokenizer.vocabulary,
        vocabulary_hash=vocabulary_hash(tokenizer),
        kinds=list(selection.kinds),
        **{"view": card["view"]} if selection.view != Native() else {},
        seconds=length,
        step=tokenizer.step,
        span=tokenizer.span,
        sfreq=float(table["sfreq"].iloc[0]),
        store=str(store),
        store_fingerprint=opened.fingerprint,
        checkpoint=str(checkpoint),
    )
    if tokens.exists():
        return _existing(tokens, facts)
    result = _write(TokenWriter(tokens, facts), selection, tokenizer, table, batch_size)
    if short := len(table) - len(result.ids):
        print(f"{short} recordings are shorter than {length:g} s and have no tokens.")
    print(_health(result))
    return result


def _discrete(model: Component, checkpoint: Path) -> Tokenizer:
    """Return the tokenizer that a checkpoint is or holds; refuse one without codes."""
    tokenizer = getattr(model, "tokenizer", model)
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # out of `Frozen`
    if not isinstance(tokenizer, Tokenizer) or tokenizer.vocabulary is None:
        raise UsageError(
            f"The tokenizer of {checkpoint} gives continuous tokens; `tokenize` writes codes, so "
            "give a tokenizer with a vocabulary."
        )
    return tokenizer


def _write(
    writer: TokenWriter,
    selection: Selection,
    tokenizer: Tokenizer,
    table: pd.DataFrame,
    batch_size: int,
) -> TokenStore:
    """Write the tokens of all recordings that are not done."""
    seconds, sfreq = writer.header["seconds"], writer.header["sfreq"]
    done = writer.begin()
    reader = selection.reader()
    coverage(reader, table)
    for recording in watched(table["id"], "Recordings", len(table)):
        if recording not in done:
            places = sequential(table[table["id"] == recording], seconds)
            if places:
                _tokenize_recording(writer, reader, tokenizer, places, sfreq, batch_size)
    return writer.finish()


def _existing(tokens: Path, facts: dict[str, object]) -> TokenStore:
    found = open_tokens(tokens)
    different = sorted(k for k, v in facts.items() if found.attributes.get(k) != v)
    if different:
        key = different[0]
        raise UsageError(
            f"{tokens} holds other tokens ({key} is {found.attributes.get(key)!r} there and "
            f"{facts[key]!r} now); choose another --tokens or remove it."
        )
    print(f"{tokens} is finished: nothing to do.\n{_health(found)}")
    return found


@torch.no_grad()
def _tokenize_recording(
    writer: TokenWriter,
    reader: WindowReader,
    tokenizer: Tokenizer,
    places: list,
    sfreq: float,
    batch_size: int,
) -> None:
    parts = []
    for first in range(0, len(places), batch_size):
        batch = reader.read(places[first : first + batch_size], sfreq)
        code = tokenizer(batch).code
        assert code is not None
        n_windows, n_channels = batch.mask.shape
        parts.append(code.reshape(n_windows, n_channels, -1).to(torch.int32).numpy())
    onsets = np.array([place.start for place in places]) / sfreq
    writer.write(places[0].recording, np.concatenate(parts), onsets)


def vocabulary_hash(tokenizer: Tokenizer) -> str:
    """Return a hash of the weights that decide which code a signal gets."""
    digest = hashlib.sha256()
    for name, value in sorted(tokenizer.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _health(tokens: TokenStore) -> str:
    facts = tokens.attributes
    return (
        f"{tokens.path}: {int(tokens.usage.sum()):,} tokens of {len(tokens.ids)} recordings; "
        f"{facts['used']:,} of {facts['vocabulary']:,} codes used ({facts['dead']:,} dead), "
        f"perplexity {facts['perplexity']:.1f}"
    )
