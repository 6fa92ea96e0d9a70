"""Two hypnograms beside each other: stages, and the moments at which they change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from brainfm.errors import UsageError

Stages = np.ndarray


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far a hypnogram follows another.

    Attributes
    ----------
    accuracy, kappa
        share of the epochs in the same stage, and Cohen's κ.
    f1
        by stage, in the order of ``stages``; NaN for a stage in neither.
    true_transitions, found_transitions
        changes of stage, and those of them that the other shows too, within the tolerance.
    false_transitions
        changes that the other hypnogram shows alone.
    """

    stages: tuple[str, ...]
    accuracy: float
    kappa: float
    f1: tuple[float, ...]
    true_transitions: int
    found_transitions: int
    false_transitions: int

    @property
    def transition_sensitivity(self) -> float:
        """Share of the changes found; NaN for a night without one."""
        total = self.true_transitions
        return self.found_transitions / total if total else float("nan")


def compare_hypnograms(
    truth: Stages, predicted: Stages, stages: tuple[str, ...], *, tolerance: int = 1
) -> Agreement:
    """Compare two hypnograms of the same night, epoch by epoch.

    A change is found where the other hypnogram changes from the same stage to the same stage no more than
    ``tolerance`` epochs away; each change is matched once, the nearest first.

    Parameters
    ----------
    truth, predicted
        (epoch,) names of the stages.
    stages
        all names, in the order wanted.
    tolerance
        in epochs.

    Raises
    ------
    UsageError
        When the nights differ in length or a stage is not named.
    """
    if len(truth) != len(predicted) or not len(truth):
        raise UsageError(
            f"The hypnograms have {len(truth)} and {len(predicted)} epochs: give the same night twice."
        )
    if unknown := sorted({*truth.tolist(), *predicted.tolist()} - set(stages)):
        raise UsageError(f"The stages {unknown} are not among {list(stages)}: name them too.")
    one = len({*truth.tolist(), *predicted.tolist()}) == 1  # κ has no chance to correct for
    f1 = f1_score(truth, predicted, labels=list(stages), average=None, zero_division=np.nan)
    mine, theirs = transitions(truth), transitions(predicted)
    found = _matched(mine, theirs, tolerance)
    return Agreement(
        stages=stages,
        accuracy=float(accuracy_score(truth, predicted)),
        kappa=float("nan") if one else float(cohen_kappa_score(truth, predicted)),
        f1=tuple(float(value) for value in f1),
        true_transitions=len(mine),
        found_transitions=found,
        false_transitions=len(theirs) - found,
    )


def transitions(stages: Stages) -> list[tuple[int, str, str]]:
    """Return the first epoch of every new stage, with the stage before and the stage after."""
    at = np.flatnonzero(stages[1:] != stages[:-1]) + 1
    return [(int(i), str(stages[i - 1]), str(stages[i])) for i in at]


def transition_counts(truth: Stages, stages: tuple[str, ...]) -> Int[np.ndarray, "stage stage"]:
    """Return how often each stage (row) is followed by each (column), itself included."""
    number = {name: i for i, name in enumerate(stages)}
    place = np.array([number[str(name)] for name in truth])
    counts = np.zeros((len(stages), len(stages)), dtype=np.int64)
    np.add.at(counts, (place[:-1], place[1:]), 1)
    return counts


def _matched(
    mine: list[tuple[int, str, str]], theirs: list[tuple[int, str, str]], tolerance: int
) -> int:
    """Return how many changes can be paired, the nearest first, each once."""
    pairs = sorted(
        (abs(a[0] - b[0]), i, j)
        for i, a in enumerate(mine)
        for j, b in enumerate(theirs)
        if a[1:] == b[1:] and abs(a[0] - b[0]) <= tolerance
    )
    used_mine: set[int] = set()
    used_theirs: set[int] = set()
    for _, i, j in pairs:
        if i not in used_mine and j not in used_theirs:
            used_mine.add(i)
            used_theirs.add(j)
    return len(used_mine)
