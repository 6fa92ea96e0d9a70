"""A training step of EEGDM's denoiser, beside the same network in the plainest PyTorch.

The plain one writes out every mode at every sample, exp(Δ A t), and sums over modes; it pads to twice the
length and takes one FFT for each direction, as a textbook does. Weights are the same, and so are losses and
gradients up to rounding, which is checked first. Both are run in turns; the best of each is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from brainfm.backbones import StateSpaceDenoiser
from brainfm.layers.s4d import S4D
from brainfm.objectives.diffusion import Denoiser, VelocityReadout


def plain(self: S4D, x: Tensor) -> Tensor:
    """Filter sequences as the formulas are written."""
    length = x.shape[1]
    step = self.log_step.exp().unsqueeze(-1)
    A = torch.complex(-self.log_decay.exp(), self.frequency)
    B, C = torch.view_as_complex(self.B), torch.view_as_complex(self.C)
    weight = C * B * ((step * A).exp() - 1) / A
    every = (step.unsqueeze(-1) * A.unsqueeze(-1) * torch.arange(length)).exp()
    past, future = 2 * torch.einsum("dhn,hnt->dht", weight, every).real
    spectrum = torch.fft.rfft(x.transpose(1, 2), 2 * length)
    ahead = spectrum * torch.fft.rfft(past, 2 * length)
    # The future: the same from the end, one sample on.
    back = torch.fft.rfft(x.flip(1).transpose(1, 2), 2 * length)
    back = torch.fft.irfft(back * torch.fft.rfft(future, 2 * length), 2 * length)[..., : length - 1]
    back = torch.nn.functional.pad(back, (1, 0)).flip(-1)
    y = torch.fft.irfft(ahead, 2 * length)[..., :length] + back
    return y.transpose(1, 2) + self.D * x


@contextmanager
def forward(new: object) -> Iterator[None]:
    """Put another forward into `S4D` for a while."""
    old, S4D.forward = S4D.forward, new
    try:
        yield
    finally:
        S4D.forward = old


def step(model: Denoiser, x: Tensor, where: Tensor) -> tuple[float, float]:
    """Return the loss of a step and its seconds; gradients are left on the model."""
    model.zero_grad()
    start = time.perf_counter()
    loss = (model(x, where, where) - x).square().mean()
    loss.backward()
    return float(loss.detach()), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8, help="channels a step")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=4, help="blocks; the published model has 20")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    backbone = StateSpaceDenoiser(200, depth=given.depth)
    model = Denoiser(backbone, VelocityReadout(128, given.depth))
    torch.nn.init.normal_(model.readout.out.weight, std=0.1)
    x, where = torch.randn(given.rows, given.samples), torch.zeros(given.rows, dtype=torch.long)
    ways = {"plain PyTorch": plain, "brainfm": S4D.forward}
    best, facts = dict.fromkeys(ways, float("inf")), {}
    for _ in range(given.repeats):
        for name, way in ways.items():
            with forward(way):
                loss, seconds = step(model, x, where)
            best[name] = min(best[name], seconds)
            facts[name] = loss, backbone.blocks[0].ssm.C.grad.clone()
    (loss, gradient), (other, theirs) = facts["brainfm"], facts["plain PyTorch"]
    apart = float((gradient - theirs).norm() / theirs.norm())
    print(f"losses {loss:.6f} and {other:.6f}; a gradient differs by {apart:.1e} of its size")
    for name, seconds in best.items():
        print(f"{name:16} {1e3 * seconds:9.0f} ms   {best['plain PyTorch'] / seconds:5.2f} ×")


if __name__ == "__main__":
    main()
