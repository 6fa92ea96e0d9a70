"""What seeds that shift all subjects alike do to p values, intervals and power, in simulated experiments.

A line a setting: how often p is below 5 % without a difference (by flipping the signs of subjects alone, and
as brainfm does), how often the interval holds the truth, and how often p finds a difference of three
standard errors, which whoever knows all variances finds in 85 of 100.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from brainfm.evaluation.intervals import interval_of_mean
from brainfm.evaluation.pairs import sign_flip_p, wilcoxon_p

SPREADS = ((0, 1, 1), (0, 1, 0.2), (0.1, 1, 0.5), (0.3, 1, 0.5), (0.3, 0.3, 1), (1, 1, 1))
"""Of what a seed does to all, of subjects, and of what a seed does to one subject."""
OPTIONS = {"draws": 1000, "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000)
    experiments = parser.parse_args().experiments
    print(
        f"{experiments} experiments a line\n\nseeds subjects  spreads          "
        "signs    p      Wilcoxon  interval  power"
    )
    for seeds, subjects, spread in product((5, 10, 3, 2), (6, 20, 60), SPREADS):
        rng = np.random.default_rng(0)
        of_seeds, of_subjects, of_both = spread
        null = (
            of_seeds * rng.normal(size=(experiments, seeds, 1))
            + of_subjects * rng.normal(size=(experiments, 1, subjects))
            + of_both * rng.normal(size=(experiments, seeds, subjects))
        )
        error = np.sqrt(of_seeds**2 / seeds + (of_subjects**2 + of_both**2 / seeds) / subjects)
        ends = [interval_of_mean(gaps, **OPTIONS) for gaps in null]
        rates = (
            np.mean([sign_flip_p(g.mean(axis=0)[None], **OPTIONS) <= 0.05 for g in null]),
            np.mean([sign_flip_p(g, **OPTIONS) <= 0.05 for g in null]),
            np.mean([wilcoxon_p(g) <= 0.05 for g in null]),
            np.mean([e.low <= 0 <= e.high for e in ends]),
            np.mean([sign_flip_p(g + 3 * error, **OPTIONS) <= 0.05 for g in null]),
        )
        told = "   ".join(f"{rate:6.3f}" for rate in rates)
        print(f"{seeds:5} {subjects:8}  {spread!s:15} {told}", flush=True)


if __name__ == "__main__":
    main()
