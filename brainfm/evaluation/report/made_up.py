"""Spectra of EEG that a diffusion model made up, beside those of real EEG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from brainfm.evaluation.report.drawing import Frame, Logarithmic, plot, spanning
from brainfm.evaluation.report.inputs import RunFolder
from brainfm.evaluation.report.spectra import Curve

WORDS = {"real": "real validation windows", "ddpm": "made up by DDPM", "ddim": "made up by DDIM"}


@dataclass(frozen=True, eq=False)
class MadeUp:
    """The figure of made-up and real spectra.

    Attributes
    ----------
    drawing
        the figure.
    says
        what it shows, with the distances.
    curves
        its legend.
    """

    drawing: Markup
    says: str
    curves: tuple[Curve, ...]


def describe_made_up(run: RunFolder) -> MadeUp | None:
    """Draw what a diffusion run left; None where there is nothing to draw."""
    table = run.generated.apply(pd.to_numeric, errors="coerce").dropna()
    names = [name for name in WORDS if name in table]
    if "frequency" not in table or "real" not in names or len(table) < 2:
        return None
    table = table[table["frequency"] > 0]
    level = {n: 10 * np.log10(np.maximum(table[n].to_numpy(float) * 1e12, 1e-12)) for n in names}
    x = table["frequency"].to_numpy(float)
    frame = Frame(
        Logarithmic(float(x.min()), float(x.max())),
        spanning(np.concatenate([*level.values()])),
        220,
    )
    curves = tuple(Curve(WORDS[name], f"c{i}") for i, name in enumerate(names))
    lines = [frame.line(x, level[n], c.style) for n, c in zip(names, curves, strict=True)]
    says = "Mean power spectra of real channels and of as many made-up ones" + _apart(run)
    return MadeUp(plot(frame, lines, says=says), says, curves)


def _apart(run: RunFolder) -> str:
    """Say how far the spectra are apart, as far as the manifest does."""
    found = run.manifest.get("generated")
    if not isinstance(found, dict):
        return "."
    parts = [
        f"{name.upper()} {facts['distance_db']:.1f} dB, shapes overlapping by {facts['overlap']:.2f}"
        for name, facts in found.items()
        if isinstance(facts, dict) and {"distance_db", "overlap"} <= facts.keys()
    ]
    return f"; apart by {'; '.join(parts)}." if parts else "."
