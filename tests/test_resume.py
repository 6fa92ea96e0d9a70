"""A training that is killed, cut short on disk or out of space goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, windows
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from killing import END
from test_learning import (
    HELD_OUT,
    TRAIN,
    KillAt,
    Killed,
    Noise,
    assert_same_weights,
    masked_codes,
    metrics,
    reconstruction,
)
from test_pipeline import RECIPE, TOKENIZER, task

from brainfm.cli import main
from brainfm.contracts import Batch
from brainfm.errors import UsageError, WorkError
from brainfm.learning.callbacks import SPEED
from brainfm.learning.checkpoint import LAST, PREVIOUS, SEAL, WholeFiles, find_checkpoint, is_whole
from brainfm.learning.health import BANDS
from brainfm.learning.loop import Loop, fit
from brainfm.learning.processes import Process
from brainfm.learning.shares import Dealer, Feed
from brainfm.recordings.synthetic import CH_NAMES, synthesise, write_edf
from brainfm.weights import load, save

STEPS, KILLS = 20, {"pretrain": 10, "finetune": 5, "averaged": 1}
SHORT = {
    "steps": STEPS,
    "batch_size": 2,
    "warmup": 2,
    "validate_every": 5,
    "log_every": 3,
    "checkpoint_every": 2,
    "accelerator": "cpu",
}
FAMILIES = {
    "motif tokenizer": {"tokenizer": TOKENIZER, "objective": "MotifReconstruction"},
    "masked codes": {
        "tokenizer": {"class_path": "Frozen", "init_args": {"tokenizer": TOKENIZER}},
        "backbone": {
            "class_path": "MotifEncoder",
            "init_args": {"vocabulary": 32, "n_channels": 19, "depth": 1},
        },
        "objective": "MaskedCodes",
    },
    "FEMBA": {
        "tokenizer": {
            "class_path": "MontagePatches",
            "init_args": {
                "width": 8,
                "ch_names": list(CH_NAMES),
                "n_times": 400,
                "sfreq": 200.0,
                "patch": [19, 20],
            },
        },
        "backbone": {
            "class_path": "BiMamba",
            "init_args": {"depth": 1, "d_state": 4, "expand": 2, "scan": "torch"},
        },
        "objective": "MaskedRectangles",
    },
    "patch transformer": {
        "tokenizer": {"class_path": "Patches", "init_args": {"dim": 16}},
        "backbone": {
            "class_path": "PatchTransformer",
            "init_args": {"width": 16, "depth": 1, "heads": 2},
        },
        "objective": "MaskedSignal",
    },
    "EEGDM": {
        "tokenizer": {"class_path": "MuLawPatches", "init_args": {"patch": 200}},
        "backbone": {
            "class_path": "StateSpaceDenoiser",
            "init_args": {"width": 8, "depth": 1, "state": 4, "condition": 8, "code": 8},
        },
        # Averages from the second step on, so that the average is part of what must go on.
        "objective": {
            "class_path": "Diffusion",
            "init_args": {"samples": 8, "start": 2, "every": 2},
        },
    },
}


FURTHER = ("averaged", "finetune")  # their last step's weights are not those that are kept


def write(path: Path, config: dict[str, object]) -> str:
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of planted recordings, a trained tokenizer, and what every family gives uninterrupted."""
    folder = tmp_path_factory.mktemp("resume")
    for recording in synthesise(4, seconds=12.0, seed=1):
        write_edf(recording, folder / "raw")
    recipe = write(folder / "recipe.yaml", RECIPE)
    raw, store = str(folder / "raw"), f"--store={folder / 'store.zarr'}"
    assert main(["ingest", raw, store, f"--recipe={recipe}"]) == 0
    for family in (*FAMILIES, *FURTHER):
        assert main(command(folder, family, "whole")) == 0
    return folder


