"""`brainfm plan`: what a training will need, before anybody pays for it.

The run's own loop trains a few steps of noise of every shape that the run's data sets have, with the run's
precision, optimiser and `recompute` (`brainfm.learning.cost`). Only the numbers of windows and devices are
multiplied up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from brainfm.contracts import Batch, Objective
from brainfm.errors import UsageError
from brainfm.learning.cost import Cost, measure
from brainfm.learning.shares import choose_parts
from brainfm.learning.train import Train
from brainfm.stages.model import Model, Window
from brainfm.stages.pretrain import check_fit
from brainfm.stages.sources import Data, Source, divide, sources_of
from brainfm.store.files import as_url
from brainfm.weights import count_parameters
from brainfm.windows.mixture import shares

AT_ONCE = 8  # windows that are computed here at most, to see what one takes


@dataclass(frozen=True)
class Corpus:
    """What is planned for.

    Attributes
    ----------
    hours
        of recordings that are trained on; where None as many as the run's steps read, or its epochs of the
        data sets that are there.
    epochs
        times that the run goes through them; where None as the run says.
    devices
        that share the work, whose exchange of gradients is taken for free; where None the run's.
    speedup
        how many times faster one of them is than the device that the plan is made on.
    price
        of a device for an hour, in any currency; 0 leaves money out.
    """

    hours: float | None = None
    epochs: float | None = None
    devices: int | None = None
    speedup: float = 1.0
    price: float = 0.0

    def __post_init__(self) -> None:
        for name in ("hours", "epochs", "devices", "speedup"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise UsageError(f"corpus.{name} is {value} and must be above 0.")


@dataclass(frozen=True)
class Part:
    """Windows of one shape.

    Attributes
    ----------
    name
        of their data set.
    share
        of the training's windows.
    window
        their shape.
    cost
        what they take.
    """

    name: str
    share: float
    window: Window
    cost: Cost


@dataclass(frozen=True)
class Plan:
    """A training on paper.

    Attributes
    ----------
    sizes
        bytes of all trained weights, and of those of the largest block.
    parameters
        that are trained.
    parts
        of the windows.
    windows
        that are trained on; None where it was not said how many.
    at_once
        windows that a device computes at once.
    devices
        that share the work.
    train
        the run's options.
    """

    sizes: tuple[int, int]
    parameters: int
    parts: tuple[Part, ...]
    windows: float | None
    at_once: int
    devices: int
    train: Train

    @property
    def flops(self) -> float:
        """Operations of a window, forward and backward, the mean over all."""
        return sum(part.share * part.cost.flops for part in self.parts)

    @property
    def rate(self) -> float:
        """Windows a second on the device that it was measured on."""
        return 1 / sum(part.share * part.cost.seconds for part in self.parts)

    @property
    def memory(self) -> float:
        """Bytes of a device, of the largest windows."""
        return self.exchanged + max(part.cost.memory(self.at_once) for part in self.parts)

    @property
    def exchanged(self) -> float:
        """Bytes by which several processes need more than one, or less.

        DDP keeps gradients a second time, to send them. FSDP2 shares out weights, gradients and two
        moments, and holds two blocks whole, with their gradients, while it computes one of them.
        """
        weights, block = self.sizes
        if self.devices == 1:
            return 0.0
        if self.train.strategy == "ddp":
            return float(weights)
        return 4 * weights * (1 / self.devices - 1) + 4 * block

    def days(self, speedup: float) -> float:
        """Return how long it takes."""
        assert self.windows is not None
        return self.windows / (self.rate * speedup * self.devices) / 86400


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
        as of `brainfm pretrain`. Stores need not exist yet; where they do, what is planned is the training on
        them.
    corpus
        what is planned for, where it is something else.
    """
    made = draw_up(model, data, tokenizer=tokenizer, train=train, seed=seed, corpus=corpus)
    for name, value in describe(made, data.seconds, corpus).items():
        print(f"{name:<22} {value}")


def draw_up(
    model: Model, data: Data, *, tokenizer: Path | None, train: Train, seed: int, corpus: Corpus
) -> Plan:
    """Measure what a training takes, and multiply it up; arguments as of `plan`.

    Raises
    ------
    UsageError
        If some of the run's stores exist and others do not, or do not fit the model.
    """
    objective = model.build(seed, tokenizer=tokenizer)
    stores = (data.store, *(one.store for one in data.beside))
    there = [as_url(store) is not None or Path(store).exists() for store in stores]
    if any(there) and not all(there):
        raise UsageError(
            f"There is no store {stores[there.index(False)]} and there are others of the run; make it, or "
            "plan without `data.beside`."
        )
    sources = sources_of(data) if all(there) else ()
    for source in sources:
        check_fit(objective, source)
    tables = divide(sources, data.validation, seed).training
    devices = corpus.devices or train.devices * train.nodes
    n_parts = choose_parts(train.parts, train.batch_size, devices, data.blocks)
    at_once = train.batch_size // n_parts
    trained = [p for p in objective.parameters() if p.requires_grad]
    stages = () if objective.backbone is None else objective.backbone.stages()
    return Plan(
        sizes=(_bytes(trained), max((_bytes(block.parameters()) for block in stages), default=0)),
        parameters=count_parameters(objective),
        parts=tuple(
            Part(name, share, window, _measure(model, seed, tokenizer, window, train, at_once))
            for name, share, window in shapes_of(model, objective, data, sources, tables)
        ),
        windows=windows_of(tables, data, train, corpus),
        at_once=at_once,
        devices=devices,
        train=train,
    )


