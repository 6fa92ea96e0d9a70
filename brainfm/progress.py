"""A progress bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def watched(items: Iterable[T], title: str, total: int) -> Iterable[T]:
    """Return the items, behind a progress bar where standard error is a terminal.

    Parameters
    ----------
    items
        each is taken when the one before is done.
    title
        what stands before the bar.
    total
        how many they are.
    """
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, title, total, console=Console(stderr=True), transient=True)
