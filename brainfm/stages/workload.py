"""What a training reads: how many windows, of which shapes, and how many a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch

from brainfm.contracts import Batch, Objective
from brainfm.errors import UsageError
from brainfm.learning.train import Train
from brainfm.stages.batches import stride
from brainfm.stages.model import Model, Window
from brainfm.stages.sources import Data, Source
from brainfm.windows.mixture import shares


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


def validated_of(tables: Sequence[pd.DataFrame], data: Data, corpus: Corpus) -> int | None:
    """Return how many windows a validation measures on; None where it is not known yet.

    Parameters
    ----------
    tables
        recordings that are put aside, of each data set that is there.
    data, corpus
        what is planned for. Other hours than are there have as large a share put aside.
    """
    if not data.validation:
        return 0
    n_sets, most = 1 + len(data.beside), data.validation_windows
    if corpus.hours is not None:
        aside = corpus.hours * data.validation / (1 - data.validation)
        counts = [int(aside * 3600 / data.seconds / n_sets)] * n_sets
    elif tables:
        counts = [int((table["seconds"] // data.seconds).sum()) for table in tables]
    else:
        return None if most is None else most * n_sets
    return sum(len(range(0, n, stride(n, most))) for n in counts if n)


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
