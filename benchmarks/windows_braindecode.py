"""Random windows a second out of braindecode; `windows.py` runs this with braindecode's interpreter.

braindecode 1 reads windows in two ways: cut out of the continuous recording (its default) and as MNE's
epochs. Both are timed one by one and through the DataLoader that a training uses; preloaded windows
start every second, so that epochs, which are copies, fit the memory.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import mne
import numpy as np
import torch
from braindecode.datasets import BaseConcatDataset, RawDataset
from braindecode.preprocessing import create_fixed_length_windows
from torch.utils.data import DataLoader, RandomSampler


def data_set(files: list[Path], seconds: float, *, preload: bool, epochs: bool):
    """Return braindecode's data set of all windows that start at whole seconds."""
    raws = [mne.io.read_raw(f, preload=preload) for f in files]
    recordings = BaseConcatDataset([RawDataset(raw, description={}) for raw in raws])
    sfreq = round(raws[0].info["sfreq"])
    return create_fixed_length_windows(
        recordings,
        window_size_samples=round(seconds * sfreq),
        window_stride_samples=sfreq,
        drop_last_window=True,
        preload=preload,
        use_mne_epochs=epochs,
    )


def one_by_one(windows, limit: float) -> float:
    order = np.random.default_rng(0).integers(len(windows), size=1_000_000)
    start, count = time.perf_counter(), 0
    for i in order:
        windows[int(i)][0]
        count += 1
        if count % 32 == 0 and time.perf_counter() - start > limit:
            break
    return count / (time.perf_counter() - start)


def loaded(windows, batch_size: int, limit: float) -> float:
    sampler = RandomSampler(windows, replacement=True, num_samples=1_000_000)
    start, count = time.perf_counter(), 0
    for batch in DataLoader(windows, batch_size=batch_size, sampler=sampler):
        count += len(batch[0])
        if time.perf_counter() - start > limit:
            break
    return count / (time.perf_counter() - start)


def main() -> None:
    fif, edf, seconds, batch_size, limit, rounds = sys.argv[1:]
    warnings.simplefilter("ignore")
    mne.set_log_level("ERROR")
    torch.set_num_threads(1)
    found = {}
    for label, folder, preload, epochs in (
        ("preloaded", fif, True, False),
        ("preloaded epochs", fif, True, True),
        ("lazy FIF", fif, False, False),
        ("lazy FIF epochs", fif, False, True),
        ("lazy EDF", edf, False, False),
    ):
        files = sorted(Path(folder).iterdir())
        windows = data_set(files, float(seconds), preload=preload, epochs=epochs)
        for _ in range(int(rounds)):
            for way, speed in (
                ("one by one", one_by_one(windows, float(limit))),
                ("DataLoader", loaded(windows, int(batch_size), float(limit))),
            ):
                name = f"braindecode {label}, {way}"
                found[name] = max(found.get(name, 0.0), speed)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
