"""Whether a checkpoint fits what it is to be used on, by its model card.

Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. The card is `config.json` beside the weights,
see `brainfm.weights`. Everything that differs is said at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brainfm.errors import UsageError

UNIT = "SI: V, T, T/m"
# What a card has to say, and the type that it says it in; a list where data sets differed.
ENTRIES = {
    "sfreq": (int, float, list),
    "unit": str,
    "kinds": list,
    "view": dict,
    "preprocessing_hash": (str, list),
    "data": dict,
    "seed": int,
    "licence": str,
}
DATA = ("fingerprints", "subjects")


@dataclass(frozen=True)
class Use:
    """What a checkpoint is to be used on.

    Attributes
    ----------
    what
        in words, for the refusal.
    rates
        sampling rates in Hz.
    kinds
        of the sensors, names of `brainfm.contracts.Kind`.
    preprocessing_hash
        of how the recordings were cleaned, or None where it is not known.
    view
        of the channels, as `brainfm.windows.description.describe_view` writes it, or None where it
        is not known.
    unit
        of the signal.
    """

    what: str
    rates: tuple[float | None, ...]
    kinds: tuple[str, ...]
    preprocessing_hash: str | None = None
    view: dict[str, Any] | None = None
    unit: str = UNIT


def check_card(card: dict[str, Any], use: Use) -> None:
    """Refuse a checkpoint that does not fit, or whose card does not say.

    Raises
    ------
    UsageError
        With all that is missing and all that differs, in one sentence.
    """
    check_complete(card)
    if found := differences(card, use):
        raise UsageError(
            f"The checkpoint does not fit {use.what}: {'; '.join(found)}; bring the one to the other, or "
            "choose another checkpoint."
        )


def check_complete(card: dict[str, Any]) -> None:
    """Refuse a card that does not say all it has to, or says it in the wrong type.

    Raises
    ------
    UsageError
        With all that is missing.
    """
    lacking = [k for k, kind in ENTRIES.items() if not isinstance(card.get(k), kind)]
    if "data" not in lacking:
        lacking += [f"data.{k}" for k in DATA if not isinstance(card["data"].get(k), list)]
    if lacking:
        raise UsageError(
            f"The checkpoint's card (config.json) says nothing of {', '.join(lacking)}; train the model "
            "again, or write there what is true."
        )


def differences(card: dict[str, Any], use: Use) -> list[str]:
    """Return a phrase for everything in which a card and its use differ."""
    here, theirs = use.preprocessing_hash, card["preprocessing_hash"]
    foreign = sorted(set(use.kinds) - set(card["kinds"]))
    rates = ", ".join("unknown" if r is None else f"{r:g}" for r in use.rates)
    known = _several(card["sfreq"])
    trained = ", ".join(f"{r:g}" for r in known)
    every = {
        f"it was trained at {trained} Hz, not {rates} Hz": (
            not use.rates or any(rate not in known for rate in use.rates)
        ),
        f"it reads the unit {card['unit']!r}, not {use.unit!r}": use.unit != card["unit"],
        f"it knows sensors of the kinds {card['kinds']}, not {foreign}": bool(foreign),
        f"it was trained on the view {_words(card['view'])}, not {_words(use.view)}": (
            use.view is not None and _words(use.view) != _words(card["view"])
        ),
        f"its recordings were preprocessed otherwise ({theirs}: {card.get('preprocessing')}), not as "
        f"{here}": here is not None and here not in _several(theirs),
    }
    return [words for words, differs in every.items() if differs]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(view: dict[str, Any] | None) -> str:
    """Return a view in a few words, the same before and after JSON."""
    if view is None:
        return "none"
    name = str(view.get("class", view)).rsplit(".", maxsplit=1)[-1]
    given = view.get("arguments", {})
    return f"{name}({', '.join(f'{key}: {json.dumps(given[key])}' for key in sorted(given))})"


def join_seen(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what several trainings have seen together, as a card's ``data`` holds it.

    Parameters
    ----------
    parts
        each with the lists ``fingerprints`` and ``subjects`` and, where it has them, ``people``, pairs of
        data set and subject, and ``people_of``, by data set the name under which it shares its people's
        codes. Somebody of whom no data set is known is of the data set ``""``. ``labelled`` has the
        ``fingerprints`` and ``people`` of those that were seen with labels, and is None where that is not
        known, see `data_of`; nobody where it is not there.
    """
    names, labelled = _names(parts), [part.get("labelled", {}) for part in parts]
    return {
        "fingerprints": names["fingerprints"],
        "subjects": sorted({s for _, s in names["people"]}),
        "people": names["people"],
        "people_of": {d: n for part in parts for d, n in part.get("people_of", {}).items() if n},
        "labelled": None if None in labelled else _names(labelled),
    }


def with_labels(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training has seen, as `join_seen` takes it, if it saw all of it with labels."""
    return join_seen({**seen, "labelled": _names([seen])})


def data_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint's card says that it was trained on.

    A fine-tuning of before noted its recordings among those of the pretraining: of which the labels were
    seen is then not known, and ``labelled`` is None.
    """
    data = card.get("data", {})
    return data | {"labelled": None} if "adaptation" in card and "labelled" not in data else data


def _names(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return contents and people of several trainings."""
    people = {(str(d), str(s)) for part in parts for d, s in part.get("people", ())}
    for part in parts:
        named = {str(s) for _, s in part.get("people", ())}
        people |= {("", str(s)) for s in part.get("subjects", ()) if str(s) not in named}
    contents = {f for part in parts for f in part.get("fingerprints", ())}
    return {"fingerprints": sorted(contents), "people": sorted(map(list, people))}


def seen_of(table: pd.DataFrame, known: pd.DataFrame | None = None) -> dict[str, Any]:
    """Return what a training on recordings sees, as a card's ``data`` holds it.

    Parameters
    ----------
    table
        one row a recording or window, with the columns fingerprint, subject, dataset, people_of and, where
        people have several, case.
    known
        all recordings of those people that the store has, see `brainfm.windows.people.known_of`: whoever
        stands there under another name too is seen under both.
    """
    named = table if known is None else known
    shared = named[["dataset", "people_of"]].drop_duplicates()
    names = [named[c] for c in ("subject", "case") if c in named]
    return join_seen(
        {
            "fingerprints": sorted(set(table["fingerprint"])),
            "people": {pair for name in names for pair in zip(named["dataset"], name, strict=True)},
            "people_of": dict(zip(shared["dataset"], shared["people_of"], strict=True)),
        }
    )


def seen(card: dict[str, Any], fingerprints: set[str]) -> int:
    """Return how many recordings, by the fingerprints of their content, the checkpoint was trained on."""
    return len(fingerprints & set(card["data"]["fingerprints"]))
