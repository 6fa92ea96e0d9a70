"""Time the selective scan, forward and backward, beside its peers, and its growth with the length.

    python benchmarks/scan.py                 # every path, batch 8, 512 channels, state 16
    python benchmarks/scan.py --growth        # 1,024 to 65,536 steps, batch 1

Every measurement runs in a process of its own, so that its memory can be told; compiling is not counted.
mambapy takes part where it can be imported (``pip install mambapy``). What would not fit into the
memory that is free is left out and said.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from brainfm.layers.scan import _scan

CHANNELS, STATE = 512, 16
LENGTHS = (256, 1024, 4096)
GROWTH = tuple(2**k for k in range(10, 17))
PATHS = ("numba", "torch", "mambapy", "loop", "mamba-ssm reference")
# States that are held at once, in copies of (batch, channel, time, state); measured.
COPIES = {"mambapy": 11, "loop": 9, "mamba-ssm reference": 9}
LONGEST = {"mamba-ssm reference": 256}  # its backward pass grows with the square of the length


def mamba_ssm_reference(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Do what mamba-ssm's `selective_scan_ref` does: materialise decays and inputs, index each step."""
    decay = torch.exp(torch.einsum("bdl,dn->bdln", delta, A))
    entering = torch.einsum("bdl,bnl,bdl->bdln", delta, B, u)
    h, y = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + entering[:, :, t]
        y.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    return torch.stack(y, 2)


def loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Loop over the steps as plainly as autograd allows without its cost growing with the square."""
    h, y = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for now, step, b, c in zip(*(x.unbind(-1) for x in (u, delta, B, C)), strict=True):
        h = torch.exp(step[..., None] * A) * h + (step * now)[..., None] * b[:, None]
        y.append((h @ c[..., None])[..., 0])
    return torch.stack(y, -1)


def mambapy(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Call mambapy's parallel scan as its Mamba block does."""
    from mambapy.pscan import pscan

    u, delta, B, C = (x.transpose(1, 2) for x in (u, delta, B, C))
    decay = torch.exp(delta.unsqueeze(-1) * A)
    entering = delta.unsqueeze(-1) * B.unsqueeze(2) * u.unsqueeze(-1)
    return (pscan(decay, entering) @ C.unsqueeze(-1)).squeeze(3).transpose(1, 2)


def ours(path: str) -> Callable[..., Tensor]:
    """Return one of our paths, without gate and softplus, which all would share."""
    return lambda *inputs: _scan(path, *inputs)


def inputs(batch: int, length: int) -> list[Tensor]:
    """Draw u, Δ, A, B and C as a Mamba at its start has them."""
    generator = torch.Generator().manual_seed(0)
    series, selection = (batch, CHANNELS, length), (batch, STATE, length)
    u, step = (torch.randn(series, generator=generator) for _ in range(2))
    B, C = (torch.randn(selection, generator=generator) for _ in range(2))
    A = -torch.arange(1.0, STATE + 1).repeat(CHANNELS, 1)
    return [x.requires_grad_() for x in (u, torch.exp(step - 4), A, B, C)]


def measure(name: str, batch: int, length: int) -> dict[str, float]:
    """Return seconds of a forward and backward pass, and the GiB it needed beyond its inputs."""
    peers = {"mambapy": mambapy, "loop": loop, "mamba-ssm reference": mamba_ssm_reference}
    scan = peers.get(name) or ours(name)
    scan(*inputs(1, 32)).sum().backward()
    given = inputs(batch, length)
    weight = torch.randn(given[0].shape)
    before, seconds = peak(), []
    while len(seconds) < 2 or (sum(seconds) < 5 and len(seconds) < 10):
        start = time.perf_counter()
        torch.autograd.grad((scan(*given) * weight).sum(), given)
        seconds.append(time.perf_counter() - start)
        if seconds[0] > 20:
            break
    return {"seconds": min(seconds), "gib": peak() - before}


def peak() -> float:
    """Return the most memory that this process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def free() -> float:
    """Return the memory that is free, in GiB."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def in_own_process(name: str, batch: int, length: int) -> dict[str, float] | str:
    """Measure, or say why not."""
    if name == "mambapy" and find_spec("mambapy") is None:
        return "not installed"
    if length > LONGEST.get(name, length):
        return "too slow"
    needed = COPIES.get(name, 0.5) * batch * CHANNELS * length * STATE * 4 / 2**30
    if needed > 0.9 * free():
        return f"wants {needed:.0f} GiB"
    call = [sys.executable, __file__, "--measure", name, str(batch), str(length)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(batch: int = 8) -> None:
    """Print a row for each length and path, with ratios to our plain and our compiled one."""
    print("length  path                  seconds    GiB   × torch   × numba")
    for length in LENGTHS:
        found = {name: in_own_process(name, batch, length) for name in PATHS}
        for name, cost in found.items():
            if isinstance(cost, str):
                print(f"{length:6}  {name:20}  {cost}")
                continue
            ratios = [cost["seconds"] / found[path]["seconds"] for path in ("torch", "numba")]
            row = f"{cost['seconds']:8.3f} {cost['gib']:6.2f} {ratios[0]:9.2f} {ratios[1]:9.2f}"
            print(f"{length:6}  {name:20} {row}", flush=True)


def grow() -> None:
    """Print time and memory for lengths that double, and what each doubling costs."""
    print("path    length   seconds    GiB   × time   × memory")
    for path in ("numba", "torch"):
        last = None
        for length in GROWTH:
            cost = in_own_process(path, 1, length)
            more = [
                f"{cost[k] / last[k]:.2f}" if last and last[k] else "" for k in ("seconds", "gib")
            ]
            row = f"{cost['seconds']:9.3f} {cost['gib']:6.2f} {more[0]:>8} {more[1]:>10}"
            print(f"{path:6} {length:7} {row}", flush=True)
            last = cost


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--growth", action="store_true", help="growth with the length")
    parser.add_argument("--measure", nargs=3, metavar=("PATH", "BATCH", "LENGTH"))
    given = parser.parse_args()
    if given.measure:
        name, batch, length = given.measure
        print(json.dumps(measure(name, int(batch), int(length))))
    elif given.growth:
        grow()
    else:
        print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
        compare()


if __name__ == "__main__":
    main()
