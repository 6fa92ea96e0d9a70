"""The same EDF files ingested by one worker and by several, and by as many commands as the limit.

One worker reads in the process itself; several are processes that start, import and wait for jobs, and
all of that is in their time. The limit is as many separate processes, started and warmed up before the
clock starts, each of which ingests its share into a store of its own: what the machine itself gives.
The files are links to four generated ones, so that the disk counts little. Rounds are interleaved and
the best of each counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path

from generated import write_edf

from brainfm.recordings.synthetic import CH_NAMES
from brainfm.stages.executors import THREADS
from brainfm.stages.ingest import ingest

NAMES = [*CH_NAMES, "A1", "A2"]
SHARE = """
import sys
from pathlib import Path
from brainfm.stages.ingest import ingest
ingest(sys.argv[4:], store=Path(sys.argv[2]))
print("ready", flush=True)
if sys.stdin.readline():
    ingest([sys.argv[1]], store=Path(sys.argv[3]))
"""


def make_files(folder: Path, n_files: int, minutes: int) -> list[Path]:
    """Return EDF files of 21 channels at 256 Hz; their content repeats after four."""
    folder.mkdir()
    paths = [folder / f"Subject{number:02d}_1.edf" for number in range(n_files)]
    for seed, path in enumerate(paths[:4]):
        write_edf(path, NAMES, sfreq=256, seconds=60 * minutes, seed=seed)
    for number, path in enumerate(paths[4:]):
        os.link(paths[number % 4], path)
    return paths


def with_workers(folder: Path, workers: int) -> float:
    """Return the seconds that an ingest takes."""
    with tempfile.TemporaryDirectory() as place, redirect_stdout(StringIO()):
        start = time.perf_counter()
        ingest([str(folder)], store=Path(place) / "s.zarr", workers=workers)
        return time.perf_counter() - start


def apart(paths: list[Path], processes: int) -> float:
    """Return the seconds that separate processes take, each for its share of the files."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        shares = []
        for number in range(processes):
            share = Path(place) / f"{number}"
            share.mkdir()
            for path in paths[number::processes]:
                os.link(path, share / path.name)
            stores = [f"{place}/{number}.{which}.zarr" for which in ("warm", "s")]
            command = [sys.executable, "-c", SHARE, str(share), *stores, str(paths[0])]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            shares.append(stack.enter_context(subprocess.Popen(command, **pipes)))
        for share in shares:
            if "ready" not in (line.strip() for line in share.stdout):
                raise SystemExit("a command ended before its turn")
        start = time.perf_counter()
        for share in shares:
            share.stdin.write("go\n")
            share.stdin.flush()
        for share in shares:
            share.communicate()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--minutes", type=int, default=20, help="length of each file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    os.environ.update(THREADS)
    with tempfile.TemporaryDirectory() as place:
        paths = make_files(Path(place) / "raw", given.files, given.minutes)
        with_workers(paths[0].parent / paths[0].name, 1)  # everything imported, files in the cache
        many = f"{given.workers} workers"
        took: dict[str, list[float]] = {"1 worker": [], many: [], f"{given.workers} commands": []}
        for _ in range(given.rounds):
            took["1 worker"].append(with_workers(paths[0].parent, 1))
            took[many].append(with_workers(paths[0].parent, given.workers))
            took[f"{given.workers} commands"].append(apart(paths, given.workers))
    hours = given.files * given.minutes / 60
    print(f"{given.files} files of {given.minutes} min, 21 channels, 256 Hz: {hours:.1f} h")
    for name, seconds in took.items():
        best = min(seconds)
        ratio = min(took["1 worker"]) / best
        print(f"{name:<12} {best:>7.1f} s {hours / best:>7.2f} h/s {ratio:>6.2f} ×")


if __name__ == "__main__":
    main()
