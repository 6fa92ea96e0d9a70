"""Which channel of a file a row of a table is of, since the two do not always write names alike."""

from __future__ import annotations

from collections.abc import Sequence

import mne

from brainfm.recordings.bids.contents import Row
from brainfm.recordings.recipe import Recipe, find_pattern
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
    labels = dict(zip(raw.ch_names, _labels(raw), strict=True))
    rows = {row["name"]: row for row in reversed(table)}
    # A row that bears a channel's own name is of no other: contacts T3 and T7 are two.
    free = rows.keys() - labels.keys() - set(labels.values())
    ours = {_ours(name, recipe): row for name, row in rows.items() if name in free}
    found = {
        channel: rows.get(channel) or rows.get(label) or ours.get(_name(channel, recipe))
        for channel, label in labels.items()
    }
    return {channel: row for channel, row in found.items() if row is not None}


def is_typed(channel: str, recipe: Recipe) -> bool:
    """Say whether the recipe's types name a channel, or a pattern of theirs matches it."""
    names = (channel, _name(channel, recipe))
    return any(find_pattern(name, recipe.types) is not None for name in names)


def _name(channel: str, recipe: Recipe) -> str:
    return _ours(recipe.rename.get(channel, channel), recipe)


def _ours(name: str, recipe: Recipe) -> str:
    return normalise_name(name, recipe.montage) or name.strip()


def _labels(raw: mne.io.BaseRaw) -> Sequence[str]:
    """Return the channels' names in the file; those of 4D's are A1 … where MNE has MEG 001 …."""
    extra = raw._raw_extras[0] if raw._raw_extras else None
    return extra.get("bti_ch_labels", raw.ch_names) if isinstance(extra, dict) else raw.ch_names
