"""When recordings were made, shifted into the past: a subject's order, intervals and times of day stay.

As BIDS wants, shifted dates lie before 1925 (Gorgolewski et al. 2016, Sci. Data 3:160044). How many
days a subject's recordings are moved is a keyed hash of the subject (HMAC, RFC 2104). The key lies outside
the store, because a shift that can be derived from the store is undone by whoever has it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from brainfm.errors import UsageError

LEAST_DAYS = 54_786
"""150 years: what was recorded until 2074 is shifted to before 1925."""

SPREAD_DAYS = 36_525
"""And up to so many more, a hundred years: a shifted date tells nothing of the true one."""

KEY_BYTES = 16
"""A shorter key could be found by trying all."""


@dataclass(frozen=True)
class DateShift:
    """How dates are shifted.

    Attributes
    ----------
    key
        the secret.
    """

    key: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Return what tells two keys apart and tells nothing of either."""
        return self._digest("").hex()[:8]

    def shift(self, when: datetime, *, dataset: str, subject: str) -> datetime:
        """Return the shifted time, without a time zone, which few formats state.

        Parameters
        ----------
        when
            the recording's begin.
        dataset, subject
            whose recording it is: subject 01 of another data set has another shift.
        """
        number = int.from_bytes(self._digest(f"{dataset}\0{subject}")[:8], "big")
        days = timedelta(days=LEAST_DAYS + number % SPREAD_DAYS)
        return when.replace(tzinfo=None) - days

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self.key, text.encode("utf-8", "surrogateescape"), "sha256")


def load_key(path: Path, *, store: Path) -> DateShift:
    """Read the key of a shift.

    Raises
    ------
    UsageError
        If there is none, it is too short, or it lies in the store.
    """
    make = f"make one with `head -c 32 /dev/urandom > {path}` and keep it apart from the store"
    if not path.is_file():
        raise UsageError(f"There is no date key {path}; {make}.")
    if path.resolve().is_relative_to(store.resolve()):
        raise UsageError(
            f"The date key {path} lies in the store, for all who have it; move it out."
        )
    key = path.read_bytes()
    if len(key) < KEY_BYTES:
        raise UsageError(
            f"The date key {path} has {len(key)} bytes where {KEY_BYTES} are wanted; {make}."
        )
    return DateShift(key)
