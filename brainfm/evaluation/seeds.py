"""What a seed does to all subjects alike, and how far the mean over a few seeds may be off by it.

Seeds and subjects are crossed: every seed is tested on every subject. A mean over both errs by the subjects
drawn and by the seeds drawn, and averaging over seeds first hides the second error. Its variance is the
seeds' variance less what subjects explain of it, and few seeds tell it badly; so it is not one number but a
distribution, the variances that the observed sums of squares allow (the generalised pivots of Tsui &
Weerahandi, J. Am. Stat. Assoc. 84 (1989) 602). With one seed, or seeds that agree, it is 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def shared_error(
    whole: Float64[np.ndarray, " seed"],
    parts: Float64[np.ndarray, "seed subject"],
    *,
    draws: int,
    seed: int,
) -> Float64[np.ndarray, " draw"]:
    """Return standard errors of a mean over seeds that the observed spread of seeds allows.

    Parameters
    ----------
    whole
        each seed's statistic of all subjects.
    parts
        what every subject contributes to it, up to a constant: its scores where the statistic is their mean.
    draws
        how many errors to draw.
    seed
        of the draws.
    """
    k, n = parts.shape
    between = ((whole - whole.mean()) ** 2).sum()
    # Seeds that agree up to rounding have no effect.
    if k < 2 or n < 2 or between <= 1e-24 * float((parts**2).max()):
        return np.zeros(draws)
    apart = parts - parts.mean(axis=0) - parts.mean(axis=1, keepdims=True) + parts.mean()
    within = (apart**2).sum() / n
    rng = np.random.default_rng([seed, 3])
    of_seeds = between / rng.chisquare(k - 1, draws)
    of_subjects = within / rng.chisquare((k - 1) * (n - 1), draws)
    return np.sqrt(np.maximum(of_seeds - of_subjects, 0) / k)


def shared_noise(
    whole: Float64[np.ndarray, " seed"],
    parts: Float64[np.ndarray, "seed subject"],
    *,
    draws: int,
    seed: int,
) -> Float64[np.ndarray, " draw"]:
    """Draw what the seeds may have shifted the mean by; arguments as of `shared_error`."""
    error = shared_error(whole, parts, draws=draws, seed=seed)
    return error * np.random.default_rng([seed, 4]).standard_normal(draws)
