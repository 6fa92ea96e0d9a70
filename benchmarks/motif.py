"""A training step of the motif tokenizer, beside the same network in the plainest PyTorch.

The plain one cuts frames and takes their Fourier transform, writes linear attention out, and quantises with
a table of all distances and one-hot sums, as a textbook does. Weights are the same, and so are the first
losses up to rounding, which are printed. Both are run in turns; the best of each is printed.
"""

from __future__ import annotations

import argparse
import os
import time
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from brainfm.contracts import Batch
from brainfm.layers.linear_attention import LinearAttention
from brainfm.learning import Train
from brainfm.objectives import MotifReconstruction
from brainfm.stages.model import Window
from brainfm.tokenizers import MotifTokenizer, motif
from brainfm.tokenizers.quantizer import Quantized, Quantizer


def attend(self: LinearAttention, x: Tensor, mask: None = None) -> Tensor:
    """Attend as the paper's formula is written, head by head."""
    heads = []
    parts = (layer(x).chunk(self.heads, -1) for layer in (self.query, self.key, self.value))
    for q, k, v in zip(*parts, strict=True):
        context = k.softmax(1).transpose(1, 2) @ v
        heads.append((q.softmax(-1) * q.shape[-1] ** -0.5) @ context)
    return self.dropout(self.out(torch.cat(heads, -1)))


def quantise(self: Quantizer, x: Tensor) -> Quantized:
    """Quantise with all distances at once, and move the code book by one-hot sums."""
    book, flat = self.vq._codebook, x.reshape(-1, x.shape[-1])
    embed = book.embed[0]
    apart = flat.square().sum(1, keepdim=True) - 2 * flat @ embed.t() + embed.square().sum(1)
    code = apart.argmin(1)
    value = embed[code].view_as(x)
    if self.training:
        with torch.no_grad():
            hot = one_hot(code, len(embed)).to(flat)
            book.cluster_size[0].mul_(0.99).add_(hot.sum(0), alpha=0.01)
            book.embed_avg[0].mul_(0.99).add_(hot.t() @ flat, alpha=0.01)
            n = book.cluster_size[0].sum()
            size = (book.cluster_size[0] + 1e-5) / (n + len(embed) * 1e-5) * n
            book.embed[0] = book.embed_avg[0] / size.unsqueeze(1)
    commitment = (x - value.detach()).square().mean()
    return Quantized(x + (value - x).detach(), code.view(x.shape[:2]), commitment)


def spectrogram(signal: Tensor, *, n_fft: int, hop: int) -> Tensor:
    """Take the Fourier transform of every frame."""
    frames = signal.unfold(1, n_fft, hop) * torch.hann_window(n_fft)
    return torch.fft.rfft(frames).abs()[..., :-1].transpose(1, 2)


def step(objective: MotifReconstruction, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
    """Take a training step and return its loss."""
    torch.manual_seed(0)
    loss = objective(batch, torch.Generator().manual_seed(0))["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def main() -> None:
    """Print seconds a step and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=4, help="windows of 16 channels × 5 s a step")
    parser.add_argument("--repeats", type=int, default=4)
    given = parser.parse_args()
    silence = Window().silence()
    many = {k: v.repeat(given.batch, *[1] * (v.ndim - 1)) for k, v in vars(silence).items()
            if isinstance(v, Tensor)}  # fmt: skip
    batch = Batch(**vars(silence) | many)
    batch.signal.normal_(std=1e-5, generator=torch.Generator().manual_seed(0))
    plain = (
        patch.object(LinearAttention, "forward", attend),
        patch.object(Quantizer, "forward", quantise),
        patch.object(motif, "magnitude_spectrogram", spectrogram),
    )
    models, best, first = {}, {}, {}
    for name in ("plain PyTorch", "brainfm"):
        torch.manual_seed(0)
        objective = MotifReconstruction(MotifTokenizer(dropout=0.0)).train()
        models[name] = objective, Train().optimizer(objective)
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    for _ in range(given.repeats):
        for name, (objective, optimizer) in models.items():
            used = plain if name == "plain PyTorch" else ()
            for replacement in used:
                replacement.start()
            start = time.perf_counter()
            loss = step(objective, batch, optimizer)
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - start)
            first.setdefault(name, float(loss))
            for replacement in used:
                replacement.stop()
    print("first losses " + " and ".join(f"{loss:.5f}" for loss in first.values()))
    for name, seconds in best.items():
        print(f"{name:16} {1e3 * seconds:9.0f} ms   {best['plain PyTorch'] / seconds:5.2f} ×")


if __name__ == "__main__":
    main()
