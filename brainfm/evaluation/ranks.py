"""Many estimators at once: mean ranks over subjects, and who cannot be told from whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64
from scipy.stats import friedmanchisquare, rankdata

from brainfm.evaluation.pairs import holm, wilcoxon_p

LEVEL = 0.05


@dataclass(frozen=True)
class Ranking:
    """Estimators by their mean rank over subjects.

    Attributes
    ----------
    names
        the best first.
    mean_rank
        1 is best on every subject.
    p
        of Friedman's test that all are alike under the given seeds.
    alike
        groups of neighbours, as (first, last) places, within which no pair differs by Wilcoxon's test
        with Holm's correction; none within another.
    n_subjects
        subjects on whom all are scored.
    """

    names: tuple[str, ...]
    mean_rank: tuple[float, ...]
    p: float
    alike: tuple[tuple[int, int], ...]
    n_subjects: int


def rank_estimators(
    scores: Mapping[str, Float64[np.ndarray, "seed subject"]],
) -> Ranking | None:
    """Rank estimators on every subject, the highest score first; ties share their ranks.

    Demšar, J. Mach. Learn. Res. 7 (2006) 1; pairs by signed ranks, not by mean ranks, as Benavoli et
    al. (ibid. 17 (2016) 5) advise. None for fewer than three estimators or two subjects.

    Parameters
    ----------
    scores
        by estimator, seeds and subjects in the same order; a subject not scored for all is left out.
    """
    names = np.array(list(scores))
    each = np.stack(list(scores.values())) if len(scores) else np.zeros((0, 0, 0))
    each = each[:, :, np.isfinite(each).all(axis=(0, 1))]
    if len(names) < 3 or each.shape[2] < 2:
        return None
    table = each.mean(axis=1)
    mean_rank = rankdata(-table, axis=0).mean(axis=1)
    order = np.lexsort((names, mean_rank))
    each, table = each[order], table[order]
    # Where every subject ranks all alike there is no variance to test.
    varied = (np.ptp(table, axis=0) > 0).any()
    return Ranking(
        names=tuple(str(n) for n in names[order]),
        mean_rank=tuple(float(r) for r in mean_rank[order]),
        p=float(friedmanchisquare(*table).pvalue) if varied else 1.0,
        alike=_groups(_differing(each), len(table)),
        n_subjects=table.shape[1],
    )


def _differing(each: np.ndarray) -> set[tuple[int, int]]:
    """Return the pairs of estimators that signed ranks tell apart after Holm's correction."""
    pairs = list(combinations(range(len(each)), 2))
    corrected = holm([wilcoxon_p(each[a] - each[b]) for a, b in pairs])
    return {pair for pair, p in zip(pairs, corrected, strict=True) if p < LEVEL}


def _groups(differing: set[tuple[int, int]], n: int) -> tuple[tuple[int, int], ...]:
    """Return the longest runs of places without a differing pair."""
    runs: list[tuple[int, int]] = []
    for first in range(n):
        last = first
        while last + 1 < n and not any((i, last + 1) in differing for i in range(first, last + 1)):
            last += 1
        if last > first and not any(last <= other for _, other in runs):
            runs.append((first, last))
    return tuple(runs)
