"""Is the signal of a size that its sensors can give? A file's unit is often wrong by 10³ or 10⁶."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainfm.recordings.quarantine import Reason, Refused


@dataclass(frozen=True)
class Range:
    """The robust amplitude of a recording of one kind.

    Attributes
    ----------
    least, usual, greatest
        in ``unit``.
    unit
        V, T or T/m.
    """

    least: float
    usual: float
    greatest: float
    unit: str


RANGES = {
    "eeg": Range(2e-7, 2e-5, 2e-3, "V"),
    "mag": Range(1e-15, 5e-13, 5e-11, "T"),
    "grad_axial": Range(1e-15, 5e-13, 5e-11, "T"),
    "grad_planar": Range(2e-14, 1e-11, 1e-9, "T/m"),
    "ref_meg": Range(1e-14, 5e-12, 5e-10, "T"),
    "ecog": Range(5e-7, 5e-5, 5e-3, "V"),
    "seeg": Range(5e-7, 5e-5, 5e-3, "V"),
    "eog": Range(3e-7, 5e-5, 5e-3, "V"),
    "ecg": Range(5e-7, 1e-4, 1e-2, "V"),
    "emg": Range(1e-7, 2e-5, 5e-3, "V"),
}
"""What is plausible of each kind; ``misc`` may be anything."""


def check_amplitude(
    signal: Float[np.ndarray, "channel time"], kinds: Sequence[str]
) -> dict[str, float]:
    """Return the amplitude of each kind; raise `Refused`, with the factor found, where implausible.

    The amplitude of a kind is the median over its channels of half the span that holds the middle
    68 % of the samples, which is a Gaussian's standard deviation and cares nothing for artefacts.
    """
    found = {}
    for kind in sorted(set(kinds) & set(RANGES)):
        rows = signal[[k == kind for k in kinds]]
        low, high = np.quantile(rows, [0.16, 0.84], axis=1)
        found[kind] = float(np.median((high - low) / 2))
        _check(found[kind], kind, RANGES[kind])
    return found


def _check(amplitude: float, kind: str, plausible: Range) -> None:
    if amplitude == 0:
        raise Refused(Reason.flat, f"Most of its {kind} channels are flat; leave it out.")
    if plausible.least <= amplitude <= plausible.greatest:
        return
    power = 3 * round(np.log10(amplitude / plausible.usual) / 3)
    raise Refused(
        Reason.implausible_amplitude,
        f"Its {kind} amplitude is {amplitude:.2g} {plausible.unit} where {plausible.least:g} to "
        f"{plausible.greatest:g} {plausible.unit} are plausible, about 10^{power} times the usual; "
        f"set the recipe's unit_scale (1.0e{-power:+d}) and unit_reason if the unit is wrong.",
    )
