"""What a store holds, and what did not come in."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from brainfm.store.read import Store, open_store


def status(store: Path, *, json: bool = False) -> None:
    """Print what a store holds: recordings, subjects, hours, sensors, size, and the quarantine.

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
    """
    opened = open_store(store)
    if json:
        print(json_format.dumps(summarise(opened), indent=1))
        return
    console = Console()
    console.print(_overview(opened))
    if len(opened.quarantined):
        console.print(_quarantine(opened))


def summarise(store: Store) -> dict[str, Any]:
    """Return the object that ``status --json`` prints."""
    columns = ["id", "source", "subject", "session", "run", "hours", "n_channels", "kinds", "sfreq"]
    table = store.table.assign(hours=store.table.seconds / 3600)[[*columns, "duplicate_of"]]
    recordings = table.to_dict("records")
    quarantined = store.quarantined[["source", "reason", "detail"]].to_dict("records")
    return {
        "hours": float(table.hours.sum()),
        "recordings": recordings,
        "quarantined": quarantined,
    }


def _overview(store: Store) -> Table:
    table = store.table
    shown = Table(title=str(store.path), show_header=False, title_justify="left")
    n_channels = sorted(set(table.n_channels))
    rows = {
        "recordings": f"{len(table):,}",
        "subjects": f"{len(table[['dataset', 'subject']].drop_duplicates()):,}",
        "hours": f"{table.seconds.sum() / 3600:,.2f}",
        "sensors": f"{_span(n_channels)} a recording; {', '.join(_kinds(store)) or 'none'}",
        "sampling rate": f"{_span(sorted(set(table.sfreq)))} Hz",
        "size": f"{store.n_bytes / 1e6:,.1f} MB",
        "duplicates": f"{table.duplicate_of.notna().sum():,}",
        "quarantined": f"{len(store.quarantined):,} files",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def _quarantine(store: Store) -> Table:
    shown = Table("source", "reason", "detail", title="quarantined", title_justify="left")
    for row in store.quarantined.to_dict("records"):
        shown.add_row(row["source"], row["reason"], row["detail"])
    return shown


def _kinds(store: Store) -> list[str]:
    return sorted({kind for kinds in store.table.kinds for kind in kinds.split(",")})


def _span(values: list[Any]) -> str:
    if not values:
        return "none"
    ends = dict.fromkeys(f"{value:g}" for value in (values[0], values[-1]))
    return " to ".join(ends)
