"""Jobs for SLURM: what is asked for, and that a warned job goes on from the step it was warned in.

tests/slurm holds programs by the names of sbatch, srun and scontrol that do start the processes; what a
real SLURM does is in test_real_slurm.py.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from test_distributed import TRAINED
from test_pipeline import CLASSICAL, RECIPE, task
from test_resume import FAMILIES

from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages.allocation import Allocation, seconds_of
from brainfm.stages.submission import submit, write_script
from brainfm.store import open_store

PIPELINES = ROOT / "pipelines" / "slurm"
ONE_CORE = ("--slurm.gpus=0", "--slurm.cpus=1")


def write_programs(folder: Path) -> None:
    """Let jobs find what an environment's `bin` holds."""
    for name in ("brainfm", "dask"):
        (folder / name).write_text(f'#!/bin/bash\nexec {sys.executable} -m {name} "$@"\n')
        (folder / name).chmod(0o755)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the stand-ins tell of their jobs."""
    (tmp_path / "bin").mkdir()
    write_programs(tmp_path / "bin")
    programs = f"{tmp_path / 'bin'}:{ROOT / 'tests' / 'slurm'}"
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "cluster"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "cluster"
    tell(tmp_path / "cluster", signal.SIGKILL)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for recording in synthesise(4, seconds=13.0, seed=1):
        write_edf(recording, tmp_path / "raw")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    raw, store = str(tmp_path / "raw"), f"--store={tmp_path / 'store.zarr'}"
    assert main(["ingest", raw, store, f"--recipe={tmp_path}/recipe.yaml"]) == 0
    return tmp_path


def configure(folder: Path, name: str, **train: object) -> list[str]:
    data = {"store": str(folder / "store.zarr"), "seconds": 2.0, "validation": 0.25}
    config = {"model": FAMILIES["FEMBA"], "data": data, "train": TRAINED | train, "seed": 3}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return [str(path), f"--out={folder / name}"]


def command(folder: Path, name: str, *more: str, **train: object) -> list[str]:
    return ["pretrain", "--config", *configure(folder, name, **train), *more]


def wait_for(path: Path, seconds: float = 90.0) -> Path:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, (path, output())
        time.sleep(0.02)
    return path


def code(cluster: Path, start: int = 0, *, task: int = 0) -> int:
    """Return what a task of a job ended with, when it was started for the n-th time."""
    return int(wait_for(cluster / str(task) / f"ended-{start}").read_text().split()[0])


def requeued(cluster: Path, task: int = 0) -> int:
    """Return how often a task was put back into the queue."""
    told = cluster / str(task) / "requeued"
    return len(told.read_text().splitlines()) if told.exists() else 0


def tell(cluster: Path, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to all processes of all steps, and to nothing else of a job."""
    for step in cluster.glob("*/step-*"):
        for group in step.read_text().split():
            with suppress(ProcessLookupError):
                os.killpg(int(group), number)


def warn(cluster: Path) -> None:
    """Send TERM to a job's script."""
    os.kill(int((cluster / "0" / "pid").read_text()), signal.SIGTERM)


def output() -> str:
    """Return what the jobs wrote."""
    return "".join(path.read_text() for path in Path.cwd().glob("*.out"))


# ------------------------------------------------------------------ what is asked for


