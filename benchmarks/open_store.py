"""Opening a store of 100,000 recordings: seconds and memory, for a table and for the first windows.

Only the metadata are made, in a temporary folder: a root with its table, and one recording in full,
to which every row's first window could belong. Opening runs in a process of its own, since a peak of
memory never comes down.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from brainfm.recordings.recipe import Recipe
from brainfm.recordings.synthetic import synthesise
from brainfm.store.hold import create_store, writing
from brainfm.store.read import open_store
from brainfm.store.schema import COLUMNS, read_json, write_json
from brainfm.store.write import write_recording

STATUS = "from brainfm.cli import main; main()"


def make_store(folder: Path, n: int) -> Path:
    """Write a store whose table lists ``n`` recordings of about 1,000 subjects."""
    path, recipe = folder / "store.zarr", Recipe()
    create_store(path, recipe.preprocessing, recipe.preprocessing_hash)
    with writing(path):
        write_recording(path, synthesise(1, seconds=10.0)[0], "0" * 64)
    root = read_json(path / "zarr.json")
    like = {c: root["attributes"]["table"][c][0] for c in COLUMNS}
    rng = np.random.default_rng(0)
    table = {c: [like[c]] * n for c in COLUMNS}
    table["id"] = [f"sub-{i % 1000:05}_ses-{i // 1000:03}_{rng.bytes(4).hex()}" for i in range(n)]
    table["subject"] = [f"{i % 1000:05}" for i in range(n)]
    table["session"] = [f"{i // 1000:03}" for i in range(n)]
    table["source"] = [f"/data/edf/{i % 1000:05}/s{i // 1000:03}/t000.edf" for i in range(n)]
    table["n_times"] = rng.integers(1_000, 1_000_000, n).tolist()
    for name, width in (("source_key", 8), ("source_sha256", 32), ("fingerprint", 8)):
        table[name] = [rng.bytes(width).hex() for _ in range(n)]
    table["source_stat"] = [rng.bytes(8).hex() for _ in range(n)]
    root["attributes"]["table"] = table
    write_json(path / "zarr.json", root)
    return path


def measure(path: Path) -> dict[str, float]:
    """Return seconds and GB, before and after opening."""
    before, start = peak(), time.perf_counter()
    store = open_store(path)
    n = len(store.table)
    opened = time.perf_counter() - start
    hours = store.table["seconds"].sum() / 3600
    return {"recordings": n, "hours": hours, "s": opened, "before": before, "peak": peak()}


def peak() -> float:
    """Return the most memory this program ever held, in GB."""
    # Linux's rusage would count what the parent held before it started this program.
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x[:6] == "VmHWM:")
    return int(line.split()[1]) * 1024 / 1e9


def run(command: list[str]) -> tuple[float, str]:
    """Return a command's seconds and output."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=100_000)
    parser.add_argument("--alone", type=Path, help="measure opening this store right here")
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(measure(given.alone)))
        return
    with tempfile.TemporaryDirectory() as name:
        path = make_store(Path(name), given.recordings)
        print(
            f"{given.recordings:,} recordings, zarr.json {(path / 'zarr.json').stat().st_size / 1e6:.0f} MB"
        )
        found = json.loads(run([sys.executable, __file__, "--alone", str(path)])[1])
        print(f"open_store and its table: {found['s']:.2f} s, peak {found['peak']:.2f} GB")
        print(f"  (the same process held {found['before']:.2f} GB before)")
        for option in ([], ["--json"]):
            seconds, _ = run([sys.executable, "-c", STATUS, "status", str(path), *option])
            print(f"brainfm status {' '.join(option):7} {seconds:.2f} s, with the start of Python")


if __name__ == "__main__":
    main()
