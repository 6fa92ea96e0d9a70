"""A few samples that stand for a long signal."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def spread_samples(n_times: int, *, n: int) -> Int[np.ndarray, " sample"]:
    """Return which samples to look at: ``n`` spread over a signal, the same each time, or all it has.

    One lies anywhere in each of ``n`` equal stretches. At equal distances, a rhythm whose period
    divides the distance would be met at one phase alone and look like a constant.

    Parameters
    ----------
    n_times
        samples of the signal.
    n
        how many are wanted.

    Returns
    -------
    Their numbers, ascending.
    """
    if n_times <= n:
        return np.arange(n_times)
    within = np.random.default_rng(0).random(n)
    return ((np.arange(n) + within) * (n_times / n)).astype(int).clip(max=n_times - 1)
