"""What an evaluation would know of its test beforehand: an error, unless somebody gives a reason."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from brainfm.errors import UsageError
from brainfm.evaluation.overlap import find_twice
from brainfm.windows.people import persons, with_store
from brainfm.windows.purge import apart
from brainfm.windows.splits import Fold

SIDES = ("train", "validation", "test")


def find_leaks(
    table: pd.DataFrame, folds: Sequence[Fold], recordings: pd.DataFrame | None = None
) -> list[str]:
    """Return a sentence for everything by which the sides of the folds know of each other.

    Parameters
    ----------
    table
        all windows, with the columns subject, recording, fingerprint, onset and seconds.
    folds
        of all seeds.
    recordings
        all of the store, see `Trials.recordings`: two subjects of the windows may share one of which there
        is no window.

    Returns
    -------
    leaks
        a person under several subjects; a person on two sides; a recording's content on two sides under two
        names; windows on two sides that share samples. One sentence each, with the first example.
    """
    found = [_twice(table, recordings)]
    found += [_on_two_sides(table, folds, "subject"), _content(table, folds)]
    found += [_shared_samples(table, folds)]
    return [sentence for sentence in found if sentence]


def check_leaks(leaks: Sequence[str], reason: str | None) -> None:
    """Raise ``UsageError`` for the first leak, unless there is a reason to allow it."""
    if reason is not None and not reason.strip():
        raise UsageError("allow_leakage is empty: give the reason, which the report repeats.")
    if leaks and reason is None:
        more = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise UsageError(
            f"{leaks[0]}{more}: divide otherwise, or give the reason why that is wanted as "
            "`allow_leakage`, which the report repeats."
        )


def _twice(table: pd.DataFrame, recordings: pd.DataFrame | None) -> str:
    """Say who stands under several subjects of the table."""
    every, n = with_store(table, pd.DataFrame() if recordings is None else recordings)
    who = persons(every)
    names = every["subject"][:n].astype(str).groupby(who[:n]).unique()
    for person, subjects in names[names.map(len) > 1].items():
        same = " and ".join(sorted(subjects))
        copies = [t for t in find_twice(every[who == person]) if len({s for _, s in t.people}) > 1]
        if not copies:
            return (
                f"The subjects {same} are one person by the codes that their data sets share, so folds by "
                "subject would train and test on one person (the task's `people` can say it)"
            )
        places = " and ".join(" ".join(filter(None, place)) for place in copies[0].people)
        return (
            f"The same recording (fingerprint {copies[0].fingerprint[:12]}) stands under the subjects "
            f"{places}, so folds by subject would train and test on one person, here {same} (where that is "
            "so, the task's `people` can say it)"
        )
    return ""


def _on_two_sides(table: pd.DataFrame, folds: Sequence[Fold], column: str) -> str:
    """Say which name of a column is on two sides of a fold."""
    names = table[column].to_numpy(dtype=str)
    for fold in folds:
        on = {side: set(names[fold.rows(side, table)].tolist()) for side in SIDES}
        for a, b in combinations(SIDES, 2):
            if both := sorted(on[a] & on[b]):
                return (
                    f"{column.capitalize()} {both[0]!r} is in {a} and in {b} of fold {fold.index}"
                )
    return ""


def _content(table: pd.DataFrame, folds: Sequence[Fold]) -> str:
    """Say which content is on two sides under two recordings' names."""
    pairs = table[["fingerprint", "recording"]].drop_duplicates()
    copied = pairs["fingerprint"][pairs["fingerprint"].duplicated()]
    return _on_two_sides(table[table["fingerprint"].isin(copied)], folds, "fingerprint")


def _shared_samples(table: pd.DataFrame, folds: Sequence[Fold]) -> str:
    """Say which windows of one recording overlap across sides."""
    for fold in folds:
        if fold.by != "window":
            continue  # a recording is on one side
        rows = {side: fold.rows(side, table) for side in SIDES}
        for a, b in combinations(SIDES, 2):
            near = rows[a] & ~apart(table, rows[a], rows[b])
            if near.any():
                first = table[near].iloc[0]
                return (
                    f"The window at {first['onset']:g} s of {first['recording']} is in {a} of fold "
                    f"{fold.index} and shares samples with one in {b}"
                )
    return ""
