"""How far a mean over subjects and a few seeds errs, where a seed may shift all subjects alike.

Seeds and subjects are crossed: every seed is tested on every subject. A mean over both errs by the subjects
drawn and by the seeds drawn, and averaging over seeds first hides the second error. Its variance is the
seeds' mean square less that of what neither explains. Few seeds have a small mean square more often than a
large one, so it is taken for the middle of what χ² allows, not for the average. Both errors add up; their sum
has Satterthwaite's degrees of freedom (Biometrics Bulletin 2 (1946) 110), as readers and cases have in
studies of diagnosis (Hillis, Stat. Med. 26 (2007) 596). With one seed, or seeds that agree, all is as of
subjects alone. Of two or three subjects these degrees may be more than their own, and a sum of both errors
would seem surer than one of them: seeds never make p smaller or an interval shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import chi2, t

# Quantile of χ² that the seeds' sum of squares is taken for: the middle; two or three seeds hardly tell, and
# lean to the wide side.
MIDDLE, OF_FEW = 1 / 2, {2: 1 / 3, 3: 2 / 5}


@dataclass(frozen=True)
class Error:
    """The standard error of a mean over subjects and seeds.

    Attributes
    ----------
    subjects
        by the subjects drawn, and by what a seed does to one of them.
    shared
        by what seeds do to all subjects alike.
    free_subjects, free_seeds
        degrees of freedom of both.
    """

    subjects: float
    shared: float
    free_subjects: float
    free_seeds: int

    @property
    def total(self) -> float:
        """Of both."""
        return float(np.hypot(self.subjects, self.shared))

    @property
    def free(self) -> float:
        """Degrees of freedom of both."""
        if self.shared == 0:
            return self.free_subjects
        share = (self.shared / self.total) ** 2
        return 1 / ((1 - share) ** 2 / self.free_subjects + share**2 / self.free_seeds)

    def reach(self, confidence: float) -> float:
        """Return how far the mean errs at most, in so many of all cases; never less than by subjects."""
        inside = (1 + confidence) / 2
        alone = float(t.ppf(inside, self.free_subjects)) * self.subjects
        return max(alone, float(t.ppf(inside, self.free)) * self.total)

    def p_of(self, mean: float) -> float:
        """Return the two-sided p of a mean, were it truly 0; never less than by subjects."""
        alone = _two_sided(mean, self.subjects, self.free_subjects)
        return max(alone, _two_sided(mean, self.total, self.free))

    def of_subjects(self, mean: float) -> float:
        """Return the Student's t that would be as improbable as this mean, were there no seeds."""
        return float(t.isf(self.p_of(mean) / 2, self.free_subjects))

    def widened(self, p: float) -> float:
        """Return a two-sided p of a test over subjects as it is of subjects and seeds; never less."""
        if self.shared == 0:
            return p
        away = float(t.isf(p / 2, self.free_subjects)) * self.subjects
        return max(p, _two_sided(away, self.total, self.free))


def error_of(values: Float64[np.ndarray, "seed subject"]) -> Error:
    """Return the error of the mean of a number a seed and subject."""
    k, n = values.shape
    spread = values.mean(axis=0).var(ddof=1) / n
    shared = shared_error(values.mean(axis=1), values)
    return Error(subjects_error(spread, values), shared, float(n - 1), k - 1)


def subjects_error(spread: float, parts: Float64[np.ndarray, "seed subject"]) -> float:
    """Return the standard error of a mean over seeds by the subjects drawn.

    What a seed does to one subject is in the spread of the subjects' means; few of these may agree by luck,
    and so the error is at least by what is seen of it.

    Parameters
    ----------
    spread
        the error's square, by the subjects' means over seeds.
    parts
        as in `shared_error`.
    """
    return float(np.sqrt(max(spread, _apart(parts) / parts.size)))


def shared_error(
    whole: Float64[np.ndarray, " seed"], parts: Float64[np.ndarray, "seed subject"]
) -> float:
    """Return the standard error of a mean over seeds by what a seed does to all subjects alike.

    Parameters
    ----------
    whole
        each seed's statistic of all subjects.
    parts
        what every subject contributes to it, up to a constant: its scores where the statistic is their mean.
    """
    k, n = parts.shape
    between = ((whole - whole.mean()) ** 2).sum()
    # Seeds that agree up to rounding have no effect.
    if k < 2 or n < 2 or between <= 1e-24 * float((parts**2).max()):
        return 0.0
    of_seeds = between / chi2.ppf(OF_FEW.get(k, MIDDLE), k - 1)
    return float(np.sqrt(max(of_seeds - _apart(parts) / n, 0) / k))


def _apart(parts: np.ndarray) -> float:
    """Return the mean square of what neither seeds nor subjects explain; 0 of one seed or subject."""
    k, n = parts.shape
    if k < 2 or n < 2:
        return 0.0
    apart = parts - parts.mean(axis=0) - parts.mean(axis=1, keepdims=True) + parts.mean()
    return float((apart**2).sum() / ((k - 1) * (n - 1)))


def _two_sided(mean: float, error: float, free: float) -> float:
    """Return Student's p; 0 where nothing errs."""
    return float(2 * t.sf(abs(mean) / error, free)) if error else 0.0
