"""How long and how dear a pretraining is on GPUs, by formula from what is counted here (docs/scaling.md).

    python benchmarks/scaling.py [MODEL…] [--measure]

Parameters and operations of a window are counted on this machine, of each model of configs/models at its own
window. Days and money are not measured anywhere:

    days  = hours · 3600 / seconds · FLOPs a window / (MFU · peak · GPUs) / 86,400
    money = days · 24 · GPUs · price

for a range of MFU that is assumed, peaks from the makers' data sheets and prices that are yours to say.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from brainfm.layers.flops import count_flops
from brainfm.learning.cost import measure
from brainfm.learning.train import Train
from brainfm.learning.utilisation import find_peak
from brainfm.stages.catalog import configs
from brainfm.stages.model import Model, load_model
from brainfm.stages.workload import noise
from brainfm.weights import count_parameters

MODELS = (
    *("femba-tiny", "femba-base", "femba-large", "femba-huge"),
    *("eegdm", "tfm", "tfm-encoder", "patch-transformer"),
)

GPUS = ((1, "A100"), (8, "A100"), (8, "H100"), (64, "H100"))


@dataclass(frozen=True)
class Assumed:
    """What is not known here.

    Attributes
    ----------
    mfu
        share of the peak that a training reaches, at worst and at best.
    prices
        of an hour, by GPU.
    hours
        of EEG that are read: of recordings, times epochs.
    """

    mfu: tuple[float, float] = (0.05, 0.4)
    prices: dict[str, float] = field(default_factory=lambda: {"A100": 2.0, "H100": 3.0})
    hours: float = 1e6


def count(model: Model) -> tuple[int, int]:
    """Return trained parameters, and operations of a window forward and backward."""
    objective = model.build(0)
    one = noise(model.window, 1)
    objective.begin(one)
    objective.train()

    def compute() -> None:
        objective(one, torch.Generator().manual_seed(0))["loss"].backward()

    return count_parameters(objective), count_flops(compute)[1]


def days(flops: float, hours: float, seconds: float, *, rate: float) -> float:
    """Return days of training at a rate of so many operations a second."""
    return hours * 3600 / seconds * flops / rate / 86400


def sizes(name: str, model: Model, parameters: int, flops: int) -> str:
    """Return a row of the first table."""
    window = model.window
    shape = f"{window.seconds:g} s, {window.n_channels} × {window.sfreq:g} Hz"
    hour = 3600 / window.seconds * flops
    return f"| `{name}` | {parameters:,} | {shape} | {flops / 1e9:.3g} G | {hour / 1e12:.3g} T |"


def costs(name: str, model: Model, flops: int, assumed: Assumed) -> str:
    """Return a row of the second table: days of each number of GPUs, and money for each kind."""
    cells = [_span(*_days(model, flops, assumed, gpu, n)) for n, gpu in GPUS]
    for gpu, price in assumed.prices.items():
        cells.append(_span(*(24 * price * d for d in _days(model, flops, assumed, gpu, 1))))
    return f"| `{name}` | {' | '.join(cells)} |"


def _days(model: Model, flops: int, assumed: Assumed, gpu: str, n: int) -> list[float]:
    """Return the fewest and the most."""
    peak = find_peak(gpu, "bf16-mixed")
    assert peak is not None
    rates = [mfu * peak * n for mfu in reversed(assumed.mfu)]
    return [days(flops, assumed.hours, model.window.seconds, rate=rate) for rate in rates]


def _span(least: float, most: float) -> str:
    """Return a range, to two digits."""
    return " – ".join(f"{float(f'{value:.2g}'):,g}" for value in (least, most))


def speeds(name: str, model: Model) -> str:
    """Return a row of the third table, measured here."""
    cost = measure(model.build(0), noise(model.window, 4), Train(accelerator="cpu"))
    rate, hours = 1 / cost.seconds, model.window.seconds / 3600 / cost.seconds
    return f"| `{name}` | {rate:.2g} | {hours:.2g} | {rate * cost.flops / 1e9:.2g} G |"


def lines(names: list[str], assumed: Assumed) -> Iterator[str]:
    """Give the rows of both tables that need no clock."""
    models = {name: load_model(configs() / "models" / f"{name}.yaml") for name in names}
    counted = {name: count(model) for name, model in models.items()}
    yield "| model | parameters | window | FLOPs a window | FLOPs an hour of EEG |"
    yield "|---|---|---|---|---|"
    for name, model in models.items():
        yield sizes(name, model, *counted[name])
    columns = [f"days, {n} × {gpu}" for n, gpu in GPUS]
    columns += [f"money, {gpu} at {price:g}" for gpu, price in assumed.prices.items()]
    yield ""
    yield f"| model | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for name, model in models.items():
        yield costs(name, model, counted[name][1], assumed)


def main() -> None:
    """Print the tables of docs/scaling.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="of configs/models")
    parser.add_argument("--hours", type=float, default=1e6, help="of EEG that are read")
    parser.add_argument("--mfu", nargs=2, type=float, default=(0.05, 0.4), help="assumed range")
    parser.add_argument("--a100", type=float, default=2.0, help="price of an hour")
    parser.add_argument("--h100", type=float, default=3.0, help="price of an hour")
    parser.add_argument("--measure", action="store_true", help="also time steps on this machine")
    given = parser.parse_args()
    prices = {"A100": given.a100, "H100": given.h100}
    assumed = Assumed((given.mfu[0], given.mfu[1]), prices, given.hours)
    for line in lines(list(given.models), assumed):
        print(line)
    if given.measure:
        print(f"\n| model | windows/s, {torch.get_num_threads()} threads | hours/s | FLOP/s |")
        print("|---|---|---|---|")
        for name in given.models:
            print(speeds(name, load_model(configs() / "models" / f"{name}.yaml")), flush=True)


if __name__ == "__main__":
    main()
