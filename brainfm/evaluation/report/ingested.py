"""What came into the store: how much, of whom, with which sensors, and how it looks in frequency."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup
from scipy.signal import welch

from brainfm.evaluation.report.conditions import Conditions
from brainfm.evaluation.report.drawing import Frame, Logarithmic, plot, spanning
from brainfm.evaluation.report.heads import sensor_map
from brainfm.evaluation.report.inputs import UNREADABLE, Absent
from brainfm.evaluation.report.numbers import count, figure, listed, several, span
from brainfm.recordings.recording import Sensors
from brainfm.store import Store, open_store

MOST_RECORDINGS = 64
"""How many recordings spectra are taken of; of a larger store, evenly spread ones."""
MOST_SECONDS = 120.0
"""How much of each recording, from its middle."""

# Words, unit of the spectrum, and what one SI unit is in it.
UNITS = {
    "eeg": ("EEG", "µV", 1e6),
    "mag": ("magnetometers", "fT", 1e15),
    "grad_planar": ("planar gradiometers", "fT/cm", 1e13),
    "grad_axial": ("axial gradiometers", "fT", 1e15),
    "ref_meg": ("MEG reference", "fT", 1e15),
    "ecog": ("ECoG", "µV", 1e6),
    "seeg": ("SEEG", "µV", 1e6),
    "eog": ("EOG", "µV", 1e6),
    "ecg": ("ECG", "µV", 1e6),
    "emg": ("EMG", "µV", 1e6),
    "misc": ("other", "", 1.0),
}


@dataclass(frozen=True)
class Curve:
    """One line of a legend: its words and the name of its colour."""

    name: str
    style: str


@dataclass(frozen=True, eq=False)
class Ingested:
    """The section on what was ingested.

    Attributes
    ----------
    tiles : (value, words) pairs, the few numbers to see first.
    kinds : (kind in words, sensors) pairs.
    recordings : one row a recording; ``columns`` names them; ``left_out`` counts those not listed.
    quarantined : (source, reason, detail) rows.
    preprocessing : (option, value) pairs.
    montage : sensors on a head, with ``montage_says`` below it; or None.
    spectra : power spectra, with ``curves`` as legend and ``unit``; or None.
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
    spectra: Markup | None
    spectra_says: str
    curves: tuple[Curve, ...]
    unit: str
    fingerprint: str


def open_recordings(path: Path | None) -> Store | Absent:
    """Open the store of a journey."""
    if path is None:
        return Absent("No store was given, so what was ingested is not shown.")
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
        preprocessing=tuple(flat(store.attributes.get("preprocessing", {}))),
        montage=montage,
        montage_says=montage_says,
        fingerprint=store.fingerprint,
        **_spectra(spectra),
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


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """Return at most `MOST_RECORDINGS` rows, evenly spread."""
    if len(table) <= MOST_RECORDINGS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, MOST_RECORDINGS).round().astype(int)]


def _kinds(store: Store) -> tuple[tuple[str, str], ...]:
    """Return the sensors of each kind; where recordings differ, from the fewest to the most."""
    counts = [Counter(store.sensors(id).kind) for id in _spread(store.table)["id"]]
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
    table = store.quarantined
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


# ---- sensors -------------------------------------------------------------------------------------


def all_sensors(store: Store) -> Sensors:
    """Return the sensors of the commonest kind over recordings, each name once."""
    seen: dict[str, tuple[Sensors, int]] = {}
    kinds: Counter[str] = Counter()
    for id in _spread(store.table)["id"]:
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


# ---- spectra -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Spectra:
    """A power spectrum of each recording, the median over its sensors of one kind.

    Attributes
    ----------
    freqs : Hz.
    power : (recording, frequency) in dB of ``unit``²/Hz.
    condition : of each whole recording, or nothing.
    kind : of the sensors.
    """

    freqs: Float[np.ndarray, " frequency"]
    power: Float[np.ndarray, "recording frequency"]
    condition: tuple[str, ...]
    kind: str


def recording_spectra(store: Store, conditions: Conditions) -> Spectra | None:
    """Estimate spectra by Welch's method, in windows of 2 s, at the commonest sampling rate."""
    table = store.table
    rate = float(table["sfreq"].mode()[0])
    rows = _spread(table[(table["sfreq"] == rate) & (table["seconds"] >= 4)])
    kind = _commonest_kind(store, rows)
    n = int(2 * rate)
    power, labels = [], []
    for row in rows.to_dict("records"):
        picks = [i for i, k in enumerate(store.sensors(row["id"]).kind) if k == kind]
        if not picks:
            continue
        signal = _middle(store, row)[picks] * UNITS[kind][2]
        freqs, psd = welch(signal, fs=rate, nperseg=n, axis=-1)
        median = np.median(psd, axis=0)
        keep = (freqs >= 0.5) & (freqs < 0.98 * rate / 2)
        power.append(10 * np.log10(np.maximum(median[keep], 1e-12)))
        labels.append(conditions.of(row["id"]))
    if not power:
        return None
    return Spectra(freqs[keep].astype(float), np.array(power, dtype=float), tuple(labels), kind)


def _commonest_kind(store: Store, rows: pd.DataFrame) -> str:
    kinds = Counter(k for id in rows["id"] for k in store.sensors(id).kind)
    return kinds.most_common(1)[0][0] if kinds else "eeg"


def _middle(store: Store, row: dict[str, Any]) -> np.ndarray:
    n = int(min(row["n_times"], MOST_SECONDS * row["sfreq"]))
    start = (int(row["n_times"]) - n) // 2
    return store.read(row["id"], start, start + n).astype(np.float64)


def _spectra(spectra: Spectra | None) -> dict[str, Any]:
    """Return the figure: the median over recordings and the middle half of them."""
    if spectra is None:
        nothing = "No recording is long enough (4 s) for a spectrum."
        return {"spectra": None, "spectra_says": nothing, "curves": (), "unit": ""}
    names = sorted({c for c in spectra.condition if c}) or [""]
    quartiles = {
        name: np.percentile(
            spectra.power[[name in ("", c) for c in spectra.condition]], [25, 50, 75], axis=0
        )
        for name in names
    }
    # A filter's stop band would squeeze all else into a corner.
    top = max(float(q[2].max()) for q in quartiles.values())
    bottom = max(min(float(q[0].min()) for q in quartiles.values()), top - 60)
    scale = spanning([bottom, top])
    frame = Frame(Logarithmic(float(spectra.freqs[0]), float(spectra.freqs[-1])), scale, 260)
    lines, curves = [], []
    for i, (name, (low, middle, high)) in enumerate(quartiles.items()):
        low, middle, high = (np.maximum(v, scale.low) for v in (low, middle, high))
        lines.append(frame.band(spectra.freqs, low, high, f"c{i}"))
        lines.append(frame.line(spectra.freqs, middle, f"c{i}"))
        curves.append(Curve(name or "all recordings", f"c{i}"))
    says = (
        f"Median over {several(len(spectra.power), 'recording')} of the power spectrum (itself the median "
        f"over {UNITS[spectra.kind][0]} sensors); the shade holds the middle half of the recordings."
    )
    return {
        "spectra": plot(frame, lines, says=says),
        "spectra_says": says,
        "curves": tuple(curves),
        "unit": f"dB of {UNITS[spectra.kind][1]}²/Hz",
    }
