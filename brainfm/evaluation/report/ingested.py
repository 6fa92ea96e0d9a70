"""What came into the store: how much, of whom, with which sensors, and how it looks in frequency."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.conditions import Conditions
from brainfm.evaluation.report.heads import sensor_map
from brainfm.evaluation.report.inputs import UNREADABLE, Absent
from brainfm.evaluation.report.numbers import count, figure, listed, several, span
from brainfm.evaluation.report.spectra import (
    UNITS,
    SpectraFigure,
    draw_spectra,
    recording_spectra,
    spread_out,
)
from brainfm.recordings.recording import Sensors
from brainfm.store import Store, open_store
from brainfm.store.files import Unlisted


@dataclass(frozen=True, eq=False)
class Ingested:
    """The section on what was ingested.

    Attributes
    ----------
    tiles
        (value, words) pairs, the few numbers to see first.
    kinds
        (kind in words, sensors) pairs.
    recordings
        one row a recording; ``columns`` names them; ``left_out`` counts those not listed.
    quarantined
        (source, reason, detail) rows.
    preprocessing
        (option, value) pairs.
    montage
        sensors on a head, with ``montage_says`` below it; or None.
    spectra
        power spectra, or None where no recording is long enough.
    fingerprint
        of the store.
    """

    tiles: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    recordings: tuple[tuple[str, ...], ...]
    left_out: int
    quarantined: tuple[tuple[str, str, str], ...]
    preprocessing: tuple[tuple[str, str], ...]
    montage: Markup | None
    montage_says: str
    spectra: SpectraFigure | None
    fingerprint: str


def open_recordings(path: Path | None) -> Store | Absent:
    """Open the store of a journey."""
    if path is None:
        return Absent("No store was given, so what was ingested is not shown.", given=False)
    try:
        store = open_store(path)
        return store if len(store.table) else Absent(f"The store {path.name} is empty.")
    except UNREADABLE:
        return Absent(f"The store {path.name} is not there or cannot be read.")


def describe_store(store: Store, conditions: Conditions) -> Ingested:
    """Read what the page shows of a store."""
    table = store.table
    spectra = recording_spectra(store, conditions)
    montage, montage_says = _montage(store)
    shown = table.head(200)
    return Ingested(
        tiles=_tiles(table),
        kinds=_kinds(store),
        columns=("subject", "session", "run", "task", "sensors", "length", "Hz", "fingerprint"),
        recordings=tuple(_recording_row(row) for row in shown.to_dict("records")),
        left_out=len(table) - len(shown),
        quarantined=_quarantined(store),
        preprocessing=_preprocessing(store),
        montage=montage,
        montage_says=montage_says,
        fingerprint=store.fingerprint,
        spectra=draw_spectra(spectra) if spectra else None,
    )


def _tiles(table: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    seconds = float(table["seconds"].sum())
    rates = sorted(set(table["sfreq"].astype(float)))
    rate = figure(rates[0]) if len(rates) == 1 else f"{figure(rates[0])} – {figure(rates[-1])}"
    return (
        (span(seconds), "recorded"),
        (count(len(table)), "recordings"),
        (count(table["subject"].nunique()), "subjects"),
        (_range(table["n_channels"]), "sensors each"),
        (f"{rate} Hz", "sampling rate"),
    )


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return count(low) if low == high else f"{count(low)} – {count(high)}"


def _kinds(store: Store) -> tuple[tuple[str, str], ...]:
    """Return the sensors of each kind; where recordings differ, from the fewest to the most."""
    counts = [Counter(store.sensors(id).kind) for id in spread_out(store.table)["id"]]
    kinds = [k for k in UNITS if any(k in c for c in counts)]
    return tuple(
        (UNITS[kind][0], _range(pd.Series([c.get(kind, 0) for c in counts]))) for kind in kinds
    )


def _recording_row(row: dict[str, Any]) -> tuple[str, ...]:
    words = [_word(row[k]) for k in ("subject", "session", "run", "task")]
    fingerprint = str(row["fingerprint"])[:12]
    if _word(row.get("duplicate_of")) != "–":
        fingerprint += f" (as {row['duplicate_of']})"
    return (*words, str(row["n_channels"]), span(row["seconds"]), figure(row["sfreq"]), fingerprint)


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value else "–"


def _quarantined(store: Store) -> tuple[tuple[str, str, str], ...]:
    try:
        table = store.quarantined
    except Unlisted:
        return (("–", "unknown", "the store's server lists no folders"),)
    rows = table[["source", "reason", "detail"]].itertuples(index=False)
    return tuple((_word(a), _word(b), _word(c)) for a, b, c in rows)


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as (dotted name, value) pairs in words."""
    if isinstance(value, dict):
        return [pair for k, v in value.items() for pair in flat(v, f"{prefix}{k}.")]
    if isinstance(value, list | tuple):
        text = ", ".join(str(v) for v in value) or "none"
    else:
        text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return [(prefix.rstrip("."), text)]


