"""`brainfm plan`: what a training will need, before anybody pays for it.

FLOPs are those of matrix products, convolutions and attention, counted by PyTorch over one forward and
backward pass; scans and Fourier transforms are not among them. Memory is that of weights, gradients
and AdamW's two moments, and of what the forward pass keeps for the backward pass. Speed is measured on
this machine with the run's own model; only the numbers of windows and devices are multiplied up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from brainfm.contracts import Batch, Objective
from brainfm.errors import UsageError
from brainfm.layers.flops import count_flops
from brainfm.learning.train import Train
from brainfm.stages.model import Model
from brainfm.stages.sources import Data
from brainfm.weights import count_parameters

COPIES = 4  # weight, gradient, and AdamW's two moments


@dataclass(frozen=True)
class Corpus:
    """What is planned for.

    Attributes
    ----------
    hours
        of recordings.
    epochs
        times that the run goes through them.
    devices
        that share the work; their exchange of gradients is taken for free.
    speedup
        how many times faster one of them is than the device that the plan is made on.
    price
        of a device for an hour, in any currency; 0 leaves money out.
    """

    hours: float = 1000.0
    epochs: float = 1.0
    devices: int = 1
    speedup: float = 1.0
    price: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hours", "epochs", "devices", "speedup"):
            if getattr(self, name) <= 0:
                raise UsageError(f"corpus.{name} is {getattr(self, name)} and must be above 0.")


@dataclass(frozen=True)
class Cost:
    """What one model needs.

    Attributes
    ----------
    parameters
        that are trained.
    flops
        a window, forward and backward.
    fixed_bytes
        of weights, gradients and optimiser state.
    window_bytes
        kept from the forward for the backward pass, a window.
    windows_per_second
        trained on the device that it was measured on.
    """

    parameters: int
    flops: float
    fixed_bytes: int
    window_bytes: float
    windows_per_second: float


def plan(
    model: Model,
    data: Data,
    *,
    out: Path | None = None,
    tokenizer: Path | None = None,
    train: Train = Train(),  # noqa: B008
    seed: int = 0,
    corpus: Corpus = Corpus(),
) -> None:
    """Say what a training needs: parameters, FLOPs, memory, and days for a corpus.

    Parameters
    ----------
    model, data, out, tokenizer, train, seed
        as of `brainfm pretrain`; the store need not exist yet.
    corpus
        what is planned for.
    """
    objective = model.build(seed, tokenizer=tokenizer)
    device = torch.device(
        "cuda" if train.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    )
    part = train.batch_size // (train.parts or corpus.devices) or 1
    batch = windows_for(objective, model, data.seconds, min(part, 8)).to(device)
    cost = measure(objective.to(device), batch, train)
    for name, value in describe(cost, part, data.seconds, corpus, device).items():
        print(f"{name:<22} {value}")


def windows_for(objective: Objective, model: Model, seconds: float, n: int) -> Batch:
    """Return windows of noise as the model will read them."""
    names, sfreq = objective.tokenizer.ch_names, objective.tokenizer.sfreq
    shape = replace(
        model.window,
        seconds=seconds,
        n_channels=model.window.n_channels if names is None else len(names),
        sfreq=model.window.sfreq if sfreq is None else sfreq,
    )
    one = shape.silence()
    generator = torch.Generator().manual_seed(0)
    many = {
        name: value.repeat(n, *[1] * (value.ndim - 1))
        for name, value in vars(one).items()
        if isinstance(value, torch.Tensor)
    }
    noise = 1e-5 * torch.randn(many["signal"].shape, generator=generator)
    return replace(one, **many | {"signal": noise, "recording": one.recording * n})


def measure(objective: Objective, batch: Batch, train: Train, steps: int = 3) -> Cost:
    """Train some steps and look at what they take."""
    optimizer, n = train.optimizer(objective), len(batch.signal)
    objective.train()
    objective.begin(batch)
    kept, flops = count_flops(lambda: _step(objective, batch, optimizer))
    start = time.perf_counter()
    for _ in range(steps):
        _step(objective, batch, optimizer)
    if batch.signal.is_cuda:
        torch.cuda.synchronize()
    learned = [p for p in objective.parameters() if p.requires_grad]
    every = [*objective.parameters(), *objective.buffers()]
    fixed = sum(t.numel() * t.element_size() for t in every)
    fixed += (COPIES - 1) * sum(p.numel() * p.element_size() for p in learned)
    return Cost(
        parameters=count_parameters(objective),
        flops=flops / n,
        fixed_bytes=fixed,
        window_bytes=kept / n,
        windows_per_second=n * steps / (time.perf_counter() - start),
    )


def _step(objective: Objective, batch: Batch, optimizer: torch.optim.Optimizer) -> int:
    """Take a step and return how many bytes the forward pass kept for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in objective.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    optimizer.zero_grad()
    objective.advance()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = objective(batch, torch.Generator().manual_seed(0))["loss"]
    loss.backward()
    optimizer.step()
    return sum(kept.values())


def describe(
    cost: Cost, part: int, seconds: float, corpus: Corpus, device: torch.device
) -> dict[str, Any]:
    """Return the lines of a plan."""
    windows = corpus.hours * 3600 / seconds * corpus.epochs
    rate = cost.windows_per_second * corpus.speedup * corpus.devices
    days = windows / rate / 86400
    memory = cost.fixed_bytes + part * cost.window_bytes
    lines = {
        "parameters": f"{cost.parameters:,}",
        "FLOPs a window": f"{cost.flops:.3g} (matrix products, convolutions and attention)",
        "memory of a device": f"{memory / 1e9:.3g} GB, of which {cost.fixed_bytes / 1e9:.3g} GB "
        f"whatever the batch, and {cost.window_bytes / 1e6:.3g} MB for each of {part} windows",
        "measured here": f"{cost.windows_per_second:.3g} windows/s on {device.type}, "
        f"{torch.get_num_threads()} threads; {cost.windows_per_second * cost.flops:.3g} FLOP/s",
        "the corpus": f"{corpus.hours:,g} h × {corpus.epochs:g} = {windows:,.0f} windows of {seconds:g} s",
        "time": f"{days:.3g} days on {corpus.devices} devices, each {corpus.speedup:g} × this one",
    }
    if corpus.price:
        lines["money"] = f"{days * 24 * corpus.devices * corpus.price:,.0f}"
    return lines
