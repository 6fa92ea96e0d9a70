"""How numbers are written on the page: three significant figures, intervals as [low, high]."""

from __future__ import annotations

import math
from typing import Any

NONE = "–"
"""What stands where there is no number."""


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite number."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def figure(value: Any) -> str:
    """Return ``value`` with three significant figures, never in powers of ten up to a million."""
    if not is_number(value):
        return NONE
    x = float(value)
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    if not -4 <= size < 6:
        return f"{x:.2e}".replace("-", "−")
    # Rounding may carry (0.9996 → 1.00), so the digits are counted after it.
    size = math.floor(math.log10(abs(float(f"{x:.2e}"))))
    rounded = round(x, 2 - size)
    return f"{rounded:,.{max(0, 2 - size)}f}".replace("-", "−").replace(",", "\u202f")


def signed(value: Any) -> str:
    """Return ``value`` with its sign and three significant figures."""
    text = figure(value)
    return f"+{text}" if is_number(value) and float(value) > 0 else text


def interval(low: Any, high: Any) -> str:
    """Return ``[low, high]``, or nothing where an end is missing."""
    return f"[{figure(low)}, {figure(high)}]" if is_number(low) and is_number(high) else ""


def count(value: Any) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{round(float(value)):,}".replace(",", "\u202f") if is_number(value) else NONE


def magnitude(value: Any) -> str:
    """Return a count in thousands or millions where it is that large, as 1.17 M."""
    if not is_number(value):
        return NONE
    x = float(value)
    for limit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if x >= limit:
            return f"{figure(x / limit if name != 'k' else x / 1e3)} {name}"
    return count(x)


def percent(share: Any) -> str:
    """Return a share of 1 in per cent."""
    return f"{figure(100 * float(share))} %" if is_number(share) else NONE


def span(seconds: Any) -> str:
    """Return a length of time in the unit that suits it."""
    if not is_number(seconds):
        return NONE
    x = float(seconds)
    for unit, limit in (("h", 3600), ("min", 60)):
        if x >= 2 * limit:
            return f"{figure(x / limit)} {unit}"
    return f"{figure(x)} s"


def several(n: int, noun: str) -> str:
    """Return ``n`` and the noun, in the plural where it is called for."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def listed(names: list[str]) -> str:
    """Return names as a sentence lists them: a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
