"""Who is who: a person is known under several names where one recording stands under them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

WHO = ("fingerprint", "dataset", "people_of", "subject", "case")
"""Columns by which people are known, of which ``fingerprint`` and ``subject`` are always there."""


def persons(table: pd.DataFrame) -> Int[np.ndarray, " row"]:
    """Return the number of each row's person.

    Rows are of one person where data set (or whose codes it has, see `Recipe.people_of`) and subject are the
    same, where one is another's ``case``, and where their content is the same, also over several such
    steps.

    Parameters
    ----------
    table
        windows or recordings, with the columns fingerprint, subject and, where known, dataset, people_of
        and case.
    """
    whose = _text(table, "people_of")
    whose = whose.where(whose != "", _text(table, "dataset"))
    contents = "content " + _text(table, "fingerprint")
    subjects, cases = (
        whose + " name " + _text(table, c if c in table else "subject") for c in ("subject", "case")
    )
    nodes, _ = pd.factorize(np.concatenate([subjects, cases, contents]))
    subject, case, content = nodes.reshape(3, -1)
    ends = np.concatenate([subject, subject]), np.concatenate([case, content])
    size = int(nodes.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(size, size))
    return connected_components(graph, directed=False)[1][subject].astype(np.int64)


def with_store(rows: pd.DataFrame, recordings: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return who stands in some rows, below them who stands in the store, and how many the first are."""
    here = rows[[c for c in WHO if c in rows]].drop_duplicates()
    store = recordings.reindex(columns=here.columns)
    return (pd.concat([here, store], ignore_index=True) if len(store) else here), len(here)


def known_of(rows: pd.DataFrame, recordings: pd.DataFrame) -> pd.DataFrame:
    """Return all recordings of the people in some rows, under all their names.

    Parameters
    ----------
    rows
        windows or recordings, with the columns of `WHO` as far as they are known.
    recordings
        all of the store, likewise; may have no row.
    """
    every, n = with_store(rows, recordings)
    who = persons(every)
    return every[np.isin(who, who[:n])].drop_duplicates()


def is_copy(table: pd.DataFrame) -> Bool[np.ndarray, " row"]:
    """Say of each recording whether one above it has the same content."""
    return table["fingerprint"].duplicated().to_numpy(dtype=bool)


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    return table[column].astype(str) if column in table else pd.Series("", index=table.index)
