"""What a store holds, what did not come in, and what was read from files that are gone."""

from __future__ import annotations

import json as json_format
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from brainfm.recordings.sources import is_there
from brainfm.store.files import Unlisted
from brainfm.store.read import Store, open_store

LISTED = 500
"""Lines of each list that a terminal is given."""

UNKNOWN = "unknown: the store's server lists no folders"


def status(store: Path, *, json: bool = False) -> None:
    """Print what a store holds: recordings, subjects, hours, sensors, size, duplicates, quarantine.

    Sources that are gone are listed, too; a relative path counts from the folder of the call. So are
    recordings whose folder was removed: the next ingest of their sources brings them in again. What a
    server that lists no folders does not tell is said to be unknown, null in JSON.

    Parameters
    ----------
    store
        the store.
    json
        print one JSON object instead of tables.

    Raises
    ------
    UsageError
        If there is no store.
    WorkError
        If an entry of the quarantine cannot be read.
    """
    opened = open_store(store)
    if json:
        print(json_format.dumps(summarise(opened), indent=1))
        return
    console = Console()
    console.print(_overview(opened))
    for told in (_duplicates(opened), _lost(opened), _quarantine(opened), _vanished(opened)):
        if told.row_count:
            console.print(told)


def summarise(store: Store) -> dict[str, Any]:
    """Return the object that ``status --json`` prints."""
    columns = ["id", "source", "subject", "session", "run", "hours", "n_channels", "kinds", "sfreq"]
    table = store.table.assign(hours=store.table.seconds / 3600)[[*columns, "duplicate_of"]]
    recordings = table.to_dict("records")
    refused = _refused(store)
    told = None if refused is None else refused[["source", "reason", "detail"]].to_dict("records")
    return {
        "hours": float(table.hours.sum()),
        "recordings": recordings,
        "lost": None if refused is None else store.lost,
        "quarantined": told,
        "vanished": list(find_vanished(store)),
    }


def find_vanished(store: Store) -> dict[str, str]:
    """Return the sources that are not there any more, with the recording's id or the reason code."""
    refused = _refused(store)
    had = {} if refused is None else dict(zip(refused.source, refused.reason, strict=True))
    had |= dict(zip(store.table.source, store.table.id, strict=True))
    return {source: what for source, what in had.items() if not is_there(source)}


def _refused(store: Store) -> pd.DataFrame | None:
    """Return what did not come in, None where the store's server lists no folders."""
    try:
        return store.quarantined
    except Unlisted:
        return None


def _size(store: Store) -> str:
    try:
        return f"{store.n_bytes / 1e6:,.1f} MB"
    except Unlisted:
        return UNKNOWN


def _overview(store: Store) -> Table:
    table = store.table
    shown = Table(title=str(store.path), show_header=False, title_justify="left")
    n_channels, refused = sorted(set(table.n_channels)), _refused(store)
    rows = {
        "recordings": f"{len(table):,}",
        "subjects": f"{len(table[['dataset', 'subject']].drop_duplicates()):,}",
        "hours": f"{table.seconds.sum() / 3600:,.2f}",
        "sensors": f"{_span(n_channels)} a recording; {', '.join(_kinds(store)) or 'none'}",
        "sampling rate": f"{_span(sorted(set(table.sfreq)))} Hz",
        "encoding": ", ".join(f"{n:,} {dtype}" for dtype, n in Counter(table.dtype).items()),
        "bad channels": f"{table.n_bad.sum():,} in {(table.n_bad > 0).sum():,} recordings",
        "size": _size(store),
        "duplicates": f"{table.duplicate_of.notna().sum():,}",
        "quarantined": UNKNOWN if refused is None else f"{len(refused):,} files",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def _duplicates(store: Store) -> Table:
    twice = store.table[store.table.duplicate_of.notna()]
    rows = zip(twice["id"], twice.duplicate_of, strict=True)
    return _listing("duplicates", ["recording", "has the content of"], rows)


def _lost(store: Store) -> Table:
    return _listing("removed", ["recording without a folder"], ([id] for id in store.lost))


def _quarantine(store: Store) -> Table:
    columns, refused = ["source", "reason", "detail"], _refused(store)
    rows = () if refused is None else refused[columns].itertuples(index=False)
    return _listing("quarantined", columns, rows)


def _vanished(store: Store) -> Table:
    rows = find_vanished(store).items()
    return _listing("gone since", ["source", "what the store has of it"], rows)


def _listing(title: str, columns: Sequence[str], rows: Iterable[Iterable[str]]) -> Table:
    """Return a table of the first `LISTED` rows, whose last line says how many follow."""
    shown = Table(title=title, title_justify="left")
    for column in columns:
        shown.add_column(column, overflow="fold")  # a path that is cut names no file
    rows = iter(rows)
    for row in islice(rows, LISTED):
        shown.add_row(*map(_printable, row))
    if more := sum(1 for _ in rows):
        shown.add_row(f"… and {more:,} more, which --json lists")
    return shown


def _printable(text: str) -> Text:
    """Return what a terminal can show: a file may be named with a line break, or no text at all."""
    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def _kinds(store: Store) -> list[str]:
    return sorted({kind for kinds in store.table.kinds for kind in kinds.split(",")})


def _span(values: list[Any]) -> str:
    if not values:
        return "none"
    ends = dict.fromkeys(f"{value:g}" for value in (values[0], values[-1]))
    return " to ".join(ends)
