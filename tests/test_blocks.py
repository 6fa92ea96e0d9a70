"""Blocks computed again or compiled, other precisions, and the share of a peak: same training, other cost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import windows
from lightning.pytorch.callbacks import Callback
from test_learning import HELD_OUT, TRAIN, Noise, assert_same_weights, masked_codes, reconstruction
from torch import nn

from brainfm.contracts import Objective
from brainfm.errors import UsageError
from brainfm.layers.attention import Attention
from brainfm.layers.flops import count_flops
from brainfm.learning.blocks import compiled, recomputed
from brainfm.learning.loop import Loop, fit
from brainfm.learning.utilisation import Utilisation, find_peak


def kept(objective: Objective) -> int:
    """Return how many bytes the forward pass keeps for the backward pass."""
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(windows(8, n_times=1000), torch.Generator().manual_seed(0))
    return sum(sizes.values())


def test_blocks_that_are_computed_again_give_the_same_to_the_bit() -> None:
    trained = []
    for again in (False, True):
        objective = masked_codes()  # has dropout
        fit(objective, Noise(), train=replace(TRAIN, recompute=again), seed=1, validation=HELD_OUT)
        assert not any("forward" in vars(m) for m in objective.modules())
        trained.append(objective)
    assert_same_weights(*trained)


def test_blocks_that_are_computed_again_keep_less() -> None:
    objective = masked_codes()
    plain = kept(objective)
    with recomputed(objective):
        less = kept(objective)
    assert less < 0.6 * plain
    assert kept(objective) == plain


@pytest.mark.parametrize("option", ["recompute", "compile"])
def test_an_objective_without_blocks_says_so(option: str) -> None:
    with pytest.raises(UsageError, match=f"train.{option} works on the blocks of a backbone"):
        fit(reconstruction(), Noise(), train=replace(TRAIN, **{option: True}), seed=1)


@pytest.mark.filterwarnings("ignore:.*script_method")  # of PyTorch's own modules
def test_without_a_compiler_nothing_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    objective = masked_codes()
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="needs a C\\+\\+ compiler"), compiled(objective):
        pass
    monkeypatch.undo()
    with compiled(objective):
        assert all(b._compiled_call_impl is not None for b in objective.backbone.stages())
    assert all(b._compiled_call_impl is None for b in objective.backbone.stages())


def test_compiled_blocks_learn_the_same() -> None:
    """In a process without the tests' checks of types, which torch.compile cannot read."""
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("no C++ compiler is installed")
    program = Path(__file__).with_name("compiling.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["family"] for row in rows] == ["femba", "eegdm", "patches"]
    for row in rows:
        assert row["compiled_graphs"] > 0
        np.testing.assert_allclose(row["compiled"], row["plain"], rtol=1e-5)


def test_half_precision_learns_nearly_the_same(tmp_path: Path) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        train = replace(TRAIN, precision=precision, log_every=1, validate_every=0)
        (tmp_path / precision).mkdir()
        fit(masked_codes(), Noise(), train=train, seed=1, out=tmp_path / precision)
        table = pd.read_csv(tmp_path / precision / "metrics.csv")
        losses.append(table["loss"].to_numpy())
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert not np.array_equal(*losses)


def test_float16_is_not_taken_for_another_where_there_is_no_gpu(tmp_path: Path) -> None:
    train = replace(TRAIN, precision="16-mixed", accelerator="cpu")
    with pytest.raises(UsageError, match="16-mixed needs a GPU"):
        fit(masked_codes(), Noise(), train=train, seed=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mfu_is_operations_over_seconds_and_peak() -> None:
    one = Utilisation(1e12)
    assert one.share(5_000_000_000, 2.0) == {"mfu": pytest.approx(0.0025)}
    assert Utilisation(None).share(1, 1.0) == {}
    part, layer = windows(2), torch.nn.Linear(1000, 5)
    one.count(part, lambda: {"loss": layer(part.signal).sum()})
    assert one.of(part) == 2 * 2 * 3 * 1000 * 5
    again = one.count(part, lambda: {"loss": layer(layer.weight.new_zeros(1000)).sum()})
    assert one.of(part) == 2 * 2 * 3 * 1000 * 5  # a shape is counted once
    assert set(again) == {"loss"}


def of_linear(n_in: int, n_out: int, rows: int) -> int:
    """Forward, and backward as much for the weights and as much for the input."""
    return 3 * 2 * rows * n_in * n_out


def test_operations_of_attention_are_those_counted_by_hand() -> None:
    """Two batched products forward and four backward; the scores' second computation is no work."""
    rows, tokens, others, heads, dim, context = 2, 7, 5, 3, 12, 10
    layer = Attention(dim, context, heads=heads)
    x, y = torch.randn(rows, tokens, dim), torch.randn(rows, others, context)
    given = [one.requires_grad_() for one in (x, y)]
    flops = count_flops(lambda: layer(*given).sum().backward())[1]
    maps = 2 * of_linear(dim, dim, rows * tokens) + 2 * of_linear(context, dim, rows * others)
    assert flops == maps + 6 * 2 * rows * tokens * others * dim


@pytest.mark.parametrize("around", [None, nullcontext])
def test_what_is_computed_again_does_not_count(
    monkeypatch: pytest.MonkeyPatch, around: type[nullcontext] | None
) -> None:
    """Of a map and what needs its output, the map has to be computed again."""
    part, objective, one = windows(3, n_channels=2, n_times=50), masked_codes(), Utilisation(1e12)
    block = nn.Sequential(nn.Linear(50, 20), nn.Tanh())
    monkeypatch.setattr(objective.backbone, "stages", lambda: [block])

    def compute() -> dict[str, torch.Tensor]:
        loss = block(part.signal.requires_grad_()).square().mean()
        loss.backward()
        return {"loss": loss}

    with recomputed(objective, around or one.counter.left_out):
        one.count(part, compute)
    by_hand = of_linear(50, 20, rows=3 * 2)
    assert one.of(part) == (by_hand if around is None else by_hand * 4 // 3)


@pytest.mark.parametrize("again", [False, True])
def test_the_share_of_a_peak_is_the_same_for_blocks_that_are_computed_again(again: bool) -> None:
    counted = []

    class Seen(Callback):
        def on_train_end(self, trainer: object, loop: Loop) -> None:
            counted.extend(loop.flops.known.values())

    train = replace(TRAIN, recompute=again, peak_flops=1e12, steps=1, validate_every=0)
    fit(masked_codes(), Noise(), train=train, seed=1, callbacks=(Seen(),))
    part, objective = Noise()[0], masked_codes()

    def compute() -> None:
        objective(part, torch.Generator().manual_seed(0))["loss"].backward()

    assert counted == [pytest.approx(count_flops(compute)[1], rel=1e-3)]


def test_a_known_peak_makes_a_column_and_changes_nothing(tmp_path: Path) -> None:
    trained = []
    for peak in (None, 1e10):
        objective, out = masked_codes(), tmp_path / str(peak)
        options = replace(TRAIN, peak_flops=peak, validate_every=0)
        fit(objective, Noise(), train=options, seed=1, out=out)
        trained.append(objective)
    assert_same_weights(*trained)
    assert "mfu" not in pd.read_csv(tmp_path / "None" / "metrics.csv")
    assert (pd.read_csv(tmp_path / "10000000000.0" / "metrics.csv")["mfu"] > 0).all()


def test_peaks_are_those_of_the_data_sheets() -> None:
    assert find_peak("NVIDIA H100 80GB HBM3", "bf16-mixed") == 989e12
    assert find_peak("NVIDIA H100 PCIe", "bf16-mixed") == 756e12
    assert find_peak("NVIDIA A100-SXM4-40GB", "32-true") == 19.5e12
    assert find_peak("a device of tomorrow", "32-true") is None
