"""Is the signal of a size that its sensors can give? A file's unit is often wrong by 10³ or 10⁶."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

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


def amplitudes(signal: Float[np.ndarray, "channel time"]) -> Float[np.ndarray, " channel"]:
    """Return half the span that holds the middle 68 % of each channel's samples.

    It is a Gaussian's standard deviation and cares nothing for artefacts.
    """
    low, high = np.quantile(signal, [0.16, 0.84], axis=1)
    return (high - low) / 2


def check_amplitude(sizes: Float[np.ndarray, " channel"], kinds: Sequence[str]) -> dict[str, float]:
    """Return the amplitude of each kind, the median of its channels.

    Parameters
    ----------
    sizes
        `amplitudes` of the channels.
    kinds
        of the channels.

    Raises
    ------
    Refused
        If a kind's amplitude is none that its sensors have, with the factor found; or if all kinds are flat.
    """
    found = {kind: float(np.median(sizes[rows])) for kind, rows in _by_kind(kinds).items()}
    if found and not any(found.values()):
        raise Refused(
            Reason.flat, f"Most of its {' and '.join(found)} channels are flat; leave it out."
        )
    for kind, size in found.items():
        if size and not _fits(size, kind):
            raise _implausible(kind, size, {k: v for k, v in found.items() if k != kind})
    return found


def find_outside(sizes: Float[np.ndarray, " channel"], kinds: Sequence[str]) -> dict[int, str]:
    """Return the channels whose amplitude no sensor of their kind has, with the reason.

    Kinds of which the median channel is no better are passed over: `check_amplitude` refuses them.
    """
    found = {}
    for kind, rows in _by_kind(kinds).items():
        middle = np.median(sizes[rows])
        if middle == 0 or _fits(middle, kind):
            outside = [int(row) for row in rows if not _fits(sizes[row], kind)]
            found |= {row: "amplitude" if sizes[row] else "flat" for row in outside}
    return found


def _by_kind(kinds: Sequence[str]) -> dict[str, Int[np.ndarray, " row"]]:
    return {
        kind: np.flatnonzero([k == kind for k in kinds])
        for kind in sorted(set(kinds) & set(RANGES))
    }


def _fits(size: float, kind: str) -> bool:
    return bool(RANGES[kind].least <= size <= RANGES[kind].greatest)


def _implausible(kind: str, size: float, others: Mapping[str, float]) -> Refused:
    """Return the refusal, with what mends the file: one factor for all, or to do without the kind."""
    plausible = RANGES[kind]
    power = 3 * round(np.log10(size / plausible.usual) / 3)
    lost = [k for k, v in others.items() if _fits(v, k) and not _fits(v * 10.0**-power, k)]
    remedy = (
        f"as one unit_scale cannot mend this and leave its {' and '.join(lost)} as it is, take "
        f"{kind} out of the recipe's kinds"
        if lost
        else f"set the recipe's unit_scale (1.0e{-power:+d}) and unit_reason if the unit is wrong"
    )
    return Refused(
        Reason.implausible_amplitude,
        f"Its {kind} amplitude is {size:.2g} {plausible.unit} where {plausible.least:g} to "
        f"{plausible.greatest:g} {plausible.unit} are plausible, about 10^{power} times the usual; {remedy}.",
    )
