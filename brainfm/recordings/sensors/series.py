"""Labels that count on from a letter: EGI's nets, BioSemi's banks, contacts of grids and depth electrodes.

F3, C3, A1 and P8 name places on the scalp, and the third contact of a shaft as well. What stands beside them
tells: no cap has three numbers on end of which the last is greater than all that its template has of the
letters (A1, A2, A3; C5, C6, C7; F9, F10, F11). Such a series is one of contacts, and where there are two, so
is every other that begins with 1, 2, 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from brainfm.recordings.sensors.labels import template_positions

NETS = {
    32: "GSN-HydroCel-32",
    65: "GSN-HydroCel-65_1.0",
    129: "GSN-HydroCel-129",
    257: "GSN-HydroCel-257",
}
"""MNE's template of EGI's nets by the greatest number, which from 65 on is that of the vertex."""

_COUNTED = re.compile(r"^(?:(?:EEG|POL)[ _]+)?\$?([A-Z]+)(\d+)(?![A-Z0-9'])", re.IGNORECASE)
_START = {1, 2, 3}


def find_net(labels: Iterable[str]) -> str | None:
    """Return the template of EGI's net that E1, E2, … are of, None where they are not.

    They are not where another letter counts on as well: then they are a bank of BioSemi, or contacts.
    """
    series = read_series(labels)
    numbers = [n for n, same in series.pop("E", {}).items() if f"E{n}" in same]
    if any(len(letters) == 1 and others.keys() >= _START for letters, others in series.items()):
        return None
    if len(numbers) < 16 or max(numbers) > max(NETS):
        return None
    return next(net for size, net in NETS.items() if max(numbers) <= size)


def is_vertex(label: str, montage: str) -> bool:
    """Say whether a label is EGI's for the vertex of a net, Cz: E65, E129 or E257."""
    return any(montage == net and label == f"E{size}" for size, net in NETS.items() if size > 32)


def find_contacts(labels: Iterable[str], montage: str) -> frozenset[str]:
    """Return the labels that are those of contacts and no electrodes of a template.

    Parameters
    ----------
    labels
        of all channels that may be electrodes of the scalp, as the file has them.
    montage
        MNE's name of the template.
    """
    series = read_series(label for label in labels if not is_vertex(label, montage))
    known = read_series(template_positions(montage))
    contacts = {s for s in series.keys() & known if _goes_beyond(series[s], max(known[s]))}
    if len(contacts) > 1:
        contacts |= {letters for letters, numbers in series.items() if numbers.keys() >= _START}
    return frozenset(label for s in contacts for same in series[s].values() for label in same)


def read_series(labels: Iterable[str]) -> dict[str, dict[int, list[str]]]:
    """Return the labels by their letters, in capitals, and number: ``POL C12`` by C and 12."""
    found: dict[str, dict[int, list[str]]] = {}
    for label in labels:
        if match := _COUNTED.match(label.strip()):
            by_number = found.setdefault(match[1].upper(), {})
            by_number.setdefault(int(match[2]), []).append(label)
    return found


def _goes_beyond(numbers: Mapping[int, list[str]], greatest: int) -> bool:
    return any(n > greatest and {n - 1, n - 2} <= numbers.keys() for n in numbers)
