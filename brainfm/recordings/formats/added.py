"""The format that a recipe adds to those that MNE reads, by naming a `Reader`."""

from __future__ import annotations

import re

from brainfm.errors import UsageError
from brainfm.recordings.component import build
from brainfm.recordings.formats.bonn import BonnText
from brainfm.recordings.formats.by_mne import ByMne
from brainfm.recordings.formats.eeghdf import Eeghdf
from brainfm.recordings.formats.known import Format
from brainfm.recordings.formats.reader import Reader
from brainfm.recordings.formats.shu import ShuMat
from brainfm.recordings.recipe import Recipe


def recipe_formats(recipe: Recipe) -> tuple[Format, ...]:
    """Return the format that a recipe's reader adds, if it names one.

    Raises
    ------
    UsageError
        If there is no such class, it is no `Reader`, or its pattern is no regular expression.
    """
    if recipe.reader is None:
        return ()
    known: dict[str, type[Reader]] = {
        "BonnText": BonnText,
        "ByMne": ByMne,
        "Eeghdf": Eeghdf,
        "ShuMat": ShuMat,
    }
    reader = build(recipe.reader, Reader, known)
    name = type(reader).__name__
    try:
        re.compile(reader.pattern)
    except (re.error, TypeError) as error:
        raise UsageError(
            f"The pattern {reader.pattern!r} of the reader {name} is no regular expression: {error}."
        ) from error
    return (
        Format(
            name,
            reader.pattern,
            reader.open,
            typed=reader.typed,
            parts=reader.parts,
            folder=reader.folder,
        ),
    )
