"""The batches of a training: windows drawn at random for its steps, and those put aside in their order."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainfm.errors import UsageError
from brainfm.stages.sources import Data, Source
from brainfm.windows.dataset import ListedBatches, RandomBatches
from brainfm.windows.mixture import JoinedBatches, Member, MixedBatches
from brainfm.windows.reader import WindowReader
from brainfm.windows.sampler import RandomWindows, Windows, by_channels, sequential


def training_batches(
    sources: Sequence[Source], tables: Sequence[pd.DataFrame], data: Data, *, batch: int, seed: int
) -> RandomBatches | MixedBatches:
    """Return the batches of the steps.

    Raises
    ------
    UsageError
        If a batch cannot be cut into the blocks, or a source has no recording that is long enough.
    """
    if data.blocks < 1 or batch % data.blocks:
        raise UsageError(
            f"A batch of {batch} windows cannot be made of {data.blocks} equal blocks; choose data.blocks "
            "that divide train.batch_size."
        )
    if data.stretches is not None and data.stretches < 1:
        raise UsageError(f"data.stretches is {data.stretches} and must be at least 1.")
    made = [
        RandomBatches(s.reader, _windows(s.reader, table, data, batch // data.blocks, seed))
        for s, table in zip(sources, tables, strict=True)
    ]
    if len(made) == 1 and data.blocks == 1:
        return made[0]
    members = tuple(
        Member(s.name, batches, float(table["seconds"].sum() / 3600), s.weight)
        for s, batches, table in zip(sources, made, tables, strict=True)
    )
    return MixedBatches(members, data.temperature, data.blocks, seed)


def _windows(
    reader: WindowReader, table: pd.DataFrame, data: Data, batch_size: int, seed: int
) -> Windows:
    run = 1 if data.stretches is None else -(-batch_size // data.stretches)

    def sampler(part: pd.DataFrame) -> Windows:
        return RandomWindows(part, data.seconds, batch_size, seed, run)

    n_channels = [len(reader.sensors(recording).sensors) for recording in table["id"]]
    return by_channels(table, n_channels, sampler, seconds=data.seconds, seed=seed)


def validation_batches(
    sources: Sequence[Source], tables: Sequence[pd.DataFrame], data: Data, batch: int
) -> JoinedBatches | None:
    """Return the windows to measure on, one after another; None where nothing is put aside.

    Raises
    ------
    UsageError
        If no recording of a source has a whole window.
    """
    lists = []
    for source, table in zip(sources, tables, strict=bool(tables)):
        places = sequential(table, data.seconds)
        if not places:
            raise UsageError(
                f"No validation recording of {source.name} (subjects {sorted(set(table['subject']))}) has "
                f"{data.seconds:g} s; ask for shorter windows or for no validation."
            )
        places = places[:: stride(len(places), data.validation_windows)]
        lists.append(ListedBatches(source.reader, places, source.sfreq, batch))
    return JoinedBatches(tuple(lists)) if lists else None


def stride(n: int, most: int | None) -> int:
    """Return of how many windows one is measured on, so that of ``n`` no more than ``most`` are."""
    return 1 if most is None else -(-n // most)
