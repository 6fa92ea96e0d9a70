"""What a plan says of a training: sizes that can be counted otherwise, and time in proportion."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, windows
from lightning.pytorch.callbacks import Callback
from test_learning import TRAIN, masked_codes
from test_mixture import data as mixture
from test_mixture import place  # noqa: F401
from test_resume import FAMILIES, SHORT
from torch.utils.flop_counter import FlopCounterMode

from brainfm.cli import main
from brainfm.contracts import Objective
from brainfm.errors import UsageError
from brainfm.learning import Train
from brainfm.learning.cost import Cost, Same, measure
from brainfm.learning.loop import fit
from brainfm.stages.batches import validation_batches
from brainfm.stages.catalog import configs
from brainfm.stages.model import Model, Window, load_model
from brainfm.stages.plan import Part, Plan, describe, draw_up, duration, size
from brainfm.stages.sources import divide, sources_of
from brainfm.stages.workload import Corpus, noise, validated_of
from brainfm.weights import count_parameters

CPU = Train(accelerator="cpu")


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
    assert told["the training"] == "36,000 windows of 2 s, 20 h"
    assert set(told) == {
        *("parameters", "FLOPs a window", "memory of a device", "measured here", "the training"),
        *("validations", "checkpoints", "time", "money"),
    }
    # A fifth of the subjects is put aside.
    each = 10 * 3600 / 2 / 4
    assert told["validations"].startswith(f"{told_steps(told) // 5:,} of {each:,.0f} windows, ")
    assert told["checkpoints"].startswith(f"{told_steps(told) // 2:,} of ")
    assert "--corpus.hours" in planned(tmp_path, capsys, "--train.epochs=2")["time"]
    steps, batch = SHORT["steps"], SHORT["batch_size"]
    assert planned(tmp_path, capsys)["the training"].startswith(f"{steps * batch} windows of 2 s")


def told_steps(told: dict[str, str]) -> int:
    return int(told["the training"].split()[0].replace(",", "")) // SHORT["batch_size"]


def test_a_plan_without_a_store_says_that_it_knows_no_validations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not in the time" in planned(tmp_path, capsys)["validations"]
    # Every second one of ten, as seven are not to be passed.
    for more, words in (
        ("--data.validation_windows=7", "4 of 5 windows, "),
        ("--data.validation=0", "none"),
        ("--train.validate_every=0", "none"),
    ):
        told = planned(tmp_path, capsys, more, "--corpus.hours=0.0223")
        assert told["validations"].startswith(words)


# ------------------------------------------------------------------ what a step takes


@pytest.mark.parametrize("name", ["tfm-encoder", "patch-transformer"])
def test_flops_are_proportional_to_the_windows(name: str) -> None:
    costs = []
    for n in (2, 4):
        model = load_model(configs() / "models" / f"{name}.yaml")
        made = noise(replace(model.window, seconds=2.0), n)
        assert len(made.signal) == len(made.recording) == n
        costs.append(measure(model.build(0), made, CPU, steps=1))
    two, four = costs
    assert four.flops == pytest.approx(two.flops, rel=0.05)
    assert four.lasting == two.lasting
    assert min(four.seconds, four.validating) > 0
    # What was not measured is told from what was, roughly: with two windows gradients weigh more.
    assert two.memory(4) == pytest.approx(four.memory(4), rel=0.15)


def test_a_matrix_product_is_counted_as_by_hand() -> None:
    """Forward 2·n·in·out, and as much again for the gradient of the weights, as of the input."""
    layer, x = torch.nn.Linear(30, 50, bias=False), torch.randn(7, 30, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 7 * 30 * 50


def transformer(folder: Path) -> Model:
    """Return a model of four blocks, wide enough that they and not the signals fill the memory."""
    config = deepcopy(FAMILIES["patch transformer"])
    config["tokenizer"]["init_args"]["dim"] = 128
    config["backbone"]["init_args"] |= {"depth": 4, "width": 128}
    (folder / "model.yaml").write_text(yaml.safe_dump(config))
    return load_model(folder / "model.yaml")


def size_of(objective: Objective) -> dict[bool, int]:
    """Return the bytes of what is trained and of what is not."""
    size = {True: 0, False: sum(b.numel() * b.element_size() for b in objective.buffers())}
    for parameter in objective.parameters():
        size[parameter.requires_grad] += parameter.numel() * parameter.element_size()
    return size


@pytest.mark.parametrize(
    ("option", "trained", "frozen"),
    [({}, 3, 1), ({"average": 0.9}, 4, 2), ({"algorithm": "lamb"}, 3, 1)],
)
def test_what_lasts_is_weights_and_two_moments_and_averages(
    option: dict[str, Any], trained: int, frozen: int
) -> None:
    objective = masked_codes()
    size = size_of(objective)
    cost = measure(objective, windows(2, n_times=500), replace(CPU, **option), steps=1)
    expected = trained * size[True] + frozen * size[False]
    if "algorithm" not in option:  # AdamW counts each one's steps
        expected += 4 * sum(p.requires_grad for p in objective.parameters())
    assert cost.lasting == pytest.approx(expected, rel=0.02)
    assert cost.following >= size[True]  # gradients


class Profiled(Callback):
    """Lets PyTorch's profiler write down what the second step allocates."""

    def __init__(self, path: Path):
        self.path, self.profiler = path, torch.profiler.profile(profile_memory=True)

    def on_train_batch_start(self, trainer: Any, loop: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            self.profiler.start()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 2:
            self.profiler.stop()
            self.profiler.export_chrome_trace(str(self.path))

    def most(self) -> int:
        """Return the most bytes that the step held besides what was there."""
        events = json.loads(self.path.read_text())["traceEvents"]
        told = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
        return int(np.cumsum([size for _, size in told]).max())


@pytest.mark.parametrize("option", [{}, {"recompute": True}, {"precision": "bf16-mixed"}])
def test_the_memory_is_what_a_training_allocates(option: dict[str, Any], tmp_path: Path) -> None:
    given, train = windows(8, n_times=1000), replace(TRAIN, steps=2, batch_size=8, **option)
    model = transformer(tmp_path)
    cost = measure(model.build(0), given, train, steps=1)
    seen = Profiled(tmp_path / "trace.json")
    fit(model.build(0), Same(given), train=train, seed=0, callbacks=(seen,))
    # Kernels have space of their own besides.
    assert cost.memory(8) - cost.lasting == pytest.approx(seen.most(), rel=0.1)


def test_a_plan_is_of_the_run_s_own_options(tmp_path: Path) -> None:
    given, model = windows(4, n_times=1000), transformer(tmp_path)
    plain, again, half = (
        measure(model.build(0), given, replace(CPU, **option), steps=1)
        for option in ({}, {"recompute": True}, {"precision": "bf16-mixed"})
    )
    assert again.working < 0.8 * plain.working
    assert again.flops == pytest.approx(plain.flops, rel=1e-3)
    assert half.lasting == plain.lasting
    assert half.working != plain.working


# ------------------------------------------------------------------ what follows from it

COST = Cost(1e9, 0.1, 0.02, lasting=12_000, working=8_000_000, each=1e6, following=4_000, windows=8)


def plan_of(**more: Any) -> Plan:
    parts = (Part("all", 1.0, Window(), COST),)
    given = {
        "sizes": (4_000, 400),
        "parameters": 1_000,
        "windows": 100.0,
        "validated": 0,
        "at_once": 16,
    }
    return Plan(parts=parts, **given | {"devices": 1, "train": CPU} | more)


def test_time_and_money_follow_the_formula() -> None:
    windows = 24_000 * 3600 / 5 * 3
    lines = describe(plan_of(windows=windows, devices=4), 5.0, Corpus(speedup=50.0, price=2.5))
    hours = windows / (10 * 50 * 4) / 3600
    assert lines["time"] == f"{hours:.3g} hours on 4 devices, each 50 × as fast as this one"
    assert lines["money"] == f"{hours * 4 * 2.5:,.0f}"


@pytest.mark.parametrize(
    ("validated", "devices", "passes"),
    [(0, 1, 0), (200, 1, 400), (2000, 1, 2512), (2000, 4, 1000), (4000, 4, 1512)],
)
def test_validations_take_time(validated: int, devices: int, passes: int) -> None:
    """Each process sees its share once, and the first 512 windows of it twice."""
    train = replace(CPU, batch_size=64, validate_every=300)
    made = plan_of(windows=64_000.0, validated=validated, devices=devices, train=train)
    assert made.validations == (3 if validated else 0)
    assert made.seconds(2.0) == pytest.approx((64_000 * 0.1 / devices + 3 * 0.02 * passes) / 2)
    few = replace(train, validate_every=10**6)
    assert plan_of(windows=64_000.0, validated=5, train=few).validations == 1
    assert plan_of(validated=5, train=replace(train, validate_every=0)).validations == 0


def test_times_and_sizes_are_told_in_a_unit_that_fits() -> None:
    told = [duration(s) for s in (0.5, 119.0, 150.0, 7190.0, 9000.0, 172_000.0, 2e5, 1e9)]
    assert told == [
        *("0.5 seconds", "119 seconds", "2.5 minutes", "120 minutes"),
        *("2.5 hours", "47.8 hours", "2.31 days", "11,574 days"),
    ]
    assert (
        describe(plan_of(), 5.0, Corpus())["time"] == "10 seconds on 1 device as fast as this one"
    )
    assert [size(n) for n in (950.0, 2.5e6, 1e9, 4.627e9)] == [
        "0.95 kB",
        "2.5 MB",
        "1 GB",
        "4.63 GB",
    ]


@pytest.mark.parametrize("most", [None, 4, 5, 1000])
def test_a_validation_is_planned_as_it_is_measured(place: Path, most: int | None) -> None:  # noqa: F811
    given = replace(mixture(place), validation_windows=most)
    aside = divide(sources := sources_of(given), given.validation, 3).validation
    held_out = validation_batches(sources, aside, given, 2)
    counted = sum(len(held_out[i].signal) for i in range(len(held_out)))
    assert validated_of(aside, given, Corpus()) == counted
    assert counted <= 2 * (most or 1000)


def test_memory_grows_with_the_windows_and_shrinks_with_shared_weights() -> None:
    one = plan_of()
    assert one.memory == 12_000 + 16e6
    assert plan_of(devices=4).memory == one.memory + 4_000  # gradients on their way
    shared = plan_of(devices=4, train=replace(CPU, strategy="fsdp"))
    assert shared.memory == one.memory - 3 / 4 * 4 * 4_000 + 4 * 400
    assert plan_of(at_once=1).memory == 12_000 + 1e6


def test_a_mixture_is_planned_as_it_is_trained(place: Path) -> None:  # noqa: F811
    model = transformer(place)
    data = mixture(place, blocks=2)
    train = replace(CPU, epochs=2.0, batch_size=8)
    made = draw_up(model, data, tokenizer=None, train=train, seed=3, corpus=Corpus())
    assert [(p.name, p.window.n_channels, p.window.sfreq) for p in made.parts] == [
        ("wide", 19, 200.0),
        ("narrow", 16, 100.0),
    ]
    assert [part.share for part in made.parts] == pytest.approx([0.25, 0.75])
    wide, narrow = (part.cost for part in made.parts)
    assert made.flops == pytest.approx(0.25 * wide.flops + 0.75 * narrow.flops)
    assert wide.flops > 1.5 * narrow.flops
    assert made.rate == pytest.approx(1 / (0.25 * wide.seconds + 0.75 * narrow.seconds))
    assert made.at_once == 4
    # 3 of 4 subjects are trained on in each data set, two recordings of 12 s each.
    assert made.windows == round(2 * (2 * 3 * 2 * 12.0) / 2.0 / 8) * 8
    assert "narrow, 16 ch" in describe(made, 2.0, Corpus())


def test_what_does_not_fit_is_refused(place: Path) -> None:  # noqa: F811
    model, given = transformer(place), mixture(place)
    gone = replace(given, store=place / "not-yet.zarr")
    with pytest.raises(UsageError, match=r"There is no store .*not-yet\.zarr"):
        draw_up(model, gone, tokenizer=None, train=CPU, seed=0, corpus=Corpus())
    with pytest.raises(UsageError, match="cannot be shared evenly"):
        draw_up(model, given, tokenizer=None, train=CPU, seed=0, corpus=Corpus(devices=3))


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("train.validate_every=-5", "at least 1, or 0 for none"),
        ("data.validation_windows=0", "at least 1"),
        ("data.validation=1.0", "below 1"),
        ("data.validation=-0.5", "at least 0"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "pretrain"])
