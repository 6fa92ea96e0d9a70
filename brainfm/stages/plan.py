"""`brainfm plan`: what a training will need, before anybody pays for it.

The run's own loop trains a few steps of noise of every shape that the run's data sets have, with the run's
precision, optimiser and `recompute` (`brainfm.learning.cost`). Only the numbers of windows and devices are
multiplied up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from brainfm.errors import UsageError
from brainfm.learning.cost import Cost, measure
from brainfm.learning.health import MOST_WINDOWS
from brainfm.learning.shares import choose_parts
from brainfm.learning.train import Train
from brainfm.stages.model import Model, Window
from brainfm.stages.pretrain import check_fit
from brainfm.stages.sources import Data, divide, sources_of
from brainfm.stages.workload import Corpus, noise, shapes_of, validated_of, windows_of
from brainfm.store.files import as_url
from brainfm.weights import count_parameters

AT_ONCE = 8  # windows that are computed here at most, to see what one takes


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
    validated
        windows that a validation measures on; None where it was not said how many.
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
    validated: int | None
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

    @property
    def steps(self) -> int:
        """Steps of the training."""
        assert self.windows is not None
        return max(1, round(self.windows / self.train.batch_size))

    @property
    def validations(self) -> int:
        """How often the training stops to validate."""
        every = min(self.train.validate_every, self.steps)
        return self.steps // every if every and self.validated != 0 else 0

    @property
    def validating(self) -> float:
        """Seconds of all validations, on devices as the one that it was measured on.

        The first windows of each process pass through the model once more, to see whether it is healthy.
        """
        once = sum(part.share * part.cost.validating for part in self.parts)
        each = (self.validated or 0) / self.devices
        return self.validations * once * (each + min(each, MOST_WINDOWS))

    def seconds(self, speedup: float) -> float:
        """Return how long it takes."""
        assert self.windows is not None
        return (self.windows / self.rate / self.devices + self.validating) / speedup


def plan(
    model: Model,
    data: Data,
    *,
    out: Path | None = None,
    tokenizer: Path | None = None,
    train: Train = Train(),  # noqa: B008
    seed: int = 0,
    corpus: Corpus = Corpus(),  # noqa: B008
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
    division = divide(sources, data.validation, seed)
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
            for name, share, window in shapes_of(model, objective, data, sources, division.training)
        ),
        windows=windows_of(division.training, data, train, corpus),
        validated=validated_of(division.validation, data, corpus),
        at_once=at_once,
        devices=devices,
        train=train,
    )


def _measure(
    model: Model, seed: int, tokenizer: Path | None, window: Window, train: Train, at_once: int
) -> Cost:
    n = min(AT_ONCE, max(2, at_once))
    return measure(model.build(seed, tokenizer=tokenizer), noise(window, n), train)


def _bytes(parameters: Iterable[torch.nn.Parameter]) -> int:
    return sum(p.numel() * p.element_size() for p in parameters if p.requires_grad)


def describe(plan: Plan, seconds: float, corpus: Corpus) -> dict[str, str]:
    """Return the lines of a plan."""
    lines = {
        "parameters": f"{plan.parameters:,}",
        "FLOPs a window": f"{plan.flops:.3g} (matrix products, convolutions, attention, Fourier transforms)",
        "memory of a device": f"{size(plan.memory)} with {plan.at_once} windows at once, "
        f"{plan.train.strategy if plan.devices > 1 else 'one device'}",
        "measured here": f"{plan.rate:.3g} windows/s in {plan.train.precision} on "
        f"{plan.train.device}, {torch.get_num_threads()} threads; {plan.rate * plan.flops:.3g} FLOP/s",
    }
    for part in plan.parts if len(plan.parts) > 1 else ():
        window = part.window
        lines[part.name + f", {window.n_channels} ch"] = (
            f"{part.share:.1%} of the windows, {window.sfreq:g} Hz: {part.cost.flops:.3g} FLOPs, "
            f"{1 / part.cost.seconds:.3g} windows/s, {size(part.cost.memory(plan.at_once))}"
        )
    if plan.windows is None:
        return lines | {
            "time": "epochs of how many hours? There is no store yet; say --corpus.hours."
        }
    hours, taken = plan.windows * seconds / 3600, plan.seconds(corpus.speedup)
    lines["the training"] = f"{plan.windows:,.0f} windows of {seconds:g} s, {hours:,.4g} h"
    lines["validations"] = _validations(plan, taken * corpus.speedup)
    lines["checkpoints"] = (
        f"{-(-plan.steps // plan.train.checkpoint_every):,} of "
        f"{size(max(part.cost.lasting for part in plan.parts))}, whose writing is not in the time"
    )
    devices = "1 device" if plan.devices == 1 else f"{plan.devices} devices, each"
    faster = "" if corpus.speedup == 1 else f"{corpus.speedup:g} × "
    lines["time"] = f"{duration(taken)} on {devices} {faster}as fast as this one"
    if corpus.price:
        lines["money"] = f"{taken / 3600 * plan.devices * corpus.price:,.0f}"
    return lines


def _validations(plan: Plan, seconds: float) -> str:
    if plan.validated is None:
        return (
            f"{plan.validations:,}, not in the time: of how many windows? There is no store yet; say "
            "--corpus.hours or --data.validation_windows."
        )
    if not plan.validations:
        return "none"
    share = plan.validating / seconds
    return f"{plan.validations:,} of {plan.validated:,} windows, {share:.1%} of the time"


def duration(seconds: float) -> str:
    """Return a time in the largest unit of which there are two or more, such as ``3.5 hours``."""
    units = {"days": 86400, "hours": 3600, "minutes": 60}
    name, size = next((u for u in units.items() if seconds >= 2 * u[1]), ("seconds", 1))
    number = seconds / size
    return f"{number:,.0f} {name}" if number >= 100 else f"{number:.3g} {name}"


def size(n: float | int) -> str:
    """Return a number of bytes, such as ``1.5 GB``."""
    units = {"GB": 1e9, "MB": 1e6}
    name, one = next((u for u in units.items() if n >= u[1]), ("kB", 1e3))
    return f"{n / one:.3g} {name}"