def shapes_of(
    model: Model,
    objective: Objective,
    data: Data,
    sources: Sequence[Source],
    tables: Sequence[pd.DataFrame],
) -> list[tuple[str, float, Window]]:
    """Return name, share and shape of every kind of window that a training reads.

    Without recordings that is the window of the model's paper, as long as the run's.
    """
    usual = replace(model.window, seconds=data.seconds)
    if not sources:
        names, sfreq = objective.tokenizer.ch_names, objective.tokenizer.sfreq
        n_channels = usual.n_channels if names is None else len(names)
        usual = replace(usual, n_channels=n_channels, sfreq=sfreq or usual.sfreq)
        return [("the model's window", 1.0, usual)]
    found = []
    hours = [float(table["seconds"].sum() / 3600) for table in tables]
    of_sources = shares(hours, [source.weight for source in sources], data.temperature)
    for source, table, share in zip(sources, tables, of_sources, strict=True):
        counts = [len(source.reader.sensors(recording).sensors) for recording in table["id"]]
        for n_channels, seconds in table.groupby(counts)["seconds"].sum().items():
            window = replace(usual, n_channels=int(n_channels), sfreq=source.sfreq)
            part = float(share * seconds / table["seconds"].sum())
            found.append((source.name, part, window))
    return found


def windows_of(
    tables: Sequence[pd.DataFrame], data: Data, train: Train, corpus: Corpus
) -> float | None:
    """Return how many windows are trained on; None where it is epochs of what is not there yet."""
    epochs = corpus.epochs or train.epochs
    if corpus.hours is not None:
        return corpus.hours * 3600 / data.seconds * (epochs or 1.0)
    if epochs is not None and not tables:
        return None
    seconds = sum(float(table["seconds"].sum()) for table in tables)
    steps = replace(train, epochs=epochs).over(seconds / data.seconds).steps
    return float(steps * train.batch_size)


def _measure(
    model: Model, seed: int, tokenizer: Path | None, window: Window, train: Train, at_once: int
) -> Cost:
    n = min(AT_ONCE, max(2, at_once))
    return measure(model.build(seed, tokenizer=tokenizer), noise(window, n), train)


def noise(window: Window, n: int) -> Batch:
    """Return ``n`` windows of noise, in volts."""
    one = window.silence()
    many = {
        name: value.repeat(n, *[1] * (value.ndim - 1))
        for name, value in vars(one).items()
        if isinstance(value, torch.Tensor)
    }
    signal = torch.randn(many["signal"].shape, generator=torch.Generator().manual_seed(0))
    return replace(one, **many | {"signal": 1e-5 * signal, "recording": one.recording * n})


def _bytes(parameters: Iterable[torch.nn.Parameter]) -> int:
    return sum(p.numel() * p.element_size() for p in parameters if p.requires_grad)


def describe(plan: Plan, seconds: float, corpus: Corpus) -> dict[str, str]:
    """Return the lines of a plan."""
    lines = {
        "parameters": f"{plan.parameters:,}",
        "FLOPs a window": f"{plan.flops:.3g} (matrix products, convolutions, attention, Fourier transforms)",
        "memory of a device": f"{plan.memory / 1e9:.3g} GB with {plan.at_once} windows at once, "
        f"{plan.train.strategy if plan.devices > 1 else 'one device'}",
        "measured here": f"{plan.rate:.3g} windows/s in {plan.train.precision} on "
        f"{plan.train.device}, {torch.get_num_threads()} threads; {plan.rate * plan.flops:.3g} FLOP/s",
    }
    for part in plan.parts if len(plan.parts) > 1 else ():
        window = part.window
        lines[part.name + f", {window.n_channels} ch"] = (
            f"{part.share:.1%} of the windows, {window.sfreq:g} Hz: {part.cost.flops:.3g} FLOPs, "
            f"{1 / part.cost.seconds:.3g} windows/s, {part.cost.memory(plan.at_once) / 1e9:.3g} GB"
        )
    if plan.windows is None:
        return lines | {
            "time": "epochs of how many hours? There is no store yet; say --corpus.hours."
        }
    hours, days = plan.windows * seconds / 3600, plan.days(corpus.speedup)
    lines["the training"] = f"{plan.windows:,.0f} windows of {seconds:g} s, {hours:,.4g} h"
    lines["time"] = f"{days:.3g} days on {plan.devices} devices, each {corpus.speedup:g} × this one"
    if corpus.price:
        lines["money"] = f"{days * 24 * plan.devices * corpus.price:,.0f}"
    return lines