def command(folder: Path, family: str, name: str) -> list[str]:
    """Return a family's training, into a folder of its own."""
    out = f"--out={folder / name / family}"
    if family == "finetune":
        config = {"task": task(folder / "store.zarr"), "split": {"validation": 0.5}}
        config |= {"train": SHORT | {"batch_size": 4}}
        given = write(folder / "finetune.yaml", config)
        checkpoint = f"--checkpoint={folder / 'whole' / 'masked codes'}"
        return ["finetune", "--config", given, checkpoint, "--adaptation=full", out]
    data = {"store": str(folder / "store.zarr"), "seconds": 2.0, "validation": 0.25}
    more = [out, "--train.average=0.9"] if family == "averaged" else [out]
    model = FAMILIES.get(family, FAMILIES["patch transformer"])
    config = {"model": model, "data": data, "train": SHORT, "seed": 3}
    if family == "masked codes":
        more.append(f"--tokenizer={folder / 'whole' / 'motif tokenizer'}")
    return ["pretrain", "--config", write(folder / f"{family}.yaml", config), *more]


def same(first: Path, other: Path) -> None:
    """Check that two runs are alike to the last bit."""
    ours, theirs = ((f / "model" / "model.safetensors").read_bytes() for f in (first, other))
    assert ours == theirs
    tables = (pd.read_csv(f / "metrics.csv").drop(columns=list(SPEED)) for f in (first, other))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_every_family_s_log_tells_its_health(place: Path) -> None:
    codes = {"val/code_entropy", "val/dead_codes"}
    drawn = {f"val/unexplained_{band}" for band in BANDS}
    told = {"motif tokenizer": codes | drawn, "masked codes": codes}
    for family in FAMILIES:
        table = pd.read_csv(place / "whole" / family / "metrics.csv").dropna(subset="val/loss")
        columns = {"val/feature_rank"} | told.get(family, drawn)
        assert table["step"].tolist() == [5, 10, 15, 20]
        assert np.isfinite(table[sorted(columns)]).all(axis=None), family
        assert not (codes | drawn) - columns & set(table.columns), family
        assert (table["val/feature_rank"] >= 1).all()


