"""Several processes train as one: they compute the same parts, and each window counts once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, windows
from lightning.pytorch.utilities import rank_zero_only
from test_learning import Noise
from test_pipeline import RECIPE
from test_resume import FAMILIES, SHORT
from together import disturbed

from brainfm import cli
from brainfm.cli import main
from brainfm.contracts import Batch
from brainfm.errors import UsageError, WorkError
from brainfm.learning import Train, guard, origin, processes, validation
from brainfm.learning.guard import FIRST, LossGuard
from brainfm.learning.loop import Loop
from brainfm.learning.processes import Process
from brainfm.learning.shares import TrainingShare, ValidationShare, choose_parts, every
from brainfm.learning.validation import ValidationMeans
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages import run
from brainfm.tokenizers.quantizer import Quantizer
from brainfm.weights import load


def names(batches: list[Batch]) -> list[str]:
    return [name for batch in batches for name in batch.recording]


class Named(Noise):
    """Batches whose windows know step and row."""

    def __init__(self, size: int, count: int = 10):
        super().__init__((size,) * count)

    def __getitem__(self, index: int) -> Batch:
        batch = super().__getitem__(index)
        rows = tuple(f"{index}/{row}" for row in range(len(batch.signal)))
        return type(batch)(**vars(batch) | {"recording": rows})


@pytest.mark.parametrize(("size", "parts"), [(1, 1), (1, 4), (2, 2), (2, 4), (3, 6), (4, 12)])
def test_every_window_of_a_step_is_computed_once_by_one_process(size: int, parts: int) -> None:
    batches = Named(12)
    shares = [TrainingShare(batches, parts, Process(rank, size)) for rank in range(size)]
    for step in range(3):
        seen = [name for share in shares for name in names(share[step])]
        assert sorted(seen) == sorted(batches[step].recording)
        assert {len(b.signal) for share in shares for b in share[step]} == {12 // parts}


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 4), (5, 2), (6, 3), (7, 4)])
def test_every_validation_batch_is_counted_once(count: int, size: int) -> None:
    shares = [ValidationShare(Named(2, count), Process(rank, size)) for rank in range(size)]
    assert len({len(share) for share in shares}) == 1  # nobody waits for anybody
    seen = [name for share in shares for i in range(len(share)) for name in names(share[i])]
    assert sorted(seen) == sorted(f"{i}/{row}" for i in range(count) for row in range(2))


def test_a_share_holds_the_rows_of_the_batch() -> None:
    batch = windows(6)
    part = every(batch, 1, 3)
    assert part.recording == ("recording 1", "recording 4")
    assert np.array_equal(part.signal, batch.signal[[1, 4]])
    assert part.sfreq == batch.sfreq


@pytest.mark.parametrize(("parts", "batch", "size"), [(3, 12, 2), (None, 9, 2), (8, 12, 4)])
def test_what_cannot_be_shared_evenly_is_refused(parts: int | None, batch: int, size: int) -> None:
    with pytest.raises(UsageError, match="cannot be shared evenly"):
        choose_parts(parts, batch, size)


def test_a_codebook_takes_one_step_in_however_many_parts_and_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parts of a step meet one codebook, and it moves as for the whole batch, view by view."""
    views = [torch.randn(4, 5, 4, generator=torch.Generator().manual_seed(i)) for i in range(2)]

    def book(parts: int, processes: int = 1) -> torch.Tensor:
        torch.manual_seed(0)
        quantizer = Quantizer(4, 8).train()
        started = quantizer.ema_codebook.clone()
        quantizer.gather()
        for part in range(0, parts, processes):
            for view in views:
                quantizer(view[part::parts])
        assert torch.equal(quantizer.ema_codebook, started)
        quantizer.follow(parts // processes)
        assert quantizer.seen is None
        return quantizer.ema_codebook

    assert not torch.equal(book(1), Quantizer(4, 8).ema_codebook)
    for parts in (2, 4):
        torch.testing.assert_close(book(parts), book(1))
    # Here the other process has seen the same rows.
    views = [view[:2].repeat_interleave(2, 0) for view in views]
    alone = book(2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: total.mul_(2))
    torch.testing.assert_close(book(2, processes=2), alone)


def test_only_the_process_whose_loss_explodes_names_its_recordings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def names(own: float) -> list[str]:
        watch, told = LossGuard(10.0), []
        for step in range(FIRST):
            watch.check(1.0, step, 1.0, [])
        monkeypatch.setattr(guard, "gather", lambda value: told.append(value) or [value])
        with pytest.raises(WorkError, match="The loss became 50"):
            watch.check(50.0, FIRST, own, [windows(2)])
        return told[0]

    assert names(99.0) == ["recording 0", "recording 1"]
    assert names(1.0) == []


def test_all_processes_stop_where_one_of_them_validates_on_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, bad = ValidationMeans(), ValidationMeans()
    for means, loss in ((good, 1.0), (bad, float("nan")), (bad, float("inf"))):
        means.add(windows(2), {"loss": torch.tensor(loss)})
    told = [(m.sums, m.n_windows, m.spoilt) for m in (good, bad)]
    monkeypatch.setattr(validation, "gather", lambda value: told)
    for means in (good, bad):
        with pytest.raises(
            WorkError,
            match=r"validation loss became nan at step 3, .*\['recording 0', 'recording 1'\]",
        ):
            means.end(3)
    told.pop()
    assert good.end(3) == {"loss": 1.0}


def test_only_the_first_process_writes_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first sweeps the folder when it begins: another's half-written file would be swept away."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    run.claim(tmp_path / "out", "seed: 1")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    run.claim(tmp_path / "out", "seed: 1")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    run.release(tmp_path / "out", run.Before(None, {}))
    run.claim(tmp_path / "out", "seed: 1")
    assert (tmp_path / "out" / "config.yaml").read_text() == "seed: 1"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_folder_of_another_run_is_refused_to_all_processes_and_the_first_says_it(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Another that ends before the first has spoken silences it: torchrun then ends them all."""
    waited: list[float] = []
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    monkeypatch.setattr(processes.time, "sleep", waited.append)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.yaml").write_text("seed: 9")
    assert main(command(tmp_path, SHARED, "out")) == 2
    told = capsys.readouterr().err
    assert ("holds a run with another configuration" in told) == (rank == 0)
    assert told.count("\n") == (rank == 0)
    assert waited == [processes.PATIENCE] * rank


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_says_that_a_run_is_finished(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").touch()
    assert main(command(tmp_path, SHARED, "out")) == 0
    assert ("nothing to do" in capsys.readouterr().out) == (rank == 0)


@pytest.mark.parametrize("rank", [0, 1])
def test_all_processes_are_refused_where_one_reads_something_else_and_the_first_says_it(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    monkeypatch.setattr(origin, "gather", lambda own: [own, ["card"]])

    def load(store: Path) -> None:
        begun = {"origin": {"card": "a"}}
        origin.Origin({"card": "a"}).on_load_checkpoint(None, None, begun)

    monkeypatch.setattr(cli, "_import", lambda _: load)
    assert main(["verify", "store.zarr"]) == 2
    told = capsys.readouterr().err
    assert ("The card of this run changed" in told, told.count("\n")) == (rank == 0, rank == 0)


# ------------------------------------------------------------------ real processes, over gloo

# Three validation batches on two processes: one of them has nothing in the second round.
TRAINED = SHORT | {"steps": 6, "batch_size": 8, "log_every": 1, "validate_every": 3, "parts": 4}
TRAINED |= {"loggers": []}
PARTED, SHARED = "motif tokenizer", "patch transformer"  # those that go on with other processes
AVERAGED, SHARDED = "--train.average=0.9", "--train.strategy=fsdp"
THRIFTY = ("--train.precision=bf16-mixed", "--train.recompute=true")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and what one process makes of every family, the batch of a step in four parts."""
    folder = tmp_path_factory.mktemp("distributed")
    for recording in synthesise(4, seconds=13.0, seed=1):
        write_edf(recording, folder / "raw")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    raw, store = str(folder / "raw"), f"--store={folder / 'store.zarr'}"
    assert main(["ingest", raw, store, f"--recipe={folder}/recipe.yaml"]) == 0
    for family in FAMILIES:
        assert main(command(folder, family, f"one {family}")) == 0
    assert main(command(folder, SHARED, "one averaged", AVERAGED)) == 0
    assert main(command(folder, "FEMBA", "one thrifty", *THRIFTY)) == 0
    return folder


def command(folder: Path, family: str, name: str, *more: str) -> list[str]:
    data = {"store": str(folder / "store.zarr"), "seconds": 2.0, "validation": 0.25}
    config = {"model": FAMILIES[family], "data": data, "train": TRAINED, "seed": 3}
    path = folder / f"{family}.yaml"
    path.write_text(yaml.safe_dump(config))
    if family == "masked codes":
        more = (*more, f"--tokenizer={folder / 'one motif tokenizer'}")
    return ["pretrain", "--config", str(path), f"--out={folder / name}", *more]


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
HARNESS = str(Path(__file__).parent / "together.py")


def start(jobs: Sequence[dict[str, Any]], result: Path, *launcher: str) -> CompletedProcess[str]:
    """Run jobs in two processes; whoever is left waiting for the dead fails the test."""
    result.with_suffix(".jobs").write_text(json.dumps(jobs))
    return subprocess.run(
        [sys.executable, *launcher, HARNESS, str(result.with_suffix(".jobs")), str(result)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,  # until the last process has let go of it
        text=True,
        timeout=240,
        check=False,
    )


def stopped(folder: Path, family: str, name: str, *more: str) -> None:
    """Leave a training of one process at its fourth step."""
    plain = Loop.training_step
    try:
        Loop.training_step = disturbed({"stop": 4})
        assert main(command(folder, family, name, *more)) == 1
    finally:
        Loop.training_step = plain
    assert step_of(folder / name) == 4


def step_of(run: Path) -> int:
    return torch.load(run / "last.ckpt", weights_only=True)["global_step"]


@pytest.fixture(scope="module")
def together(place: Path) -> CompletedProcess[str]:
    """Everything that two processes do in these tests and survive, in one start of the two."""
    jobs = []
    for family in FAMILIES:
        jobs.append({"argv": command(place, family, f"two {family}")})
        jobs.append({"argv": command(place, family, f"shared {family}", SHARDED)})
    jobs.append({"argv": command(place, SHARED, "shared averaged", AVERAGED, SHARDED)})
    jobs.append({"argv": command(place, "FEMBA", "two thrifty", *THRIFTY)})
    jobs.append({"argv": command(place, "FEMBA", "two untold", "--train.parts=null", "--profile")})
    jobs.append({"argv": command(place, "FEMBA", "shared thrifty", *THRIFTY, SHARDED)})
    stopped(place, PARTED, "1 to 2")
    for name in ("1 to 2 averaged", "1 to 2 shared"):
        stopped(place, SHARED, name, AVERAGED)
    jobs += [
        {"argv": command(place, PARTED, "1 to 2")},
        {"argv": command(place, SHARED, "1 to 2 averaged", AVERAGED)},
        {"argv": command(place, SHARED, "1 to 2 shared", AVERAGED, SHARDED)},
        {"argv": command(place, PARTED, "2 to 1"), "stop": 4},
        {"argv": command(place, SHARED, "2 shared to 1", AVERAGED, SHARDED), "stop": 4},
        {"argv": command(place, SHARED, "2 shared to 2", AVERAGED, SHARDED), "stop": 4},
        {"argv": command(place, SHARED, "2 shared to 2", AVERAGED)},
        {"argv": command(place, SHARED, "unsaved", AVERAGED, SHARDED), "unsaved": True},
        {"argv": command(place, SHARED, "unsaved", AVERAGED, SHARDED)},
        {"argv": command(place, "FEMBA", "no number"), "nan": 3},
    ]
    (place / "full").mkdir()
    # Whatever is written to /dev/full fails as on a full disk.
    (place / "full" / "last.ckpt.partial").symlink_to("/dev/full")
    jobs.append({"argv": command(place, "FEMBA", "full")})
    done = start(jobs, place / "codes.json", *TORCHRUN)
    assert done.returncode == 0, done.stderr
    fails = {"2 to 1", "2 shared to 1", "no number", "full"}
    wanted = [int("stop" in job or out_of(job) in fails) for job in jobs]
    first = [int("unsaved" in job) or code for job, code in zip(jobs, wanted, strict=True)]
    assert json.loads((place / "codes.json").read_text()) == [first, wanted], done.stderr
    return done


def out_of(job: dict[str, Any]) -> str:
    return next(Path(a).name for a in job["argv"] if a.startswith("--out="))


def assert_same_curves(first: Path, other: Path) -> None:
    ours, theirs = (pd.read_csv(folder / "metrics.csv") for folder in (first, other))
    assert ours["step"].tolist() == theirs["step"].tolist() == list(range(1, 7))
    assert ours["val/loss"].notna().tolist() == [False, False, True] * 2
    for name in ("loss", "grad_norm", "val/loss"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, err_msg=name)
    one, two = (load(folder)[0].state_dict() for folder in (first, other))
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("how", ["two", "shared"])
@pytest.mark.parametrize("family", [*FAMILIES, "thrifty"])
def test_two_processes_learn_what_one_learns(
    place: Path, together: CompletedProcess[str], family: str, how: str
) -> None:
    """Each computes two of a step's four parts; in ``shared`` each also holds half of the model."""
    assert_same_curves(place / f"one {family}", place / f"{how} {family}")


def test_processes_say_at_the_start_what_gives_their_losses(
    place: Path, together: CompletedProcess[str]
) -> None:
    """Only where nobody said in how many parts, and once; one process then does as it is told."""
    assert re.findall(r"computed in (\d) parts for 2 .* --train.parts (\d)", together.stderr) == [
        ("2", "2")
    ]
    assert "profiler_start" not in together.stderr  # nor does PyTorch's profiler speak for itself
    assert main(command(place, "FEMBA", "one told", "--train.parts=2")) == 0
    assert_same_curves(place / "one told", place / "two untold")


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("1 to 2", f"one {PARTED}"),
        ("2 to 1", f"one {PARTED}"),
        ("1 to 2 averaged", "one averaged"),
        ("1 to 2 shared", "one averaged"),
        ("2 shared to 1", "one averaged"),
        ("2 shared to 2", "one averaged"),
        ("shared averaged", "one averaged"),
        ("unsaved", "one averaged"),
    ],
)
def test_a_run_goes_on_with_other_processes(
    place: Path, together: CompletedProcess[str], name: str, whole: str
) -> None:
    if name.endswith("to 1"):
        assert step_of(place / name) == 4
        more = () if whole == f"one {PARTED}" else (AVERAGED,)
        assert main(command(place, SHARED if more else PARTED, name, *more)) == 0
    assert_same_curves(place / whole, place / name)


def test_a_shared_model_leaves_the_checkpoint_of_a_whole_one(
    place: Path, together: CompletedProcess[str]
) -> None:
    one, two = (
        torch.load(place / f"{how} averaged" / "last.ckpt", weights_only=True)
        for how in ("one", "shared")
    )
    assert one.keys() == two.keys()
    for key in ("state_dict", "optimizer_states"):
        ours, theirs = (torch.utils._pytree.tree_flatten_with_path(c[key])[0] for c in (one, two))
        for (path, value), (same, other) in zip(ours, theirs, strict=True):
            assert path == same
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-6)


