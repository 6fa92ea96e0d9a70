"""Hours of EEG ingested a second on one core: brainfm, MNE and braindecode on the same files.

brainfm's time is the whole command: hashing, reading, looking for mains, bad channels and faults,
notch, band-pass, resampling, and writing a compressed store with checksums. MNE's is reading,
notch, band-pass and resampling, with nothing written. braindecode's is `preprocess` with the same
steps and `save_dir`. The files are generated; each program runs once to warm up. braindecode needs
an interpreter that has it (``--braindecode``); without one its row is left out. Set
``OMP_NUM_THREADS=1``, which all three obey. Two clocks run: the wall's, in which brainfm also waits for
the disk, since it alone flushes what it writes, and the processor's, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from generated import write_edf

from brainfm.recordings.files import read_recording
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Recording
from brainfm.recordings.synthetic import CH_NAMES
from brainfm.stages.ingest import ingest
from brainfm.store import open_store

BAND = (0.1, 75.0)
SFREQ, NEW_SFREQ = 256, 200
MAINS = (50.0, 100.0)

BRAINDECODE = """
import os, sys, tempfile, time, warnings
warnings.simplefilter("ignore")
import mne
from braindecode.datasets import BaseConcatDataset, RawDataset
from braindecode.preprocessing import Preprocessor, preprocess
mne.set_log_level("ERROR")
steps = [
    Preprocessor("notch_filter", freqs=[50.0, 100.0]),
    Preprocessor("filter", l_freq=0.1, h_freq=75.0),
    Preprocessor("resample", sfreq=200),
]
def run(paths):
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter(), time.process_time()
        raws = [mne.io.read_raw_edf(path) for path in paths]
        data = BaseConcatDataset([RawDataset(raw, {"subject": i}) for i, raw in enumerate(raws)])
        preprocess(data, steps, save_dir=folder, n_jobs=1)
        return time.perf_counter() - start[0], time.process_time() - start[1]
run(sys.argv[1:2])
print("ready", flush=True)
for _ in sys.stdin:
    print("seconds", *run(sys.argv[1:]), flush=True)
"""


def clean_with_mne(path: Path) -> np.ndarray:
    """Return the signal as MNE cleans it."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="ERROR")
    raw.notch_filter(MAINS, verbose="ERROR").filter(*BAND, verbose="ERROR")
    return raw.resample(NEW_SFREQ, verbose="ERROR").get_data()


class Seconds(NamedTuple):
    """What a run took by either clock."""

    wall: float
    processor: float


def timed(program: Callable[[], object]) -> Seconds:
    """Return what a program took in this process."""
    wall, processor = time.perf_counter(), time.process_time()
    program()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor)


@contextmanager
def braindecode(python: str, paths: list[Path]) -> Iterator[Callable[[], Seconds]]:
    """Start a process of another interpreter, warmed up; each call is a turn, by its own clocks."""
    command = [python, "-c", BRAINDECODE, *map(str, paths)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # it ends where its input does
        told(process, "ready")

        def turn() -> Seconds:
            process.stdin.write("go\n")
            process.stdin.flush()
            return Seconds(*map(float, told(process, "seconds")))

        yield turn


def told(process: subprocess.Popen, begin: str) -> list[str]:
    """Return the words after ``begin`` of the line that begins so."""
    for line in process.stdout:
        if line.split()[:1] == [begin]:
            return line.split()[1:]
    raise SystemExit("braindecode's process ended")


def fastest(turns: dict[str, Callable[[], Seconds]], rounds: int) -> dict[str, Seconds]:
    """Return the seconds of each one's fastest run, by each clock, of rounds in turns."""
    took: dict[str, list[Seconds]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            took[name].append(turn())
    return {name: Seconds(*map(min, zip(*runs, strict=True))) for name, runs in took.items()}


def print_speeds(seconds: dict[str, Seconds], hours: float) -> None:
    ours = seconds["brainfm ingest"]
    print(f"{'':28} {'h/s':>8} {'ingest is':>10} {'by processor':>14} {'ingest is':>10}")
    for label, (wall, processor) in seconds.items():
        print(
            f"{label:28} {hours / wall:8.2f} {wall / ours.wall:9.1f}× "
            f"{hours / processor:14.2f} {processor / ours.processor:9.1f}×"
        )


def decibel(got: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Return the error in the passband, of all and away from the ends by 1 s."""
    error = mne.filter.filter_data(
        (got - wanted).astype(float), NEW_SFREQ, None, BAND[1], h_trans_bandwidth=2, verbose="ERROR"
    )
    inner = slice(NEW_SFREQ, -NEW_SFREQ)
    return tuple(20 * np.log10(e.std() / wanted.std()) for e in (error, error[:, inner]))


def ingest_quietly(paths: list[Path], store: Path) -> None:
    with redirect_stdout(StringIO()):
        ingest([str(path) for path in paths], store=store)


def print_differences(recording: Recording, path: Path, store: Path) -> None:
    """Print how far the cleaned and the stored signal are from MNE's."""
    opened, wanted = open_store(store), clean_with_mne(path)
    row = opened.table.set_index("source").loc[str(path)]
    stored = opened.read(row["id"], 0, int(row["n_times"]))
    for name, got in (("cleaned", recording.load()), ("stored", stored)):
        whole, inner = decibel(got, wanted[: len(got)])
        print(f"{name} against MNE, in the passband: {whole:.0f} dB, {inner:.0f} dB off the ends")


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--minutes", type=int, default=20, help="length of each file")
    parser.add_argument("--rounds", type=int, default=3, help="in turns; the fastest counts")
    parser.add_argument("--braindecode", metavar="PYTHON", help="an interpreter that has it")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = [*CH_NAMES, "A1", "A2"]
        paths = [folder / f"sub-{i:02d}_eeg.edf" for i in range(given.files)]
        for seed, path in enumerate(paths):
            write_edf(path, names, sfreq=SFREQ, seconds=60 * given.minutes, seed=seed)
        hours, stores = given.files * given.minutes / 60, iter(range(1000))
        ingest_quietly(paths[:1], folder / "warm.zarr")
        clean_with_mne(paths[0])
        turns = {
            "brainfm ingest": lambda: timed(
                lambda: ingest_quietly(paths, folder / f"{next(stores)}.zarr")
            ),
            "brainfm, nothing written": lambda: timed(
                lambda: [read_recording(str(path), Recipe()).load() for path in paths]
            ),
            "MNE, nothing written": lambda: timed(lambda: [clean_with_mne(p) for p in paths]),
        }
        if given.braindecode:
            peer = braindecode(given.braindecode, paths)
            turns["braindecode preprocess"] = stack.enter_context(peer)
        seconds = fastest(turns, given.rounds)
        print(f"{len(names)} channels, {SFREQ} Hz, {given.files} × {given.minutes} min")
        print_speeds(seconds, hours)
        print_differences(read_recording(str(paths[0]), Recipe()), paths[0], folder / "0.zarr")
        edf, ours = sum(path.stat().st_size for path in paths), size(folder / "0.zarr")
        print(f"on disk: EDF {edf / 1e6:.1f} MB, store {ours / 1e6:.1f} MB ({ours / edf:.2f})")


if __name__ == "__main__":
    main()
