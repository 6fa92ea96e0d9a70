"""Why a file cannot come in."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reason codes of the quarantine list; they stay as they are, users filter by them."""

    unknown_format = "unknown_format"
    empty = "empty"
    missing = "missing"
    incomplete = "incomplete"
    truncated = "truncated"
    damaged = "damaged"
    discontinuous = "discontinuous"
    unreadable = "unreadable"
    needs_package = "needs_package"
    active_shielding = "active_shielding"
    pattern_mismatch = "pattern_mismatch"
    no_labels = "no_labels"
    bad_labels = "bad_labels"
    no_signal_channels = "no_signal_channels"
    duplicate_channels = "duplicate_channels"
    missing_reference = "missing_reference"
    too_short = "too_short"
    not_finite = "not_finite"
    flat = "flat"
    implausible_amplitude = "implausible_amplitude"
    changed_while_read = "changed_while_read"
    timed_out = "timed_out"
    killed_worker = "killed_worker"


class Refused(Exception):
    """A file that is set aside while the rest goes on.

    Parameters
    ----------
    reason
        the code.
    detail
        one sentence: what was met, what was wanted, what to do.
    """

    def __init__(self, reason: Reason, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail
