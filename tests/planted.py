"""Simulated trials with a known answer: one class has more 10 Hz than the other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainfm.recordings.recording import Sensors
from brainfm.windows.trials import Trials

SFREQ = 100.0


def sensors(count: int) -> Sensors:
    unknown = np.full((count, 3), np.nan)
    names = tuple(f"C{i}" for i in range(count))
    return Sensors(names, ("eeg",) * count, unknown, unknown, ("none",) * count)


def planted(
    *, subjects: int = 8, windows: int = 8, channels: int = 5, effect: float = 1.0, seed: int = 0
) -> Trials:
    """Return 2 s windows in volts; every subject has one recording of each class.

    ``effect`` is the amplitude of the 10 Hz source in the class "rest", in units of the noise.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(200) / SFREQ
    pattern = rng.normal(size=channels)
    X, rows = [], []
    for subject in range(subjects):
        for run, label in (("1", "rest"), ("2", "arithmetic")):
            phase = rng.uniform(0, 2 * np.pi, windows)[:, None]
            source = np.sin(2 * np.pi * 10 * time + phase) * (label == "rest") * effect
            noise = rng.normal(size=(windows, channels, len(time)))
            X.append((noise + pattern[:, None] * source[:, None]) * 1e-5)
            about = {"subject": f"{subject:02d}", "session": None, "run": run, "label": label}
            about |= {
                "recording": f"sub-{subject:02d}_run-{run}",
                "fingerprint": f"f{subject}{run}",
            }
            rows += [{**about, "onset": 2.0 * i} for i in range(windows)]
    meta = pd.DataFrame(rows)
    y = meta.pop("label").to_numpy(dtype=str)
    return Trials(np.concatenate(X).astype(np.float32), y, meta, sensors(channels), SFREQ)
