"""A frozen tokenizer that does not tokenize the same window twice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from brainfm.contracts import Batch, Tokenizer, Tokens
from brainfm.tokenizers.frozen import Frozen


class TokenCache:
    """Tokens by the content of their window and of the tokenizer; the oldest give way.

    An evaluation fits many estimators on the same windows with the same tokenizer. They share one
    cache, which therefore stays itself where scikit-learn clones an estimator that holds it.

    Parameters
    ----------
    max_bytes
        what it may hold.
    """

    def __init__(self, max_bytes: int = 1_000_000_000):
        self.max_bytes, self.n_bytes, self.n_computed = max_bytes, 0, 0
        self._rows: OrderedDict[bytes, dict[str, Tensor | None]] = OrderedDict()

    def __deepcopy__(self, memo: Any) -> TokenCache:
        return self

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __getitem__(self, key: bytes) -> dict[str, Tensor | None]:
        return self._rows[key]

    def put(self, key: bytes, row: dict[str, Tensor | None]) -> None:
        """Remember the tokens of one window."""
        self._rows[key] = row
        self.n_bytes += _size(row)
        self.n_computed += 1
        while self.n_bytes > self.max_bytes and len(self._rows) > 1:
            self.n_bytes -= _size(self._rows.popitem(last=False)[1])


class Cached(Frozen):
    """Looks up windows that were tokenized before; in a checkpoint it stands as `Frozen`.

    Parameters
    ----------
    tokenizer
        the tokenizer.
    cache
        where tokens are kept.
    card
        as of `Frozen`.
    """

    saved_as = Frozen

    def __init__(
        self, tokenizer: Tokenizer, *, cache: TokenCache, card: dict[str, Any] | None = None
    ):
        super().__init__(tokenizer, card=card)
        self.cache = cache
        self.key = _digest(*(v for _, v in sorted(tokenizer.state_dict().items())))

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tokens:
        """Tokenize the windows that are new, and join all in their order."""
        rate = repr(batch.sfreq).encode()
        keys = [
            self.key + rate + _digest(*(getattr(batch, name)[i] for name in WINDOW))
            for i in range(len(batch.signal))
        ]
        new = [i for i, key in enumerate(keys) if key not in self.cache and key not in keys[:i]]
        rows = {key: self.cache[key] for key in keys if key in self.cache}
        if new:
            tokens = self.tokenizer(_rows(batch, new))
            for place, i in enumerate(new):
                rows[keys[i]] = _part(tokens, place)
                self.cache.put(keys[i], rows[keys[i]])
        joined: dict[str, Any] = {
            f.name: _stack([rows[k][f.name] for k in keys]) for f in fields(Tokens)
        }
        return Tokens(**joined)


WINDOW = ("signal", "position", "orientation", "kind", "mask")  # what decides a window's tokens


def _part(tokens: Tokens, i: int) -> dict[str, Tensor | None]:
    """Return the tokens of one window."""
    every = {f.name: getattr(tokens, f.name) for f in fields(Tokens)}
    return {name: None if v is None else v[i].clone() for name, v in every.items()}


def _rows(batch: Batch, chosen: list[int]) -> Batch:
    """Return some windows of a batch."""
    part = {name: getattr(batch, name)[chosen] for name in WINDOW}
    names = tuple(batch.recording[i] for i in chosen)
    return Batch(**part, sfreq=batch.sfreq, recording=names, onset=batch.onset[chosen])


def _stack(parts: list[Tensor | None]) -> Tensor | None:
    real = [part for part in parts if part is not None]
    return torch.stack(real) if real else None


def _digest(*tensors: Tensor) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        whole.update(str(tuple(tensor.shape)).encode())
        whole.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return whole.digest()


def _size(row: dict[str, Tensor | None]) -> int:
    return sum(v.nbytes for v in row.values() if v is not None)
