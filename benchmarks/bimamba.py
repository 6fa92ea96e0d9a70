"""Take an hour of one EEG channel at 200 Hz through a bidirectional Mamba, as one window.

python benchmarks/bimamba.py --samples 20        # samples a token; 1 makes 720,000 tokens
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from brainfm.backbones import BiMamba
from brainfm.layers.mamba import kernels
from brainfm.stages.model import Window
from brainfm.tokenizers import Patches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=20, help="samples a token")
    parser.add_argument("--dim", type=int, default=64, help="width of a token")
    parser.add_argument("--depth", type=int, default=2, help="blocks")
    parser.add_argument("--scan", default="auto", help="path of the scan")
    given = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = Patches(given.dim, n_samples=given.samples)
    backbone = BiMamba(given.dim, depth=given.depth, expand=2, scan=given.scan)
    window = Window(seconds=3600.0, n_channels=1, sfreq=200.0).silence()
    window.signal.normal_(std=1e-5)
    backbone(tokenizer(Window(seconds=60.0, n_channels=1, sfreq=200.0).silence()))  # compiles
    start = time.perf_counter()
    features = backbone(tokenizer(window))
    middle = time.perf_counter()
    features.pooled().square().sum().backward()
    end = time.perf_counter()
    assert all(torch.isfinite(p.grad).all() for p in backbone.parameters())
    print(
        f"{features.value.shape[1]:,} tokens, {given.depth} blocks of width {given.dim}, "
        f"{kernels(backbone)[0]}, {torch.get_num_threads()} threads: forward {middle - start:.2f} s, "
        f"backward {end - middle:.2f} s, at most "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
    )


if __name__ == "__main__":
    main()
