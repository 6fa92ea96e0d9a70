"""Memory and time of ingesting one recording of a day: 24 h, 64 channels, 512 Hz, 5.7 GB of EDF.

The file is generated in blocks in a temporary folder (``--folder`` says where) and ingested in a
process of its own, whose peak memory is what is told. The peak should not depend on ``--hours``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generated import write_edf

SFREQ = 512
N_CHANNELS = 64


def electrodes(count: int) -> list[str]:
    from brainfm.recordings.sensors.labels import template_positions

    return sorted(template_positions("standard_1020"))[:count]


def measure(path: Path) -> None:
    """Ingest one file right here and print what it took."""
    from brainfm.stages.ingest import ingest

    before, start = peak(), time.perf_counter()
    ingest([str(path)], store=path.parent / "store.zarr")
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s, peak memory {peak():.2f} GB ({before:.2f} GB of it before the start)")


def peak() -> float:
    """Return the most memory this process ever held, in GB, as Linux tells it."""
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, nargs="+", default=[24.0])
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--alone", type=Path, help="ingest this file right here")
    given = parser.parse_args()
    if given.alone:
        measure(given.alone)
        return
    for hours in given.hours:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            path = Path(name) / "sub-01_eeg.edf"
            write_edf(path, electrodes(N_CHANNELS), sfreq=SFREQ, seconds=round(3600 * hours))
            size = path.stat().st_size / 1e9
            print(f"{hours:g} h, {N_CHANNELS} channels, {SFREQ} Hz, {size:.2f} GB:", flush=True)
            subprocess.run([sys.executable, __file__, "--alone", str(path)], check=True)


if __name__ == "__main__":
    main()