def test_validations_that_cannot_be_are_refused(
    verb: str, option: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"model": FAMILIES["FEMBA"], "data": {"store": "not-yet.zarr"}, "train": SHORT}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    given = [f"--config={tmp_path / 'run.yaml'}", f"--out={tmp_path / 'run'}", f"--{option}"]
    assert main([verb, *given]) == 2
    told = capsys.readouterr()
    name, value = option.split("=")
    assert f"{name} is {value}" in told.err
    assert wanted in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("name", ["hours", "epochs", "devices", "speedup"])
def test_a_corpus_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"corpus.{name} is 0"):
        Corpus(**{name: 0 if name == "devices" else 0.0})


# ------------------------------------------------------------------ docs/scaling.md

DOCS = (ROOT / "docs" / "scaling.md").read_text().splitlines()


def row(name: str, nth: int) -> list[str]:
    """Return the cells of a model's row in the n-th table that has one."""
    return [line.split(" | ") for line in DOCS if line.startswith(f"| `{name}` |")][nth]


@pytest.fixture(scope="module")
def scaling() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield import_module("scaling")


def test_the_documented_tables_are_what_the_program_prints(scaling: ModuleType) -> None:
    names = ["tfm-encoder", "patch-transformer"]
    printed = [line for line in scaling.lines(names, scaling.Assumed()) if line]
    assert len(printed) == 8
    assert set(printed) <= set(DOCS)


@pytest.mark.parametrize("name", ["femba-tiny", "femba-base", "eegdm", "tfm"])
def test_the_documented_parameters_are_the_models_own(name: str) -> None:
    objective = load_model(configs() / "models" / f"{name}.yaml").build(0)
    assert row(name, 0)[1] == f"{count_parameters(objective):,}"


def test_documented_days_follow_from_the_documented_operations(scaling: ModuleType) -> None:
    for name in scaling.MODELS:
        _, _, window, flops, _ = row(name, 0)
        seconds = float(window.split()[0])
        least, most = (float(x.replace(",", "")) for x in row(name, 1)[1].split(" – "))
        whole = 1e6 * 3600 / seconds * float(flops.removesuffix(" G")) * 1e9 / 312e12 / 86400
        assert (least, most) == pytest.approx((whole / 0.4, whole / 0.05), rel=0.06)