def test_a_shared_run_that_ended_before_its_model_was_saved_saves_the_same(
    place: Path, together: CompletedProcess[str]
) -> None:
    ours, theirs = (
        (place / name / "model" / "model.safetensors").read_bytes()
        for name in ("unsaved", "shared averaged")
    )
    assert ours == theirs


def test_no_process_holds_more_than_its_share(together: CompletedProcess[str]) -> None:
    held = [float(share) for share in re.findall(r"holds (0\.\d{3})", together.stdout)]
    assert len(held) > 2 * 6 * len(FAMILIES)
    # Not the half: what has a single row is held by one of the two.
    assert 0.3 < min(held) <= max(held) < 0.7


def test_two_processes_write_one_run(place: Path, together: CompletedProcess[str]) -> None:
    for how in ("two", "shared"):
        run = place / f"{how} motif tokenizer"
        assert together.stdout.count(f"{run}: ") == 1
        assert {path.name for path in run.iterdir()} == {
            *("config.yaml", "last.ckpt", "manifest.json", "metrics.csv", "model")
        }


def test_a_loss_that_is_no_number_on_one_process_stops_all(
    place: Path, together: CompletedProcess[str]
) -> None:
    names = re.findall(r"spoilt: (\[.*?\])", together.stdout)[0]
    told = [line for line in together.stderr.splitlines() if "The loss became nan" in line]
    assert told
    assert all(f"at step 3, on windows of {names}" in line for line in told)
    assert step_of(place / "no number") == 2
    weights = torch.load(place / "no number" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(bool(w.isfinite().all()) for w in weights.values())


def test_a_full_disk_stops_all_processes(place: Path, together: CompletedProcess[str]) -> None:
    assert f"The disk has no space left for {place / 'full'}" in together.stderr


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_takes_the_others_along(place: Path, victim: int) -> None:
    """Started by Lightning and by torchrun; one process then goes on from the last checkpoint."""
    name, launcher, more = [
        ("first died", (), ("--train.devices=2",)),
        ("second died", TORCHRUN, ()),
    ][victim]
    job = {"argv": command(place, "FEMBA", name, *more), "kill": 5, "victim": victim}
    done = start([job], place / f"{name}.json", *launcher)
    assert done.returncode != 0
    assert step_of(place / name) == 4
    if victim == 0:
        assert "Another process of this training has ended" in done.stderr
        assert main(command(place, "FEMBA", name, "--train.devices=1")) == 0
        assert_same_curves(place / "one FEMBA", place / name)


@pytest.mark.parametrize(
    "option", [{"algorithm": "lamb"}, {"precision": "16-mixed"}, {"compile": True}]
)
def test_what_a_shared_model_cannot_do_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"train.{next(iter(option))} .* train.strategy fsdp"):
        Train(strategy="fsdp", **option)
