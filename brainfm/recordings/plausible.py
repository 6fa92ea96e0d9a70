"""Is the signal of a size that its sensors can give? A file's unit is often wrong by 10³ or 10⁶."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from brainfm.recordings.quarantine import Reason, Refused

RANGES = {
    "eeg": (2e-7, 2e-5, 2e-3, "V"),
    "mag": (1e-15, 5e-13, 1e-9, "T"),
    "grad_axial": (1e-15, 5e-13, 1e-9, "T"),
    "grad_planar": (2e-14, 1e-11, 1e-8, "T/m"),
}
"""Least, usual and greatest robust amplitude of a recording of each kind, and its unit."""


def check_amplitude(signal: Float[np.ndarray, "channel time"], kinds: Sequence[str]) -> None:
    """Raise `Refused` where a kind's amplitude is implausible, with the factor found.

    The amplitude of a kind is the median over its channels of half the span that holds the middle
    68 % of the samples, which is a Gaussian's standard deviation and cares nothing for artefacts.
    """
    for kind in sorted(set(kinds) & set(RANGES)):
        rows = signal[[k == kind for k in kinds]]
        low, high = np.quantile(rows, [0.16, 0.84], axis=1)
        _check(float(np.median((high - low) / 2)), kind)


def _check(amplitude: float, kind: str) -> None:
    least, usual, greatest, unit = RANGES[kind]
    if amplitude == 0:
        raise Refused(Reason.flat, f"Most of its {kind} channels are flat; leave it out.")
    if least <= amplitude <= greatest:
        return
    power = 3 * round(np.log10(amplitude / usual) / 3)
    raise Refused(
        Reason.implausible_amplitude,
        f"Its {kind} amplitude is {amplitude:.2g} {unit} where {least:g} to {greatest:g} {unit} "
        f"are plausible, about 10^{power} times the usual; set the recipe's unit_scale "
        f"(1e{-power}) if the unit is wrong.",
    )
