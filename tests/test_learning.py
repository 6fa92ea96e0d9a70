"""The loop: stopped anywhere and resumed it gives what an uninterrupted run gives."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import windows
from lightning.pytorch.callbacks import Callback
from test_contracts import EXAMPLES, small_backbone, small_tokenizer
from torch import nn
from torch.utils.data import Dataset

from brainfm.contracts import Batch
from brainfm.errors import UsageError, WorkError
from brainfm.learning import Train
from brainfm.learning.callbacks import SPEED
from brainfm.learning.draws import TRAINING, VALIDATION, draw_seed
from brainfm.learning.health import BANDS, feature_rank
from brainfm.learning.lamb import Lamb
from brainfm.learning.loop import fit
from brainfm.learning.outcome import BestState
from brainfm.objectives import MaskedCodes, MotifReconstruction
from brainfm.tokenizers import Frozen

TRAIN = Train(
    steps=10,
    batch_size=2,
    warmup=3,
    validate_every=4,
    log_every=3,
    checkpoint_every=2,
    accelerator="cpu",
)


class Noise(Dataset):
    """Item n is noise drawn from n."""

    def __init__(self, sizes: tuple[int, ...] | None = None, first: int = 0):
        self.sizes, self.first = sizes, first

    def __len__(self) -> int:
        return len(self.sizes or ())

    def __getitem__(self, index: int) -> Batch:
        if self.sizes is not None and index >= len(self.sizes):
            raise IndexError(index)
        n = 2 if self.sizes is None else self.sizes[index]
        return windows(n, n_channels=2, n_times=500, seed=self.first + index)


HELD_OUT = Noise((3, 1), first=1000)


def reconstruction(seed: int = 0) -> MotifReconstruction:
    torch.manual_seed(seed)
    return MotifReconstruction(small_tokenizer())


def masked_codes(seed: int = 0) -> MaskedCodes:
    torch.manual_seed(seed)
    return MaskedCodes(Frozen(small_tokenizer()), small_backbone())


class Killed(Exception):
    """What a test throws at a training."""


class KillAt(Callback):
    """Breaks off at the n-th call of a hook."""

    def __init__(self, hook: str, n: int):
        self.left = n
        setattr(self, hook, self.strike)

    def strike(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


def metrics(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "metrics.csv")
    return table.drop(columns=list(SPEED))


def assert_same_weights(first: nn.Module, other: nn.Module) -> None:
    ours, theirs = first.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def differ(first: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return any(not torch.equal(v, theirs[k]) for k, v in first.state_dict().items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotifReconstruction, Path]:
    """One training that nothing interrupted."""
    objective, out = reconstruction(), tmp_path_factory.mktemp("whole")
    fit(objective, Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=out)
    return objective, out


# One kill at every kind of moment: before the first checkpoint, after one, at one that falls on a
# validation, before and in the middle of that validation, at the start of a step, at the very end.
KILLS = [
    ("on_train_batch_end", 1),
    ("on_train_batch_end", 3),
    ("on_train_batch_end", 4),
    ("on_validation_start", 1),
    ("on_validation_batch_end", 3),
    ("on_validation_end", 1),
    ("on_train_batch_start", 9),
    ("on_train_batch_end", 10),
]


@pytest.mark.parametrize(("hook", "n"), KILLS)
def test_a_killed_training_ends_as_if_it_had_not_been(
    whole: tuple[MotifReconstruction, Path], tmp_path: Path, hook: str, n: int
) -> None:
    options = {"train": TRAIN, "seed": 1, "validation": HELD_OUT, "out": tmp_path}
    with pytest.raises(Killed):
        fit(reconstruction(), Noise(), callbacks=(KillAt(hook, n),), **options)
    again = reconstruction()
    fit(again, Noise(), **options)
    assert_same_weights(again, whole[0])
    pd.testing.assert_frame_equal(metrics(tmp_path), metrics(whole[1]), check_exact=True)


def test_a_finished_training_that_is_called_again_changes_nothing(
    whole: tuple[MotifReconstruction, Path], tmp_path: Path
) -> None:
    (tmp_path / "last.ckpt").write_bytes((whole[1] / "last.ckpt").read_bytes())
    again = reconstruction(seed=5)
    fit(again, Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=tmp_path)
    assert_same_weights(again, whole[0])


def test_the_best_state_survives_a_kill(tmp_path: Path) -> None:
    class Rising(MaskedCodes):
        """Its validation loss only ever grows, so the first validation is the best."""

        calls = 0

        def forward(self, batch, generator):
            terms = super().forward(batch, generator)
            if not self.training:
                Rising.calls += 1
                terms["loss"] = terms["loss"].detach() * 0 + Rising.calls
            return terms

    def objective() -> Rising:
        torch.manual_seed(0)
        return Rising(Frozen(small_tokenizer()), small_backbone())

    options = {"train": replace(TRAIN, validate_every=2), "seed": 1, "validation": HELD_OUT}
    best, plain = BestState(), objective()
    fit(plain, Noise(), callbacks=(best,), **options)
    assert best.step == 2
    killer = KillAt("on_train_batch_end", 7)
    with pytest.raises(Killed):
        fit(objective(), Noise(), callbacks=(BestState(), killer), out=tmp_path, **options)
    best, again = BestState(), objective()
    fit(again, Noise(), callbacks=(best,), out=tmp_path, **options)
    assert best.step == 2
    assert_same_weights(again, plain)


def test_metrics_have_a_row_every_so_many_steps(whole: tuple[MotifReconstruction, Path]) -> None:
    table = pd.read_csv(whole[1] / "metrics.csv")
    measures = ["loss", "reconstruction", "commitment", "perplexity"]
    named = [*measures, *(f"val/{name}" for name in measures)]
    health = ["feature_rank", "code_entropy", "dead_codes", *(f"unexplained_{b}" for b in BANDS)]
    named += [f"val/{name}" for name in health]
    assert set(table) == {"step", "lr", "grad_norm", "padding", *SPEED, *named}
    assert table.loc[table["val/feature_rank"].notna(), "step"].tolist() == [4, 8]
    assert next(iter(table)) == "step"
    assert table["step"].tolist() == [3, 4, 6, 8, 9, 10]
    assert table.loc[table["val/loss"].notna(), "step"].tolist() == [4, 8]
    assert table.loc[table["loss"].notna(), "step"].tolist() == [3, 6, 9, 10]


def test_a_row_is_the_mean_over_its_steps(
    whole: tuple[MotifReconstruction, Path], tmp_path: Path
) -> None:
    every = replace(TRAIN, log_every=1, validate_every=0)
    fit(reconstruction(), Noise(), train=every, seed=1, out=tmp_path)
    single = metrics(tmp_path)["loss"]
    assert metrics(whole[1])["loss"].iloc[0] == pytest.approx(single[:3].mean())


def test_same_seed_same_numbers_other_seed_other_numbers(
    whole: tuple[MotifReconstruction, Path],
) -> None:
    for seed, same in ((1, True), (2, False)):
        again = reconstruction()
        fit(again, Noise(), train=TRAIN, seed=seed, validation=HELD_OUT)
        assert differ(again, whole[0]) is not same


def test_validation_measures_but_changes_nothing(whole: tuple[MotifReconstruction, Path]) -> None:
    again = reconstruction()
    fit(again, Noise(), train=TRAIN, seed=1)
    assert_same_weights(again, whole[0])


def test_validation_is_the_mean_over_windows_with_the_same_masks_each_time(tmp_path: Path) -> None:
    objective = masked_codes()
    options = replace(TRAIN, lr=1e-12, final_lr=0.0, steps=4, validate_every=2)
    fit(objective, Noise(), train=options, seed=7, validation=HELD_OUT, out=tmp_path)
    losses = metrics(tmp_path)["val/loss"].dropna().tolist()
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    objective.eval()
    total = 0.0
    for index, size in enumerate(HELD_OUT.sizes):
        generator = torch.Generator().manual_seed(draw_seed(7, VALIDATION, index))
        total += size * float(objective(HELD_OUT[index], generator)["loss"].detach())
    assert losses[0] == pytest.approx(total / sum(HELD_OUT.sizes), rel=1e-5)


def test_no_two_steps_share_their_random_numbers() -> None:
    drawn = {
        draw_seed(seed, stream, step)
        for seed in range(5)
        for stream in (TRAINING, VALIDATION)
        for step in range(200)
    }
    assert len(drawn) == 2000


def test_the_global_generator_is_left_alone() -> None:
    objective = masked_codes()
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    fit(objective, Noise(), train=replace(TRAIN, steps=2), seed=1, validation=HELD_OUT)
    assert torch.equal(torch.random.get_rng_state(), before)


class Weights(Callback):
    """Remembers the weights after every step, and what each validation found."""

    def __init__(self) -> None:
        self.after, self.losses = [], []

    def on_train_batch_end(self, trainer: object, loop: object, *_: object) -> None:
        self.after.append(
            [p.detach().clone() for p in loop.objective.parameters() if p.requires_grad]
        )

    def on_validation_end(self, trainer: object, loop: object) -> None:
        self.losses.append(loop.validation["loss"])


def test_averaged_weights_are_measured_and_kept() -> None:
    seen, train = Weights(), replace(TRAIN, average=0.6, steps=8)
    objective = masked_codes()
    fit(objective, Noise(), train=train, seed=1, validation=HELD_OUT, callbacks=(seen,))
    mean = seen.after[0]
    for step, new in enumerate(seen.after[1:], 1):
        past = min(0.6, 1 - (1 + step) ** (-2 / 3))
        mean = [past * m + (1 - past) * n for m, n in zip(mean, new, strict=True)]
    trained = [p for p in objective.parameters() if p.requires_grad]
    for ours, wanted in zip(trained, mean, strict=True):
        torch.testing.assert_close(ours.detach(), wanted)
    generators = [torch.Generator().manual_seed(draw_seed(1, VALIDATION, i)) for i in range(2)]
    with torch.no_grad():
        terms = [objective.eval()(HELD_OUT[i], generators[i])["loss"] for i in range(2)]
    assert seen.losses[-1] == pytest.approx(float(3 * terms[0] + terms[1]) / 4, rel=1e-5)


def test_averaged_and_killed_it_goes_on_and_the_best_average_is_kept(tmp_path: Path) -> None:
    options = {"train": replace(TRAIN, average=0.9), "seed": 1, "validation": HELD_OUT}
    whole, again, best = masked_codes(), masked_codes(), BestState()
    fit(whole, Noise(), out=tmp_path / "whole", callbacks=(best,), **options)
    assert all(torch.equal(v, best.state[k]) for k, v in whole.state_dict().items())
    strike = (KillAt("on_train_batch_end", 7), BestState())
    with pytest.raises(Killed):
        fit(masked_codes(), Noise(), out=tmp_path / "cut", callbacks=strike, **options)
    fit(again, Noise(), out=tmp_path / "cut", callbacks=(BestState(),), **options)
    assert_same_weights(again, whole)


def test_learning_rates_are_the_textbook_s() -> None:
    train = Train(steps=110, warmup=10, lr=1e-3, final_lr=1e-5)
    golden = {0: 1e-4, 4: 5e-4, 9: 1e-3, 10: 1e-3, 60: 5.05e-4, 110: 1e-5, 500: 1e-5}
    for step, lr in golden.items():
        assert train.lr * train.rate(step) == pytest.approx(lr, rel=1e-9), step
    rising = replace(train, final_lr=5e-3)  # as TFM-Tokenizer's configuration is shipped
    assert rising.lr * rising.rate(110) == pytest.approx(5e-3)
    assert Train(steps=10, warmup=0).rate(0) == pytest.approx(1.0)


def test_the_loop_follows_the_schedule(tmp_path: Path) -> None:
    train = replace(TRAIN, log_every=1)
    fit(masked_codes(), Noise(), train=train, seed=0, out=tmp_path)
    # A row says what the next step will use.
    wanted = [train.lr * train.rate(step) for step in range(1, 11)]
    np.testing.assert_allclose(metrics(tmp_path)["lr"], wanted, rtol=1e-12)


def test_what_makes_a_state_space_s_dynamics_does_not_decay() -> None:
    for name, objective in (("BiMamba", "MaskedRectangles"), ("S4D", "Diffusion")):
        module = EXAMPLES[objective]()
        groups = Train(weight_decay=0.3).optimizer(module).param_groups
        decayed = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
        spared = {n for n, p in module.named_parameters() if p.ndim > 1 and id(p) not in decayed}
        ends = {n.rsplit(".", maxsplit=1)[-1] for n in spared if "average" not in n}
        wanted = {"BiMamba": {"A_log"}, "S4D": {"log_decay", "frequency", "B"}}
        assert ends == wanted[name]


def test_learning_rates_fall_from_block_to_block() -> None:
    objective = masked_codes()
    groups = Train(lr=1.0, layer_decay=0.75).optimizer(objective).param_groups
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    backbone = objective.backbone
    assert rates[id(objective.predict.weight)] == groups[0]["lr"] == 1
    assert rates[id(backbone.transformer.blocks[1].norm1.weight)] == 0.75
    assert rates[id(backbone.transformer.blocks[0].feed[0].weight)] == 0.75**2
    assert rates[id(backbone.code.weight)] == rates[id(backbone.cls)] == 0.75**3
    one = Train(lr=1.0).optimizer(objective).param_groups
    assert {g["lr"] for g in one} == {1.0}
    with pytest.raises(UsageError, match=r"train.layer_decay is 0"):
        Train(layer_decay=0.0)


def test_milestones_take_the_place_of_the_cosine() -> None:
    train = Train(steps=100, warmup=10, milestones=(40, 80))
    golden = {4: 0.5, 10: 1.0, 39: 1.0, 40: 0.1, 80: 0.01, 99: 0.01}
    for step, rate in golden.items():
        assert train.rate(step) == pytest.approx(rate)


def test_lamb_is_its_formula_and_goes_on_from_its_state() -> None:
    w, grads = np.array([3.0, -4.0]), [np.array([0.5, 1.0]), np.array([-2.0, 0.25])]
    parameter = nn.Parameter(torch.tensor(w))
    options = {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.01}
    optimizer, m, v = Lamb([parameter], **options), 0.0, 0.0
    for t, g in enumerate(grads, 1):
        parameter.grad = torch.tensor(g)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        r = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-6) + 0.01 * w
        w = w - 0.1 * np.linalg.norm(w) / np.linalg.norm(r) * r
        np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-10)
        again = Lamb([parameter], **options)
        again.load_state_dict(optimizer.state_dict())
        optimizer = again


def test_lamb_moves_what_is_zero() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.ones(3)
    Lamb([parameter], lr=0.1).step()
    assert (parameter < 0).all()


def test_only_matrices_decay() -> None:
    objective = masked_codes()
    groups = Train(weight_decay=0.3).optimizer(objective).param_groups
    decayed = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
    every = {id(p) for g in groups for p in g["params"]}
    for name, parameter in objective.named_parameters():
        assert (id(parameter) in every) is parameter.requires_grad, name
        matrix = parameter.requires_grad and parameter.ndim >= 2
        assert (id(parameter) in decayed) is matrix, name
    assert {g["weight_decay"] for g in groups} == {0.3, 0.0}


def test_a_loss_that_is_no_number_is_named_with_its_recordings(tmp_path: Path) -> None:
    class Spoilt(Noise):
        def __getitem__(self, index: int) -> Batch:
            batch = super().__getitem__(index)
            bad = torch.full_like(batch.signal, torch.nan)
            return replace(batch, signal=bad) if index == 3 else batch

    with pytest.raises(WorkError, match=r"nan at step 3, .*'recording 0', 'recording 1'"):
        fit(reconstruction(), Spoilt(), train=TRAIN, seed=0, out=tmp_path)


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_validation_that_meets_no_number_is_named_with_its_recordings(
    tmp_path: Path, average: float | None
) -> None:
    """The step before has blown the weights up, and the checkpoint is from before it."""
    options = replace(TRAIN, warmup=0, lr=1e30, validate_every=1, checkpoint_every=1, clip=None)
    with pytest.raises(
        WorkError, match=r"validation loss became (nan|inf) at step 1, .*'recording 0', 'record"
    ):
        fit(
            reconstruction(),
            Noise(),
            train=replace(options, average=average),
            seed=0,
            validation=HELD_OUT,
            out=tmp_path,
        )
    assert not (tmp_path / "last.ckpt").exists()


def test_features_that_are_no_numbers_have_no_rank() -> None:
    features = torch.randn(5, 3)
    features[2, 1] = torch.inf
    assert math.isnan(feature_rank(features))


def test_ctrl_c_reaches_the_caller() -> None:
    class Press(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(masked_codes(), Noise(), train=TRAIN, seed=0, callbacks=(Press(),))
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("name", ["steps", "batch_size", "log_every", "checkpoint_every"])
def test_options_below_one_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"train.{name} is 0"):
        Train(**{name: 0})


@pytest.mark.parametrize("slow", [False, True])
def test_a_profile_says_what_limits_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], slow: bool
) -> None:
    class Read(Noise):
        def __getitem__(self, index: int) -> Batch:
            time.sleep(0.6 if slow else 0)
            return super().__getitem__(index)

    plain, traced = masked_codes(), masked_codes()
    fit(plain, Noise(), train=replace(TRAIN, validate_every=0), seed=1)
    options = replace(TRAIN, validate_every=0)
    fit(traced, Read(), train=options, seed=1, out=tmp_path, profile=True)
    assert_same_weights(traced, plain)
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    told = capsys.readouterr().out
    assert ("waits for data" if slow else "limited by computation") in told
    assert ("aten::" in told) is not slow
