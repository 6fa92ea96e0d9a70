"""Random windows a second: brainfm's reader on a store, beside a memory-mapped array as the limit.

The store is made of the sample in this repository in a temporary folder. The array holds the same
samples, uncompressed; both are read at the same places, warm from the file cache, by one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

from brainfm.stages.ingest import ingest
from brainfm.store import open_store
from brainfm.windows.reader import WindowReader
from brainfm.windows.sampler import Place, RandomWindows

ROOT = Path(__file__).parents[1]


def make_store(folder: Path) -> Path:
    store = folder / "store.zarr"
    with redirect_stdout(StringIO()):
        ingest(
            [str(ROOT / "sample" / "eegmat")],
            store=store,
            recipe=ROOT / "configs" / "datasets" / "eegmat.yaml",
        )
    return store


def make_memmaps(store: Path, folder: Path) -> dict[str, np.ndarray]:
    """Write every recording as one flat file and map it."""
    opened, maps = open_store(store), {}
    for row in opened.table.itertuples():
        path = folder / f"{row.id}.npy"
        np.save(path, opened.read(row.id, 0, row.n_times))
        maps[row.id] = np.load(path, mmap_mode="r")
    return maps


def rate(read: Callable[[list[Place]], object], batches: list[list[Place]], limit: float) -> float:
    """Return windows a second, over as many batches as ``limit`` seconds allow."""
    read(batches[0])
    start, count = time.perf_counter(), 0
    for batch in batches:
        read(batch)
        count += len(batch)
        if time.perf_counter() - start > limit:
            break
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=float, nargs="+", default=[5.0, 10.0], help="seconds")
    parser.add_argument("--batch-size", type=int, default=16, help="windows a batch")
    parser.add_argument("--batches", type=int, default=200, help="at most")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds a row of the table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder)
        maps, opened = make_memmaps(store, folder), open_store(store)
        reader, sfreq = WindowReader(store, ("eeg",)), float(opened.table["sfreq"].iloc[0])
        programs: dict[str, Callable[[list[Place]], object]] = {
            "memmap, copied": lambda b: np.stack(
                [maps[p.recording][:, p.start : p.stop] for p in b]
            ),
            "Store.read": lambda b: [opened.read(p.recording, p.start, p.stop) for p in b],
            "WindowReader.read → Batch": lambda b: reader.read(b, sfreq),
        }
        print(f"{'windows a second':28} {'length s':>8} {'windows/s':>10} {'of memmap':>10}")
        for seconds in given.lengths:
            random = RandomWindows(opened.table, seconds, given.batch_size, seed=0)
            batches = [random.at(step) for step in range(given.batches)]
            limit = 0.0
            for label, program in programs.items():
                speed = rate(program, batches, given.limit)
                limit = limit or speed
                print(f"{label:28} {seconds:8g} {speed:10,.0f} {speed / limit:10.1%}")


if __name__ == "__main__":
    main()
