"""What stands in a sidecar: the rows of a table, or the keys of a JSON file.

Numbers with a decimal comma and ``n/a`` are read, since published data sets hold them.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from brainfm.recordings.bids.sidecars import Sidecars
from brainfm.recordings.quarantine import Reason, Refused

Row = dict[str, str]


def read_table(sidecars: Sidecars, suffix: str, *columns: str) -> list[Row]:
    """Return the rows of a table by column, none where there is no file of that suffix.

    Raises
    ------
    Refused
        If it is no text, or lacks one of ``columns``.
    """
    if suffix not in sidecars:
        return []
    text = _text(sidecars[suffix][0], suffix)
    lines = [_cells(line) for line in text.split("\n") if line]
    header, rows = lines[:1], lines[1:]
    for column in columns:
        if rows and column not in header[0]:
            raise broken(suffix, f"it has no column {column}")
    return [
        dict.fromkeys(header[0], "") | dict(zip(header[0], map(str.strip, row), strict=False))
        for row in rows
    ]


def read_json(sidecars: Sidecars, suffix: str) -> dict[str, Any]:
    """Return the keys of JSON files, each from the nearest that has it; none where there is no file.

    Raises
    ------
    Refused
        If one is no JSON, or no map.
    """
    found: dict[str, Any] = {}
    for path in reversed(sidecars.get(suffix, ())):
        try:
            value = json.loads(_text(path, suffix))
        except (ValueError, RecursionError) as error:
            raise broken(suffix, "it is no JSON") from error
        if not isinstance(value, dict):
            raise broken(suffix, "it is no map of keys to values")
        found |= value
    return found


def read_map(value: Any, suffix: str, key: str) -> dict[str, Any]:
    """Return a map that stands in a JSON file, an empty one where there is none or ``n/a``.

    Raises
    ------
    Refused
        If it is anything else.
    """
    if value is None or value == "n/a":
        return {}
    if not isinstance(value, dict):
        raise broken(suffix, f"its {key} is no map of keys to values")
    return value


def broken(suffix: str, why: str) -> Refused:
    """Return the refusal of a recording whose sidecar cannot be read."""
    return Refused(Reason.damaged, f"Its sidecar {suffix} cannot be read: {why}; mend it.")


def number(text: str) -> float:
    """Return a number, NaN for ``n/a``; a comma may stand for the point."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return float("nan")


def _text(path: Path, suffix: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise broken(suffix, "it is no UTF-8 text") from error


def _cells(line: str) -> list[str]:
    """Return the values of a line: one in quotes may hold tabs, but none goes on in the next line."""
    try:
        return next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        # A quote alone is a character as any other.
        return line.split("\t")