def test_every_family_killed_at_ten_random_steps_ends_as_if_it_had_not_been(place: Path) -> None:
    """And twice between the last step and the manifest."""
    rng = random.Random(7)
    families = (*FAMILIES, *FURTHER)
    jobs = []
    for family in families:
        n = KILLS.get(family, KILLS["pretrain"])
        strikes = [*sorted(rng.sample(range(STEPS), n)), END, END]
        jobs.append({"argv": command(place, family, "killed"), "strikes": strikes})
    (place / "jobs.json").write_text(json.dumps(jobs))
    harness = Path(__file__).parent / "killing.py"
    done = subprocess.run(
        [sys.executable, str(harness), str(place / "jobs.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    for family, job, outcome in zip(families, jobs, outcomes, strict=True):
        assert outcome["code"] == 0, (family, done.stderr)
        assert len(outcome["killed"]) == len(job["strikes"]), (family, outcome)
        same(place / "whole" / family, place / "killed" / family)
        left = {path.name for path in (place / "killed" / family).iterdir()}
        assert left == {path.name for path in (place / "whole" / family).iterdir()}


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A training that broke at step 9, with checkpoints of steps 6 and 8."""
    with pytest.raises(WorkError):
        fit(reconstruction(), Broken(), train=TRAIN, seed=1, validation=HELD_OUT, out=tmp_path)
    assert {LAST, PREVIOUS} <= {path.name for path in tmp_path.iterdir()}
    return tmp_path


class Broken(Noise):
    """Its tenth batch is no number."""

    def __getitem__(self, index: int) -> Batch:
        batch = super().__getitem__(index)
        return replace(batch, signal=batch.signal * torch.nan) if index == 9 else batch


def step_of(path: Path) -> int:
    return torch.load(path, weights_only=True)["global_step"]


def test_two_generations_are_kept_until_the_end(stopped: Path) -> None:
    assert [step_of(stopped / name) for name in (LAST, PREVIOUS)] == [8, 6]
    fit(reconstruction(), Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    left = {path.name for path in stopped.iterdir() if path.is_file()}
    assert left == {LAST, "metrics.csv"}


DAMAGE = {
    "cut to half": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "cut by its seal": lambda data: data[: data.rindex(SEAL)],
    "empty": lambda data: b"",
    "a flipped bit": lambda data: flip(data, len(data) // 2),
    "a flipped bit of the directory": lambda data: flip(data, data.rindex(b"PK\x01\x02") + 20),
    "zeros in the middle": lambda data: data[:5000] + bytes(4096) + data[9096:],
    "of another": lambda data: data[: data.rindex(SEAL)] + SEAL + bytes(32),
    "something after it": lambda data: data + b"\n",
}


def flip(data: bytes, place: int, bit: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint of many small tensors, so that most of it is directory."""
    path = tmp_path_factory.mktemp("sealed") / LAST
    many = {f"weight {i}": torch.full((1,), float(i)) for i in range(20)}
    WholeFiles().save_checkpoint({"global_step": 3, "state_dict": many}, path)
    assert torch.load(path, weights_only=True)["state_dict"].keys() == many.keys()
    return path.read_bytes()


def test_every_flipped_bit_of_headers_and_directory_is_recognised(
    sealed: bytes, tmp_path: Path
) -> None:
    directory = sealed.index(b"PK\x01\x02")  # what lists the tensors; the seal comes after it
    heads = [m.start() for m in re.finditer(rb"PK\x03\x04", sealed[:directory])]
    assert len(heads) > 20
    places = {*range(directory, len(sealed)), *(h + i for h in heads for i in range(30))}
    path = tmp_path / LAST
    for place in sorted(places):
        path.write_bytes(flip(sealed, place, place % 8))
        assert not is_whole(path), place
    path.write_bytes(sealed)
    assert is_whole(path)


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_cut_or_changed_is_recognised(
    sealed: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(sealed) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                sealed[:place],
                sealed[place + 1 :],
                flip(sealed, place, data.draw(st.integers(0, 7))),
                sealed[:place] + bytes(len(sealed) - place),
                sealed[:place] + data.draw(st.binary(min_size=1, max_size=4)) + sealed[place:],
            ]
        )
    )
    assume(damaged != sealed)
    (tmp_path / LAST).write_bytes(damaged)
    (tmp_path / PREVIOUS).write_bytes(sealed)
    assert find_checkpoint(tmp_path) == tmp_path / PREVIOUS


def test_a_file_that_would_run_a_program_is_not_loaded(stopped: Path, tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "it ran"),)

    whole = torch.load(stopped / LAST, weights_only=True)
    WholeFiles().save_checkpoint(whole | {"hidden": Program()}, stopped / LAST)
    with pytest.raises(pickle.UnpicklingError):
        fit(reconstruction(), Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    assert not (tmp_path / "it ran").exists()


def test_another_order_of_windows_is_not_gone_on_with(stopped: Path) -> None:
    class Ordered(Noise):
        order = "of other windows"

    before = (stopped / LAST).read_bytes()
    with pytest.raises(UsageError, match="on other windows, or on these in another order"):
        fit(reconstruction(), Ordered(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    assert (stopped / LAST).read_bytes() == before


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_whole_one_before_it(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = stopped / LAST
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(WorkError, match="at step 9"):
        fit(reconstruction(), Broken(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    assert [step_of(stopped / name) for name in (LAST, PREVIOUS)] == [8, 6]
    assert is_whole(last)
    assert is_whole(stopped / PREVIOUS)


def broken_off(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a command whose training breaks off at step 5, after a checkpoint of step 4."""
    plain = Loop.training_step

    def training_step(loop: Loop, *arguments: object) -> object:
        if loop.global_step == 5:
            raise KeyError("broken off")
        return plain(loop, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "training_step", training_step)
        assert main(argv) == 1


def replaced(place: Path, family: str, what: str) -> None:
    """Put others in the place of what a family reads: the recordings, or a model."""
    if what == "recordings":  # of the same names and lengths
        shutil.rmtree(place / "store.zarr")
        recipe = write(place / "other.yaml", RECIPE | {"unit_scale": 0.5, "unit_reason": "a test"})
        store = f"--store={place / 'store.zarr'}"
        assert main(["ingest", str(place / "raw"), store, f"--recipe={recipe}"]) == 0
    else:
        folder = place / "whole" / what / "model"
        model, card = load(folder)
        with torch.no_grad():
            next(model.parameters()).mul_(1.01)
        save(model, folder, card)


REPLACED = [
    ("patch transformer", "recordings", "training recordings and validation recordings"),
    ("finetune", "recordings", "training recordings and validation recordings"),
    ("masked codes", "motif tokenizer", "tokenizer"),
    ("finetune", "masked codes", "checkpoint"),
]


@pytest.mark.parametrize(("family", "what", "told"), REPLACED)
def test_a_run_does_not_go_on_with_what_was_put_in_the_place_of_what_it_read(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    family: str,
    what: str,
    told: str,
) -> None:
    shutil.copytree(place, copy := tmp_path / "copy")
    argv = command(copy, family, "run")
    broken_off(argv, monkeypatch)
    replaced(copy, family, what)
    capsys.readouterr()
    before = (copy / "run" / family / LAST).read_bytes()
    assert main(argv) == 2
    assert f"The {told} of this run changed since it began" in capsys.readouterr().err
    assert (copy / "run" / family / LAST).read_bytes() == before


def test_a_run_of_an_earlier_version_goes_on_and_says_what_is_not_known(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = command(place, "patch transformer", "earlier")
    broken_off(argv, monkeypatch)
    run = place / "earlier" / "patch transformer"
    kept = torch.load(run / LAST, weights_only=True)
    del kept["origin"]
    rows = kept["callbacks"]["MetricsFile"]
    rows["rows"] = [{"step": rows.pop("step")}]
    WholeFiles().save_checkpoint(kept, run / LAST)
    capsys.readouterr()
    assert main(argv) == 0
    told = "did not note its training recordings and validation recordings; it goes on"
    assert told in capsys.readouterr().err
    same(place / "whole" / "patch transformer", run)


@pytest.mark.parametrize("how", list(DAMAGE))
def test_a_damaged_checkpoint_is_recognised_and_the_one_before_it_taken(
    stopped: Path,
    tmp_path_factory: pytest.TempPathFactory,
    how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = stopped / LAST
    last.write_bytes(DAMAGE[how](last.read_bytes()))
    assert not is_whole(last)
    again = reconstruction()
    fit(again, Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    told = capsys.readouterr().err
    assert "last.ckpt is cut short or damaged; going back before it." in told
    whole, out = reconstruction(), tmp_path_factory.mktemp("whole")
    fit(whole, Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=out)
    assert_same_weights(again, whole)
    pd.testing.assert_frame_equal(metrics(stopped), metrics(out), check_exact=True)


def test_where_no_checkpoint_is_whole_nothing_is_overwritten(stopped: Path) -> None:
    for name in (LAST, PREVIOUS):
        (stopped / name).write_bytes(b"PK")
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    with pytest.raises(WorkError, match=r"No checkpoint in .* is whole"):
        fit(reconstruction(), Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    after = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    assert after == before


def test_every_kept_checkpoint_is_whole(stopped: Path) -> None:
    assert is_whole(stopped / LAST)
    assert is_whole(stopped / PREVIOUS)
    assert find_checkpoint(stopped) == stopped / LAST


def test_a_full_disk_stops_the_run_and_keeps_what_there_was(stopped: Path) -> None:
    # Whatever is written to /dev/full fails as on a full disk.
    (stopped / f"{LAST}.partial").symlink_to("/dev/full")
    before = (stopped / LAST).read_bytes()
    with pytest.raises(WorkError, match=r"no space left .* goes on from last\.ckpt"):
        fit(reconstruction(), Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)
    assert (stopped / LAST).read_bytes() == before
    assert not (stopped / f"{LAST}.partial").is_symlink()
    fit(reconstruction(), Noise(), train=TRAIN, seed=1, validation=HELD_OUT, out=stopped)


def test_an_exploding_loss_names_the_recordings_and_keeps_a_good_checkpoint(tmp_path: Path) -> None:
    class Rising(type(masked_codes())):
        def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
            terms = super().forward(batch, generator)
            return terms | {"loss": terms["loss"] * float(batch.onset[0])}

    class Loud(Noise):
        def __getitem__(self, index: int) -> Batch:
            batch = super().__getitem__(index)
            return replace(batch, onset=batch.onset + (1e4 if index == 25 else 1.0))

    plain = masked_codes()
    objective = Rising(plain.tokenizer, plain.backbone)
    options = replace(TRAIN, steps=40, validate_every=0)
    with pytest.raises(
        WorkError, match=r"at step 25, on windows of \['recording 0', 'recording 1'\]"
    ):
        fit(objective, Loud(), train=options, seed=1, out=tmp_path)
    assert step_of(tmp_path / LAST) == 24
    weights = torch.load(tmp_path / LAST, weights_only=True)["state_dict"].values()
    assert all(bool(w.isfinite().all()) for w in weights)


def test_a_gradient_that_is_no_number_changes_nothing(tmp_path: Path) -> None:
    class Steep(type(masked_codes())):
        calls = 0

        def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
            terms = super().forward(batch, generator)
            Steep.calls += 1
            if Steep.calls == 6:  # finite, with a gradient that is not
                weight = next(p for p in self.parameters() if p.requires_grad)
                return terms | {"loss": terms["loss"] + (weight.sum() * 0).sqrt()}
            return terms

    plain = masked_codes()
    options = replace(TRAIN, validate_every=0, checkpoint_every=1)
    with pytest.raises(WorkError, match=r"gradient became nan at step 5"):
        fit(Steep(plain.tokenizer, plain.backbone), Noise(), train=options, seed=1, out=tmp_path)
    assert step_of(tmp_path / LAST) == 5


def test_a_signal_finishes_the_step_keeps_it_and_goes_on_exactly(tmp_path: Path) -> None:
    import signal

    class Signalled(Noise):
        def __getitem__(self, index: int) -> Batch:
            if index == 5 and not (tmp_path / LAST).exists():
                os.kill(os.getpid(), signal.SIGUSR1)
            return super().__getitem__(index)

    options = replace(TRAIN, checkpoint_every=100, ahead=0)
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    with pytest.raises(WorkError, match="Asked to stop, the training kept step 6 of 10"):
        fit(masked_codes(), Signalled(), train=options, seed=1, validation=HELD_OUT, out=tmp_path)
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)) == before
    assert step_of(tmp_path / LAST) == 6
    again, whole = masked_codes(), masked_codes()
    fit(again, Noise(), train=options, seed=1, validation=HELD_OUT, out=tmp_path)
    fit(whole, Noise(), train=options, seed=1, validation=HELD_OUT)
    assert_same_weights(again, whole)


def test_reading_ahead_or_in_parts_of_the_file_changes_nothing() -> None:
    weights = []
    for ahead in (0, 1, 5):
        objective = masked_codes()
        fit(objective, Noise(), train=replace(TRAIN, ahead=ahead), seed=1)
        weights.append(torch.cat([w.flatten().double() for w in objective.state_dict().values()]))
    assert all(np.array_equal(weights[0], other) for other in weights)


class Parted(Noise):
    """Batches of six, which can be dealt out in many ways."""

    def __getitem__(self, index: int) -> Batch:
        return windows(6, n_channels=2, n_times=500, seed=index)


@pytest.mark.parametrize(("parts", "size", "wanted"), [(3, 1, 3), (2, 3, 6), (1, 2, 2), (6, 3, 6)])
def test_a_run_that_said_no_parts_goes_on_with_those_it_began_with(
    tmp_path: Path, parts: int, size: int, wanted: int, capsys: pytest.CaptureFixture[str]
) -> None:
    options = replace(TRAIN, batch_size=6)
    dealer = Dealer(Parted(), feed := Feed(Parted(), range(3), workers=0, ahead=0), options)
    dealer.deal(Process(size - 1, size))
    dealer.on_load_checkpoint(None, None, {"dealt": {"order": "", "parts": parts}})
    assert dealer.parts == wanted
    assert [len(part.signal) for part in feed.items[0]] == [6 // wanted] * (wanted // size)
    assert ("a step is now computed in" in capsys.readouterr().err) == (wanted != parts)


def test_parts_that_other_processes_cannot_share_are_refused() -> None:
    options = replace(TRAIN, batch_size=6)
    dealer = Dealer(Parted(), Feed(Parted(), range(3), workers=0, ahead=0), options)
    dealer.deal(Process(0, 2))
    with pytest.raises(UsageError, match=r"cannot be shared evenly by 2 processes"):
        dealer.on_load_checkpoint(None, None, {"dealt": {"order": "", "parts": 4}})


def test_one_process_goes_on_with_the_parts_of_several_to_the_bit(tmp_path: Path) -> None:
    """As if two processes had begun: the masks are drawn for each part."""
    two = replace(TRAIN, batch_size=6, parts=2, validate_every=0)
    whole, again = masked_codes(), masked_codes()
    fit(whole, Parted(), train=two, seed=1)
    strike = (KillAt("on_train_batch_end", 5),)
    with pytest.raises(Killed):
        fit(masked_codes(), Parted(), train=two, seed=1, out=tmp_path, callbacks=strike)
    fit(again, Parted(), train=replace(two, parts=None), seed=1, out=tmp_path)
    assert_same_weights(again, whole)
