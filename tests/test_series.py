"""A model of time series that another package brings, under our heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from jaxtyping import Float
from test_contracts import assert_round_trip
from test_finetuned import same, state
from test_overlap import overlap
from torch import Tensor, nn

from brainfm.backbones import SeriesBackbone, SeriesEmbedder
from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.evaluation import RecordingLabels, Task
from brainfm.heads import StampHead
from brainfm.learning import Finetuned, Train
from brainfm.stages.adopt import adopt
from brainfm.tokenizers import MuLawPatches
from brainfm.weights import load


class Waves(SeriesEmbedder):
    """Stands in for a released model: how much of a few rhythms a series has, and a dropout."""

    def __init__(self, dim: int = 6):
        super().__init__()
        self.dim = dim
        self.weight, self.drop = nn.Parameter(torch.ones(dim)), nn.Dropout()

    def forward(self, series: Float[Tensor, "series time"]) -> Float[Tensor, "series dim"]:
        power = torch.fft.rfft(series).abs()[:, 1 : 3 * self.dim + 1]
        return self.drop(self.weight * power.unflatten(1, (self.dim, 3)).mean(-1).log1p())


FAST = Train(steps=4, batch_size=8, lr=1e-3, warmup=1, validate_every=0, accelerator="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "store.zarr"
    files = [str(ROOT / f"sample/eegmat/Subject0{s}_{r}.edf") for s in (0, 1) for r in (1, 2)]
    assert main(["ingest", *files, "--recipe", "eegmat", "--store", str(path)]) == 0
    return path


def test_patches_are_embedded_one_by_one_and_nothing_is_trained() -> None:
    from conftest import windows

    batch, embedder = windows(2, n_channels=3, n_times=800), Waves().eval()
    tokens = MuLawPatches(200, law="none")(batch)
    backbone = SeriesBackbone(200, embedder=embedder, chunk=5).train()
    made = backbone(tokens, layers=True)
    for place in range(tokens.value.shape[1]):
        torch.testing.assert_close(made.value[:, place], embedder(tokens.value[:, place]))
    assert made.channel is tokens.channel
    assert made.time is tokens.time
    assert not any(p.requires_grad for p in backbone.parameters())
    torch.testing.assert_close(backbone(tokens).value, made.value, rtol=0, atol=0)
    torch.testing.assert_close(assert_round_trip(backbone)(tokens).value, made.value)
    with pytest.raises(UsageError, match="built for 100"):
        SeriesBackbone(100, embedder=embedder)(tokens)


def test_an_adopted_model_is_fitted_with_stamp_s_head(store: Path, tmp_path: Path) -> None:
    adopt(Waves(), store=store, out=tmp_path, licence="none")
    labels = RecordingLabels("run", {"1": "rest", "2": "arithmetic"})
    trials = Task("eegmat", store, labels, seconds=5.0).load()
    first = trials.meta["subject"].to_numpy() == trials.meta["subject"][0]
    train, test = trials.take(first), trials.take(~first)
    n_channels = len(trials.sensors)
    heads = {
        "stamp": lambda dim, n: StampHead(
            dim, n, n_channels=n_channels, n_steps=5, width=16, depth=1
        )
    }
    known = {"sensors": trials.sensors, "sfreq": trials.sfreq, "train": FAST}
    for estimator in (
        Finetuned(tmp_path, "probe", head=heads["stamp"], **known),
        Finetuned(tmp_path, "ridge", **known),
    ):
        fitted = estimator.fit(train.X, train.y)
        proba = fitted.predict_proba(test.X)
        np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
        assert same(state(fitted.model_.backbone), state(load(tmp_path)[0].backbone))
        assert overlap(fitted.pretraining, test.meta) == "unknown"
