"""Intervals, chance bands and paired comparisons of many estimators, as an evaluation makes them.

There is no peer: the figure is how long nobody should have to wait for. Seconds of processor time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from brainfm.evaluation.chance import chance
from brainfm.evaluation.metrics import METRICS
from brainfm.evaluation.pairs import difference
from brainfm.evaluation.ranks import rank_estimators
from brainfm.evaluation.statistics import Pooled, score_intervals


def predictions(subjects: int, seeds: int, windows: int, skill: float) -> Pooled:
    """Return two-class predictions of some skill, that of a subject being the same in all seeds."""
    rng = np.random.default_rng(round(1000 * skill))
    subject = np.repeat(np.arange(subjects), windows)
    truth = np.arange(subjects * windows) % 2
    able = np.clip(rng.normal(skill, 0.1, subjects), 0, 1)[subject]
    right = rng.random((seeds, len(truth))) < able
    sure = rng.uniform(0.5, 1, right.shape)
    second = np.where(right == (truth == 1), sure, 1 - sure)
    names = subject.astype(str)
    return Pooled(truth, names, names, np.stack([1 - second, second], axis=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=100)
    parser.add_argument("--estimators", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--windows", type=int, default=20, help="test windows a subject")
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    size = given.subjects, given.seeds, given.windows
    pooled = [predictions(*size, skill) for skill in np.linspace(0.5, 0.8, given.estimators)]
    metrics, options = list(METRICS), {"draws": given.draws, "seed": 0}
    alone = [p.subject_scores(metrics) for p in pooled]
    steps = {
        "intervals": lambda: [score_intervals(p, metrics) for p in pooled],
        "chance bands": lambda: [chance(p, metrics, **options) for p in pooled],
        "differences": lambda: [
            difference(scores[m], alone[0][m], **options) for scores in alone[1:] for m in metrics
        ],
        "ranks": lambda: rank_estimators(
            {str(i): scores["auroc"] for i, scores in enumerate(alone)}
        ),
    }
    print(
        f"{given.subjects} subjects × {given.estimators} estimators × {given.seeds} seeds, "
        f"{given.windows} windows a subject, {given.draws} draws, {len(metrics)} measures\n"
    )
    total = 0.0
    for name, step in steps.items():
        start = time.process_time()
        step()
        total += (seconds := time.process_time() - start)
        print(f"{name:14} {seconds:7.2f} s")
    print(f"{'in all':14} {total:7.2f} s")


if __name__ == "__main__":
    main()
