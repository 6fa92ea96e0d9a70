"""Folds inside the training windows: by whole subjects where they are told, else by windows."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

Splits = list[tuple[np.ndarray, np.ndarray]]


def inner_folds(y: np.ndarray, groups: np.ndarray | None, count: int) -> Splits:
    """Divide training windows into folds that show every class on both sides.

    Parameters
    ----------
    y
        (trial,) labels.
    groups
        (trial,) subjects, which no fold divides. Where nobody tells, or one subject alone shows a class,
        the windows are divided in their order.
    count
        of the folds; fewer where a class has fewer subjects or windows.

    Returns
    -------
    splits
        rows to learn from and rows left out; none where a class has a single window.
    """
    if groups is not None:
        least = min(len(np.unique(groups[y == name])) for name in np.unique(y))
        for n in range(min(count, least), 1, -1):
            splits = list(StratifiedGroupKFold(n).split(y, y, groups))
            if all(_complete(y, rows) for split in splits for rows in split):
                return splits
    n = min(count, int(np.unique(y, return_counts=True)[1].min()))
    return list(StratifiedKFold(n).split(y, y)) if n > 1 else []


def _complete(y: np.ndarray, rows: np.ndarray) -> bool:
    """Say whether some rows show all classes."""
    return len(np.unique(y[rows])) == len(np.unique(y))
