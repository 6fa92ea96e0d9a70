"""Power spectra of recordings, as a median and a spread over them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup
from scipy.signal import welch

from brainfm.evaluation.report.conditions import Conditions
from brainfm.evaluation.report.drawing import Frame, Logarithmic, plot, spanning
from brainfm.evaluation.report.numbers import is_number, several
from brainfm.store import Store

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


def spread_out(table: pd.DataFrame) -> pd.DataFrame:
    """Return at most `MOST_RECORDINGS` rows, evenly spread."""
    if len(table) <= MOST_RECORDINGS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, MOST_RECORDINGS).round().astype(int)]


@dataclass(frozen=True, eq=False)
class Spectra:
    """A power spectrum of each recording, the median over its sensors of one kind.

    Attributes
    ----------
    freqs
        Hz.
    power
        (recording, frequency) in dB of ``unit``²/Hz.
    condition
        of each whole recording, or nothing.
    kind
        of the sensors.
    """

    freqs: Float[np.ndarray, " frequency"]
    power: Float[np.ndarray, "recording frequency"]
    condition: tuple[str, ...]
    kind: str


def recording_spectra(store: Store, conditions: Conditions) -> Spectra | None:
    """Estimate spectra by Welch's method, in windows of 2 s, at the commonest sampling rate."""
    table = store.table
    rate = float(table["sfreq"].mode()[0])
    rows = spread_out(table[(table["sfreq"] == rate) & (table["seconds"] >= 4)])
    kind = _commonest_kind(store, rows)
    n = int(2 * rate)
    top = _top_frequency(store, rate)
    power, labels = [], []
    for row in rows.to_dict("records"):
        picks = [i for i, k in enumerate(store.sensors(row["id"]).kind) if k == kind]
        if not picks:
            continue
        signal = _middle(store, row)[picks] * UNITS[kind][2]
        freqs, psd = welch(signal, fs=rate, nperseg=n, axis=-1)
        median = np.median(psd, axis=0)
        keep = (freqs >= 0.5) & (freqs <= top)
        power.append(10 * np.log10(np.maximum(median[keep], 1e-12)))
        labels.append(conditions.of(row["id"]))
    if not power:
        return None
    return Spectra(freqs[keep].astype(float), np.array(power, dtype=float), tuple(labels), kind)


def _top_frequency(store: Store, rate: float) -> float:
    """Return where the band ends that preprocessing let through."""
    h_freq = store.attributes.get("preprocessing", {}).get("h_freq")
    return min(float(h_freq) if is_number(h_freq) else np.inf, 0.98 * rate / 2)


def _commonest_kind(store: Store, rows: pd.DataFrame) -> str:
    kinds = Counter(k for id in rows["id"] for k in store.sensors(id).kind)
    return kinds.most_common(1)[0][0] if kinds else "eeg"


def _middle(store: Store, row: dict[str, Any]) -> np.ndarray:
    n = int(min(row["n_times"], MOST_SECONDS * row["sfreq"]))
    start = (int(row["n_times"]) - n) // 2
    return store.read(row["id"], start, start + n).astype(np.float64)


@dataclass(frozen=True, eq=False)
class SpectraFigure:
    """The figure of power spectra.

    Attributes
    ----------
    drawing
        the figure.
    says
        what it shows.
    curves
        its legend.
    unit
        of its upright axis.
    """

    drawing: Markup
    says: str
    curves: tuple[Curve, ...]
    unit: str


def draw_spectra(spectra: Spectra) -> SpectraFigure:
    """Draw the median over recordings and the middle half of them, a curve a condition."""
    names = sorted({c for c in spectra.condition if c}) or [""]
    quartiles = {
        name: np.percentile(
            spectra.power[[name in ("", c) for c in spectra.condition]], [25, 50, 75], axis=0
        )
        for name in names
    }
    # A notch would squeeze all else into a corner: it may leave the picture.
    medians = np.concatenate([q[1] for q in quartiles.values()])
    scale = spanning([np.percentile(medians, 4), max(q[2].max() for q in quartiles.values())])
    frame = Frame(Logarithmic(float(spectra.freqs[0]), float(spectra.freqs[-1])), scale, 260)
    lines, curves = [], []
    for i, (name, (low, middle, high)) in enumerate(quartiles.items()):
        edges = np.maximum(low, scale.low), np.maximum(high, scale.low)
        lines.append(frame.band(spectra.freqs, *edges, f"c{i}"))
        inside = np.where(middle >= scale.low, middle, np.nan)
        lines.append(frame.line(spectra.freqs, inside, f"c{i}"))
        curves.append(Curve(name or "all recordings", f"c{i}"))
    says = (
        f"Median over {several(len(spectra.power), 'recording')} of the power spectrum (itself the median "
        f"over {UNITS[spectra.kind][0]} sensors); the shade holds the middle half of the recordings."
    )
    return SpectraFigure(
        drawing=plot(frame, lines, says=says),
        says=says,
        curves=tuple(curves),
        unit=f"dB of {UNITS[spectra.kind][1]}²/Hz",
    )
