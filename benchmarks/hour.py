"""An hour of one channel at 200 Hz in one window, through EEGDM's denoiser at its published size.

Prints the time and the peak memory of one forward pass, and of half the length beside it: at n·log n
the ratio stays near 2. Each length runs in a process of its own, since a peak never comes down.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from brainfm.stages.model import load_model

MODEL = Path(__file__).parents[1] / "configs" / "models" / "eegdm.yaml"


def measure(seconds: int) -> str:
    """Return a row of the table."""
    objective = load_model(MODEL).build(0).eval()
    signal = torch.randn(1, 200 * seconds, generator=torch.Generator().manual_seed(0))
    step = channel = torch.zeros(1, dtype=torch.long)
    before = peak()
    start = time.perf_counter()
    with torch.no_grad():
        velocity = objective.denoiser(signal, step, channel)
    elapsed = time.perf_counter() - start
    assert velocity.shape == signal.shape
    return f"{seconds:>9,} {200 * seconds:>10,} {elapsed:>8.1f} {before:>9.2f} {peak():>9.2f}"


def peak() -> float:
    """Return the most memory this process ever held, in GiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, nargs="+", default=[900, 1800, 3600])
    parser.add_argument("--alone", action="store_true", help="measure the first length right here")
    given = parser.parse_args()
    if given.alone:
        print(measure(given.seconds[0]), flush=True)
        return
    print(
        f"{'seconds':>9} {'samples':>10} {'time s':>8} {'GiB idle':>9} {'GiB peak':>9}", flush=True
    )
    for seconds in given.seconds:
        subprocess.run([sys.executable, __file__, "--alone", "--seconds", str(seconds)], check=True)


if __name__ == "__main__":
    main()
