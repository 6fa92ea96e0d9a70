"""What a plan says of a training: sizes that can be counted otherwise, and time in proportion."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from conftest import windows
from test_learning import masked_codes
from test_resume import FAMILIES, SHORT
from torch.utils.flop_counter import FlopCounterMode

from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.learning import Train
from brainfm.stages.catalog import configs
from brainfm.stages.model import load_model
from brainfm.stages.plan import Corpus, Cost, describe, measure, windows_for


def planned(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, str]:
    data = {"store": str(folder / "not-yet.zarr"), "seconds": 2.0}
    config = {"model": FAMILIES["FEMBA"], "data": data, "train": SHORT, "out": str(folder / "run")}
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    assert main(["plan", "--config", str(folder / "run.yaml"), *more]) == 0
    assert not (folder / "run").exists()
    return dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())


def test_a_plan_needs_no_store_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = planned(tmp_path, capsys, "--corpus.hours=10", "--corpus.epochs=2", "--corpus.price=3")
    assert told["the corpus"] == "10 h × 2 = 36,000 windows of 2 s"
    assert set(told) == {
        *("parameters", "FLOPs a window", "memory of a device", "measured here", "the corpus"),
        *("time", "money"),
    }


@pytest.mark.parametrize("name", ["tfm", "patch-transformer"])
def test_flops_and_memory_are_proportional_to_the_windows(name: str) -> None:
    costs = []
    for n in (1, 2):
        model = load_model(configs() / "models" / f"{name}.yaml")
        objective = model.build(0)
        batch = windows_for(objective, model, model.window.seconds, n)
        assert len(batch.signal) == len(batch.recording) == n
        costs.append(measure(objective, batch, Train(accelerator="cpu"), steps=1))
    one, two = costs
    assert two.flops == pytest.approx(one.flops, rel=0.05)
    assert two.window_bytes == pytest.approx(one.window_bytes, rel=0.1)
    assert two.fixed_bytes == one.fixed_bytes
    assert two.windows_per_second > 0


def test_a_matrix_product_is_counted_as_by_hand() -> None:
    """Forward 2·n·in·out, and as much again for the gradient of the weights, as of the input."""
    layer, x = torch.nn.Linear(30, 50, bias=False), torch.randn(7, 30, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 7 * 30 * 50


def test_fixed_memory_is_four_numbers_a_trained_parameter_and_one_a_frozen_one() -> None:
    objective = masked_codes()
    cost = measure(objective, windows(2, n_times=500), Train(accelerator="cpu"), steps=1)
    size = {True: 0, False: 0}
    for parameter in objective.parameters():
        size[parameter.requires_grad] += parameter.numel() * parameter.element_size()
    buffers = sum(b.numel() * b.element_size() for b in objective.buffers())
    assert cost.fixed_bytes == 4 * size[True] + size[False] + buffers
    assert size[True] > 0
    assert size[False] > 0


def test_time_and_money_follow_the_formula() -> None:
    cost = Cost(1_000, 1e9, 16_000, 1e6, windows_per_second=10.0)
    corpus = Corpus(hours=2400.0, epochs=3.0, devices=4, speedup=50.0, price=2.5)
    lines = describe(cost, 8, 5.0, corpus, torch.device("cpu"))
    days = 2400 * 3600 / 5 * 3 / (10 * 50 * 4) / 86400
    assert lines["time"].startswith(f"{days:.3g} days on 4 devices")
    assert lines["money"] == f"{days * 24 * 4 * 2.5:,.0f}"
    assert lines["memory of a device"].startswith("0.00802 GB")


@pytest.mark.parametrize("name", ["hours", "epochs", "devices", "speedup"])
def test_a_corpus_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"corpus.{name} is 0"):
        Corpus(**{name: 0 if name == "devices" else 0.0})