def test_a_dry_run_leaves_nothing_and_what_it_prints_runs(
    place: Path, cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(command(place, "run", *ONE_CORE, "--dry-run", steps=1)) == 0
    script = capsys.readouterr().out
    assert not (place / "run").exists()
    assert not list(Path.cwd().iterdir())
    (place / "run.yaml").unlink()  # the script needs no other file
    (place / "elsewhere").mkdir()
    subprocess.run(["sbatch"], input=script, cwd=place / "elsewhere", text=True, check=True)
    assert code(cluster) == 0, output()
    assert json.loads((place / "run" / "manifest.json").read_text())["command"] == (
        f"brainfm pretrain --config {place}/run/config.yaml"
    )
    assert main(["pretrain", f"--config={place}/run/config.yaml", f"--out={place}/run"]) == 0
    assert "is finished" in capsys.readouterr().out


def asked_for(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the lines in which a job's script asks SLURM."""
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    return [
        line.removeprefix("#SBATCH ")
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(("#SBATCH ", "  srun "))
    ]


def test_the_script_asks_for_what_was_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--slurm.partition=gpu", "--slurm.nodes=2", "--slurm.processes=2"]
    asked = asked_for(capsys, *command(place, "run", *more, accelerator="gpu"))
    assert {
        *("--partition=gpu", "--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2"),
        *("--requeue", "--signal=B:USR1@120", "--output=brainfm-pretrain-run-%j.out"),
    } <= set(asked)
    assert "srun --cpus-per-task=8 " in asked[-1]  # srun does not take it from sbatch


def test_gpus_are_asked_for_where_the_training_takes_them(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for accelerator, more, gpus in (
        ("cpu", [], []),
        ("auto", [], ["--gpus-per-node=1"]),
        ("cpu", ["--slurm.gpus=2"], ["--gpus-per-node=2"]),
        ("auto", ["--slurm.gpus=0"], []),
    ):
        given = command(place, "run", "--slurm.cpus=1", *more, accelerator=accelerator)
        assert [line for line in asked_for(capsys, *given) if line.startswith("--gpus")] == gpus


def bench(place: Path) -> list[str]:
    """Return an evaluation of one estimator."""
    estimators = {"tangent space": CLASSICAL["tangent space"]}
    config = {"task": task(place / "store.zarr"), "estimators": estimators}
    (place / "bench.yaml").write_text(yaml.safe_dump(config))
    return ["evaluate", f"--config={place / 'bench.yaml'}", f"--out={place / 'bench'}"]


def test_an_evaluation_asks_for_a_gpu_unless_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, gpus in ((["--slurm.nodes=1"], ["--gpus-per-node=1"]), (["--slurm.gpus=0"], [])):
        asked = asked_for(capsys, *bench(place), *more)
        assert [line for line in asked if line.startswith("--gpus")] == gpus


def test_blanks_and_quotes_reach_slurm_as_they_are(
    place: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written here, sbatch of SLURM 22.05 reads so (`sbatch -vv`)."""
    odd = place / "odd's #1 place"
    odd.mkdir()
    monkeypatch.chdir(odd)
    out = f"--out={odd / 'run a%j'}"
    given = [*command(place, "run", *ONE_CORE, steps=1), "--slurm.account=the lab", out]
    words = shlex.split(" ".join(asked_for(capsys, *given)[:-1]))
    assert {
        *(f"--chdir={odd}", "--account=the lab"),
        *("--job-name=brainfm-pretrain-run-a-j", "--output=brainfm-pretrain-run-a-j-%j.out"),
    } <= set(words)
    assert main(given) == 0
    assert code(cluster) == 0, output()
    assert (odd / "brainfm-pretrain-run-a-j-4711.out").exists()
    assert (odd / "run a%j" / "manifest.json").exists()


WRONG = [
    (["--slurm.nodes=0"], ["slurm.nodes is 0"]),
    (["--slurm.requeues=-1"], ["slurm.requeues is -1"]),
    (["--slurm.nods=1"], ["nods"]),
    (["--dry-run"], ["--dry-run prints a job's script"]),
    (["--slurm.time=nonsense"], ["slurm.time is 'nonsense'", "HH:MM:SS"]),
    (["--slurm.time=1:00"], ["slurm.time 1:00 is 60 s", "slurm.warning 120"]),
    (["--slurm.memory=much"], ["slurm.memory is 'much'", "64GB"]),
    (["--slurm.nodes=3"], ["train.parts 4 cannot be shared evenly by 3"]),
    (["--slurm.gpus=0", "--train.accelerator=gpu"], ["slurm.gpus 0"]),
    (["--slurm.nodes=1", "--data.store=no.zarr"], ["no.zarr"]),
    (["--slurm.nodes=1", "--data.subjects=[nobody]"], ["nobody"]),
    (["--slurm.nodes=1", "--data.seconds=60"], ["60 s"]),
    (["--slurm.nodes=1", "--data.blocks=3"], ["3 blocks"]),
    (["--slurm.nodes=1", "--tokenizer=nowhere"], ["nowhere"]),
]


def test_a_job_that_could_not_run_is_refused(
    place: Path, cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for (more, words), dry in product(WRONG, ([], ["--dry-run"])):
        capsys.readouterr()
        assert main([*command(place, "run", *more), *dry]) == 2, more
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert all(word in told.err for word in words), told.err
        assert not (place / "run").exists()
        assert not cluster.exists()


@pytest.mark.parametrize("verb", ["finetune", "evaluate"])
def test_a_job_on_a_store_that_is_not_there_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    estimators = {"estimators": {"tangent space": CLASSICAL["tangent space"]}}
    config = {"task": task(place / "gone.zarr")} | (estimators if verb == "evaluate" else {})
    (place / "given.yaml").write_text(yaml.safe_dump(config))
    more = [] if verb == "evaluate" else [f"--checkpoint={place}"]
    given = [verb, f"--config={place / 'given.yaml'}", f"--out={place / 'run'}", *more]
    assert main([*given, *ONE_CORE, "--dry-run"]) == 2
    assert "gone.zarr" in capsys.readouterr().err


def test_a_time_that_yaml_took_for_a_number_is_to_be_quoted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = command(place, "run", "--config", str(place / "job.yaml"), "--dry-run")
    for limit, expected in (("12:00:00", 2), ("30:00", 2), ("'12:00:00'", 0), ("30", 0)):
        (place / "job.yaml").write_text(f"slurm: {{time: {limit}, memory: 64000}}\n")
        assert main(given) == expected
        told = capsys.readouterr()
        if expected:
            assert "put it in quotes" in told.err
        else:
            assert "#SBATCH --time={}\n".format(limit.strip("'")) in told.out
            assert "#SBATCH --mem=64000\n" in told.out


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("30", 1800),
        ("30:10", 1810),
        ("2:30:10", 9010),
        ("1-2", 93600),
        ("1-2:30", 95400),
        ("1-2:30:10", 95410),
    ],
)
def test_a_time_is_read_as_slurm_reads_it(time: str, seconds: int) -> None:
    assert seconds_of(time) == seconds
    for wrong in (f"{time}:", f"{time}:1:1:1", f"-{time}", f"{time} h"):
        with pytest.raises(UsageError, match=r"slurm\.time is"):
            seconds_of(wrong)


@pytest.mark.parametrize("time", ["UNLIMITED", "infinite", "0", "0:00", 0])
def test_a_job_may_have_no_limit(time: str | int) -> None:
    assert seconds_of(time) == math.inf
    assert Allocation(time=time).suited("cpu").time == time


def test_a_job_that_was_not_taken_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "bin").mkdir()
    monkeypatch.setenv("PATH", str(place / "bin"))
    assert main(command(place, "run", "--slurm.gpus=0")) == 2
    assert "There is no sbatch" in capsys.readouterr().err
    assert not (place / "run").exists()
    answer(place, REFUSES)
    assert main(command(place, "run", "--slurm.partition=none")) == 1
    assert "sbatch refused the job: no such partition" in capsys.readouterr().err
    assert not (place / "run").exists()


REFUSES = "echo no such partition >&2; exit 1"


def answer(place: Path, does: str) -> None:
    """Let an sbatch do something else than submit."""
    (place / "bin").mkdir(exist_ok=True)
    (place / "bin" / "sbatch").write_text(f"#!/bin/sh\n{does}\n")
    (place / "bin" / "sbatch").chmod(0o755)


def test_a_job_that_was_not_taken_leaves_the_earlier_one_as_it_is(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    for name, given, other in (
        ("run", command(place, "run", *ONE_CORE), "--slurm.partition=none"),
        ("bench", [*bench(place), *ONE_CORE], "--seeds=[0,1]"),
    ):
        answer(place, "cat > given; echo Submitted batch job 1")
        assert main(given) == 0
        kept = {path.name: path.read_bytes() for path in (place / name).iterdir()}
        assert kept.keys() == {"config.yaml", "job.sh"}
        assert kept["job.sh"] == Path("given").read_bytes()
        answer(place, REFUSES)
        assert main([*given, other]) == 1
        assert {path.name: path.read_bytes() for path in (place / name).iterdir()} == kept


def test_a_dry_run_refuses_a_folder_of_another_run(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "run").mkdir()
    (place / "run" / "config.yaml").write_text("seed: 3\n")
    capsys.readouterr()
    assert main(command(place, "run", *ONE_CORE, "--seed=99", "--dry-run")) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "holds a run with another configuration" in told.err


# ------------------------------------------------------------------ what goes back into the queue

ENDS = "exec sleep 60"  # by a signal, as what does not listen yet
KEEPS = "trap 'exit 143' USR1 TERM; sleep 60 & wait $!"  # what it has, as a training
DEAF = "trap '' USR1 TERM; sleep 60"
FAILS = "exit 1"
FULL = "trap 'exit 1' USR1; sleep 60 & wait $!"  # there is no space to keep it


def stand_in(monkeypatch: pytest.MonkeyPatch, first: str, second: str = ENDS, **asked: Any) -> str:
    """Submit a job whose two tasks do what is said, in place of a training; return its number."""
    task = Path("task").absolute()
    task.write_text(f'#!/bin/bash\nif [ "$SLURM_PROCID" = 0 ]; then {first}\nelse {second}; fi\n')
    task.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(task))
    allocation = Allocation(**{"processes": 2, "gpus": 0} | asked)
    return submit(write_script(allocation, "pretrain", "seed: 0", Path("run"))).split()[-1]


@pytest.mark.parametrize(
    ("first", "second", "told", "goes_back", "ended"),
    [
        (KEEPS, KEEPS, warn, True, 75),
        (KEEPS, KEEPS, tell, True, 75),
        (ENDS, ENDS, warn, True, 75),
        (ENDS, ENDS, tell, True, 75),
        (KEEPS, DEAF, warn, True, 137),
        (KEEPS, DEAF, tell, False, 137),  # nobody knows why the second was killed
        (FULL, KEEPS, warn, False, 1),
        (FAILS, FAILS, None, False, 1),
        (FAILS, ENDS, None, False, 1),  # srun ends the second by TERM
        (FAILS, KEEPS, None, False, 1),
        ("kill -KILL $$", KEEPS, None, False, 1),  # as for want of memory
        ("exit 0", "exit 0", None, False, 0),
    ],
)
def test_what_a_signal_ended_goes_back_and_what_failed_does_not(
    cluster: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    second: str,
    told: Callable[[Path], None] | None,
    goes_back: bool,
    ended: int,
) -> None:
    stand_in(monkeypatch, first, second)
    wait_for(cluster / "0" / "step-0")
    if told is not None:
        time.sleep(0.3)  # until the tasks have set their traps
        told(cluster)
    assert (code(cluster), requeued(cluster)) == (ended, int(goes_back))


def test_a_job_warned_before_its_first_step_goes_back(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, ENDS, setup="touch setting-up; sleep 0.5")
    wait_for(Path("setting-up"))
    warn(cluster)
    assert (code(cluster), requeued(cluster)) == (75, 1)
    assert not (cluster / "0" / "step-0").exists()


def test_a_job_goes_back_no_more_often_than_was_said(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, KEEPS, KEEPS, requeues=1)
    for start in range(2):
        wait_for(cluster / "0" / f"step-{start}")
        time.sleep(0.3)
        tell(cluster)
        assert code(cluster, start) == 75
    assert requeued(cluster) == 1
    assert "was queued again 1 times" in output()


def test_a_job_that_its_user_cancelled_stays_cancelled(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, KEEPS, KEEPS)
    wait_for(cluster / "0" / "step-0")
    time.sleep(0.3)
    (cluster / "0" / "state").write_text("COMPLETING")
    warn(cluster)
    assert (code(cluster), requeued(cluster)) == (75, 0)


# ------------------------------------------------------------------ trainings


def test_a_job_of_two_nodes_that_is_preempted_goes_on_and_loses_nothing(
    place: Path, cluster: Path
) -> None:
    """By pipelines/slurm/pretrain.sh: first while it is still loading, then in the middle."""
    steps = {"steps": 20, "checkpoint_every": 1000, "validate_every": 10}
    more = ["--train.accelerator=cpu", "--slurm.processes=1", *ONE_CORE]
    given = [*configure(place, "job", **steps), *more]
    subprocess.run([PIPELINES / "pretrain.sh", *given], check=True, capture_output=True)
    wait_for(cluster / "0" / "step-0")
    time.sleep(1.0)
    tell(cluster)
    assert code(cluster) == 75
    assert not (place / "job" / "metrics.csv").exists()
    wait_for(place / "job" / "metrics.csv")  # some steps are done, and no checkpoint is due
    assert not (place / "job" / "last.ckpt").exists()
    warn(cluster)
    assert code(cluster, 1) == 75
    assert "Asked to stop, the training kept step" in output()
    assert (code(cluster, 2), requeued(cluster)) == (0, 2), output()
    assert main(command(place, "whole", **steps)) == 0
    ours, theirs = (pd.read_csv(place / n / "metrics.csv") for n in ("job", "whole"))
    for column in ("step", "loss", "val/loss"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, err_msg=column)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--train.lr=1e30"], "became"),
        (["--slurm.setup=ulimit -f 20"], "no space left"),
    ],
)
def test_a_training_that_failed_does_not_go_back(
    place: Path, cluster: Path, more: list[str], words: str
) -> None:
    assert main(command(place, "job", *ONE_CORE, *more, checkpoint_every=1)) == 0
    assert (code(cluster), requeued(cluster)) == (1, 0)
    assert words in output()


# ------------------------------------------------------------------ arrays


def checksums(store: Path) -> dict[str, str]:
    opened = open_store(store)
    return {id: opened.entry(id).checksum for id in opened.table["id"]}


def assert_same_stores(ours: Path, theirs: Path) -> None:
    assert len(checksums(ours)) == 8
    assert checksums(ours) == checksums(theirs)


def sweep(folder: Path) -> list[str]:
    """Write two configurations of `brainfm evaluate`, one seed each."""
    written = []
    for seed in (0, 1):
        config = {
            "task": task(folder / "store.zarr"),
            "estimators": {"tangent space": CLASSICAL["tangent space"]},
            "folds": {"folds": 2, "validation": 0.5},
            "seeds": [seed],
            "out": str(folder / f"bench-{seed}"),
        }
        written.append(str(folder / f"bench-{seed}.yaml"))
        Path(written[-1]).write_text(yaml.safe_dump(config))
    return written


def assert_same_scores(folder: Path) -> None:
    """Check what a sweep left against the same evaluation here."""
    for seed, given in enumerate(sweep(folder)):
        assert main(["evaluate", f"--config={given}", f"--out={folder / f'here-{seed}'}"]) == 0
        tables = [folder / f"{name}-{seed}" / "predictions.csv" for name in ("bench", "here")]
        pd.testing.assert_frame_equal(*map(pd.read_csv, tables))


def test_an_array_ingests(place: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_ARRAY_INX", "0-1")
    given = [place / "raw", place / "many.zarr", f"--recipe={place / 'recipe.yaml'}"]
    subprocess.run([PIPELINES / "ingest.sh", *given], check=True, capture_output=True)
    assert code(cluster) == 0, output()
    assert code(cluster, task=1) == -signal.SIGTERM  # task 0 has ended the reader
    assert_same_stores(place / "many.zarr", place / "store.zarr")


def test_an_array_evaluates(place: Path, cluster: Path) -> None:
    subprocess.run([PIPELINES / "evaluate.sh", *sweep(place)], check=True, capture_output=True)
    assert (code(cluster), code(cluster, task=1)) == (0, 0), output()
    assert_same_scores(place)
