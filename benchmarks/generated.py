"""EDF files of any length, made block by block, for the benchmarks beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

MICROVOLTS = 3276.7
"""Half of the range of 16 bit: a step is 0.1 µV."""


def write_edf(path: Path, names: list[str], *, sfreq: int, seconds: int, seed: int = 0) -> None:
    """Write EEG-like noise of about 30 µV with mains of 10 µV at 50 Hz.

    Parameters
    ----------
    path
        where to.
    names
        of the channels.
    sfreq
        sampling rate in Hz.
    seconds
        records of one second.
    seed
        of the noise.
    """
    rng = np.random.default_rng(seed)
    block = min(seconds, 120)
    with path.open("wb") as file:
        file.write(_header(names, sfreq, seconds))
        for start in range(0, seconds, block):
            signal = _noise(rng, len(names), block, sfreq)[:, : seconds - start]
            steps = np.clip(np.round(10 * signal), -32767, 32767).astype("<i2")
            file.write(np.ascontiguousarray(steps.transpose(1, 0, 2)).data)


def _noise(rng: np.random.Generator, n_channels: int, seconds: int, sfreq: int) -> np.ndarray:
    """Return (channel, second, sample) in µV: 1/f noise, a third of it common to all channels."""
    n_times = seconds * sfreq
    white = rng.standard_normal((n_channels + 1, n_times), dtype=np.float32)
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    noise = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(freqs, 0.5)), n_times)
    mains = 14 * np.sin(2 * np.pi * 50 * np.arange(n_times) / sfreq)
    mixed = noise[1:] + 0.5 * noise[:1]
    return (30 * mixed / mixed.std() + mains).reshape(n_channels, seconds, sfreq)


def _header(names: list[str], sfreq: int, seconds: int) -> bytes:
    n = len(names)
    main = [("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.20", 8), ("00.00.00", 8)]
    main += [(256 * (n + 1), 8), ("", 44), (seconds, 8), (1, 8), (n, 4)]
    columns = [([f"EEG {name}" for name in names], 16), ([""] * n, 80), (["uV"] * n, 8)]
    columns += [([v] * n, 8) for v in (-MICROVOLTS, MICROVOLTS, -32767, 32767)]
    columns += [([""] * n, 80), ([sfreq] * n, 8), ([""] * n, 32)]
    fields = main + [(value, width) for values, width in columns for value in values]
    return "".join(f"{value:<{width}}" for value, width in fields).encode("ascii")
