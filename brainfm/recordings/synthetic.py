"""Small recordings with a known answer: two conditions that a planted rhythm tells apart."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
from jaxtyping import Float

from brainfm.recordings.recording import Annotations, Recording, Sensors, hold
from brainfm.recordings.sensors.labels import template_positions

CH_NAMES = (
    *("Fp1", "Fp2", "F3", "F4", "F7", "F8", "T7", "T8", "C3", "C4"),
    *("P7", "P8", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz"),
)
POSTERIOR = ("P7", "P8", "P3", "P4", "O1", "O2", "Pz")
CONDITIONS = ("rhythm", "none")
"""What runs 1 and 2 of every subject are, and what their annotation says."""

NOISE = 1e-5
"""Standard deviation of the background in volts."""


def synthesise(
    n_subjects: int,
    *,
    seconds: float = 60.0,
    sfreq: float = 200.0,
    freq: float = 10.0,
    amplitude: float = 1e-5,
    seed: int = 0,
) -> list[Recording]:
    """Make two recordings a subject: run 1 with a rhythm over posterior electrodes, run 2 without.

    Both lie in 1/f noise that is partly shared between electrodes; its strength is the subject's.

    Parameters
    ----------
    n_subjects
        how many; they are called ``00``, ``01``, ….
    seconds
        length of each recording.
    sfreq
        sampling rate in Hz.
    freq
        of the rhythm in Hz.
    amplitude
        of the rhythm in volts; 0 makes both runs alike, so that nothing can be found.
    seed
        of the generator; the same seed gives the same recordings.
    """
    rng = np.random.default_rng(seed)
    recordings = []
    for subject in range(n_subjects):
        strength = float(rng.uniform(0.7, 1.3))
        for run, condition in enumerate(CONDITIONS, start=1):
            signal = strength * _background(rng, round(seconds * sfreq), sfreq)
            if condition == "rhythm":
                signal += amplitude * _rhythm(rng, signal.shape[1], sfreq, freq)
            recordings.append(_recording(signal, sfreq, f"{subject:02d}", str(run), condition))
    return recordings


def write_edf(recording: Recording, folder: Path) -> Path:
    """Write a recording as EDF+, named as EEGMAT's files are: ``Subject00_1.edf``.

    Needs the package edfio.
    """
    raw = mne.io.RawArray(
        recording.load().astype(float),
        mne.create_info([f"EEG {n}" for n in recording.sensors.names], recording.sfreq, "eeg"),
        verbose="ERROR",
    )
    marks = recording.annotations
    raw.set_annotations(mne.Annotations(marks.onset, marks.duration, list(marks.description)))
    path = folder / f"Subject{recording.subject}_{recording.run}.edf"
    folder.mkdir(parents=True, exist_ok=True)
    mne.export.export_raw(path, raw, fmt="edf", overwrite=True, verbose="ERROR")
    return path


def _background(
    rng: np.random.Generator, n_times: int, sfreq: float
) -> Float[np.ndarray, "channel time"]:
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    # 1/f power above 1 Hz; below it flat, or the slowest waves would be all there is.
    spectrum = 1 / np.sqrt(np.maximum(freqs, 1.0))
    white = rng.standard_normal((len(CH_NAMES) + 1, n_times))
    noise = np.fft.irfft(np.fft.rfft(white) * spectrum, n_times)
    mixed = noise[1:] + 0.5 * noise[:1]
    return NOISE * mixed / mixed.std()


def _rhythm(
    rng: np.random.Generator, n_times: int, sfreq: float, freq: float
) -> Float[np.ndarray, "channel time"]:
    times = np.arange(n_times) / sfreq
    wave = np.sin(2 * np.pi * (freq * times + rng.uniform()))
    weight = np.array([name in POSTERIOR for name in CH_NAMES], dtype=float)
    return weight[:, None] * wave


def _recording(
    signal: Float[np.ndarray, "channel time"], sfreq: float, subject: str, run: str, condition: str
) -> Recording:
    n = len(CH_NAMES)
    places = template_positions("standard_1005")
    sensors = Sensors(
        names=CH_NAMES,
        kind=("eeg",) * n,
        position=np.stack([places[name] for name in CH_NAMES]),
        orientation=np.full((n, 3), np.nan),
        position_source=("template",) * n,
    )
    return Recording(
        n_times=signal.shape[1],
        sensors=sensors,
        sfreq=sfreq,
        annotations=Annotations(np.zeros(1), np.array([signal.shape[1] / sfreq]), (condition,)),
        subject=subject,
        session=None,
        run=run,
        task=condition,
        source=f"synthetic/Subject{subject}_{run}",
        provenance={"recipe": "synthetic"},
        blocks=hold(signal.astype(np.float32)),
    )
