"""Which channel of a file a row of a table is of, since the two do not always write names alike."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import mne

from brainfm.recordings.bids.contents import Row
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sensors.labels import normalise_name


def match_rows(raw: mne.io.BaseRaw, table: Sequence[Row], recipe: Recipe) -> dict[str, Row]:
    """Return the row of each channel that has one.

    Parameters
    ----------
    raw
        the file.
    table
        rows with a ``name``: the file's, or what the same electrode is called otherwise. Of two rows of one
        name the first counts.
    recipe
        whose ``rename`` and ``montage`` say what a channel is called.
    """
    rows = {row["name"]: row for row in reversed(table)}
    for row in table:
        rows.setdefault(normalise_name(row["name"], recipe.montage) or row["name"], row)
    found = {}
    for channel, label in zip(raw.ch_names, _labels(raw), strict=True):
        names = (channel, label, _name(channel, recipe))
        found[channel] = next((rows[name] for name in names if name in rows), None)
    return {channel: row for channel, row in found.items() if row is not None}


def is_typed(channel: str, recipe: Recipe) -> bool:
    """Say whether the recipe's types name a channel, or a pattern of theirs matches it."""
    return any(
        name == key or ("*" in key and fnmatchcase(name, key))
        for name in (channel, _name(channel, recipe))
        for key in recipe.types
    )


def _name(channel: str, recipe: Recipe) -> str:
    renamed = recipe.rename.get(channel, channel)
    return normalise_name(renamed, recipe.montage) or renamed.strip()


def _labels(raw: mne.io.BaseRaw) -> Sequence[str]:
    """Return the channels' names in the file; those of 4D's are A1 … where MNE has MEG 001 …."""
    extra = raw._raw_extras[0] if raw._raw_extras else None
    return extra.get("bti_ch_labels", raw.ch_names) if isinstance(extra, dict) else raw.ch_names