def _preprocessing(store: Store) -> tuple[tuple[str, str], ...]:
    """Return what was done to all recordings, and what differs or only a recording knows."""
    provenances = [store.entry(id).provenance for id in spread_out(store.table)["id"]]
    known = {
        words: sorted({str(p[key]) for p in provenances if p.get(key) not in (None, "")})
        for key, words in (
            ("line_freq", "notch_freq"),
            ("original_sfreq", "original sfreq"),
            ("recipe", "recipe"),
            ("unit_reason", "units"),
        )
    }
    known["folder"] = sorted({Path(source).parent.as_posix() for source in store.table["source"]})
    facts = flat(store.attributes.get("preprocessing", {}))
    facts += [(words, _some(values)) for words, values in known.items() if values]
    return tuple(_with_unit(*fact) for fact in facts)


def _some(values: list[str]) -> str:
    more = f" and {len(values) - 4} more" if len(values) > 4 else ""
    return ", ".join(v.removesuffix(".0") for v in values[:4]) + more


def _with_unit(name: str, value: str) -> tuple[str, str]:
    in_hertz = name.endswith("freq") and value != "none"
    return name, f"{value} Hz" if in_hertz else value


# ---- sensors -------------------------------------------------------------------------------------


def all_sensors(store: Store) -> Sensors:
    """Return the sensors of the commonest kind over recordings, each name once."""
    seen: dict[str, tuple[Sensors, int]] = {}
    kinds: Counter[str] = Counter()
    for id in spread_out(store.table)["id"]:
        sensors = store.sensors(id)
        kinds.update(sensors.kind)
        for i, name in enumerate(sensors.names):
            seen.setdefault(name, (sensors, i))
    kind = kinds.most_common(1)[0][0]
    picked = [s.pick([i]) for s, i in seen.values() if s.kind[i] == kind]
    return Sensors(
        names=tuple(s.names[0] for s in picked),
        kind=tuple(s.kind[0] for s in picked),
        position=np.concatenate([s.position for s in picked]),
        orientation=np.concatenate([s.orientation for s in picked]),
        position_source=tuple(s.position_source[0] for s in picked),
    )


def _montage(store: Store) -> tuple[Markup | None, str]:
    sensors = all_sensors(store)
    known = int(np.isfinite(sensors.position).all(axis=1).sum())
    unknown = len(sensors) - known
    if known < 2:
        return None, "No sensor has a known position, so there is no map of them."
    sources = Counter(sensors.position_source)
    origins = [
        f"{count(sources[key])} {words}"
        for key, words in (
            ("file", "as measured, from the file (filled)"),
            ("template", "from a standard montage (hollow)"),
        )
        if sources[key]
    ]
    lost = f" {several(unknown, 'sensor')} without a position not drawn." if unknown else ""
    kind = UNITS[sensors.kind[0]][0]
    says = f"{kind} from above, nose up: {listed(origins)}.{lost}"
    drawing = sensor_map(sensors.names, sensors.position, sensors.position_source, says=says)
    return drawing, says
