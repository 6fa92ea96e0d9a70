"""The random numbers of a training.

All randomness of part p of step n comes from the seed, n and p. A run that is stopped at any step and
resumed from its last checkpoint therefore reads the same windows, draws the same masks and drops the
same units as one that never stopped, and so do more processes, which compute the same parts.
"""

from __future__ import annotations

import numpy as np

TRAINING, VALIDATION = 0, 1  # streams of random numbers


def draw_seed(seed: int, stream: int, step: int, part: int = 0) -> int:
    """Return a seed for one part of one step that no other part, step or stream shares."""
    sequence = np.random.SeedSequence([seed, stream, step, part])
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
