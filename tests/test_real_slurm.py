"""On a real SLURM: two nodes that are both this machine and say that they have more cores than it.

Wants root and the programs of SLURM and MUNGE, as of `apt-get install slurmctld slurmd slurm-client munge`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_slurm import (
    FULL,
    KEEPS,
    ONE_CORE,
    PIPELINES,
    assert_same_scores,
    assert_same_stores,
    command,
    configure,
    output,
    place,  # noqa: F401
    stand_in,
    sweep,
    write_programs,
)

from brainfm.cli import main

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"SLURM is not installed: no {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="SLURM's daemons want root"),
]

CONFIG = """\
ClusterName=brainfm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
# What is queued again waits until its credentials are void.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=65536
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=65536
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def until(met: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, (what, output())
        time.sleep(0.1)


def told(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a cluster and yield its slurm.conf."""
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o400)
    config = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    config.write_text(CONFIG.format(host=host, ports=free_ports(3), folder=folder))
    munge = {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid"}
    munge |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    # --force: the folder's owner alone may enter it, which munged takes for a fault.
    start = [["munged", "--force", *(f"--{k}={folder / v}" for k, v in munge.items())]]
    start += [["slurmctld", "-i"], ["slurmd", "-N", "one"], ["slurmd", "-N", "two"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(config))
        try:
            for words in start:
                subprocess.run(words, check=True, capture_output=True)
            until(lambda: told("sinfo", "-h", "-p", "main", "-o", "%t") == "idle", "no nodes", 30.0)
            yield config
        finally:
            subprocess.run(["scancel", "--user=root"], check=False)
            for pid in folder.glob("*.pid"):
                with suppress(ProcessLookupError):
                    os.kill(int(pid.read_text()), signal.SIGTERM)


@pytest.fixture
def cluster(daemons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let jobs find brainfm, and yield the folder that they are submitted from."""
    programs, work = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    write_programs(programs)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SLURM_CONF", str(daemons))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # no name server knows the nodes
    monkeypatch.chdir(work)
    return work


def submit(script: str, *arguments: object) -> str:
    """Call a script of pipelines/slurm and return the number of its job."""
    words = [PIPELINES / script, *map(str, arguments)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return done.stdout.split()[-1]


def fields(job: str, name: str = "JobState") -> list[str]:
    """Return a field of a job, of an array that of each of its tasks."""
    words = told("scontrol", "show", "job", job).split()
    return [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def ended(job: str, seconds: float = 240.0) -> list[str]:
    """Wait for the end of all tasks of a job, and return what each came to."""
    until(lambda: not told("squeue", "-h", "-j", job), f"job {job} does not end", seconds)
    return fields(job)


# ------------------------------------------------------------------ what goes back into the queue

ASKED = {"processes": 1, "nodes": 2, "cpus": 1, "memory": "1GB"}


def running(job: str, start: int = 0) -> None:
    """Wait until the tasks of a job run for the n-th time, and have set their traps."""
    until(lambda: (fields(job), fields(job, "Restarts")) == (["RUNNING"], [str(start)]), job)
    until(lambda: f"{job}.0" in told("squeue", "-h", "-s", "-j", job), f"no step of {job}")
    time.sleep(1.0)


def test_a_job_goes_back_when_its_time_is_over_and_not_when_it_was_cancelled(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SLURM counts time limits by the minute, and warns up to a minute early.
    job = stand_in(monkeypatch, KEEPS, KEEPS, time="00:01:00", warning=50, **ASKED)
    running(job)
    running(job, 1)
    subprocess.run(["scancel", job], check=True)
    assert ended(job) == ["CANCELLED"]
    assert fields(job, "Restarts") == ["1"]


def test_a_signal_to_the_step_alone_sends_it_back_and_a_failure_does_not(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = stand_in(monkeypatch, FULL, KEEPS, **ASKED)
    running(job)
    subprocess.run(["scancel", "--signal=TERM", f"{job}.0"], check=True)
    running(job, 1)
    subprocess.run(["scancel", "--signal=USR1", "--batch", job], check=True)
    assert ended(job) == ["FAILED"]
    assert (fields(job, "Restarts"), fields(job, "ExitCode")) == (["1"], ["1:0"])


# ------------------------------------------------------------------ what brainfm does


def test_a_training_whose_nodes_are_taken_goes_on_and_loses_nothing(
    place: Path,  # noqa: F811
    cluster: Path,
) -> None:
    """By pipelines/slurm/pretrain.sh on two nodes, which another job with more right to them gets."""
    steps = {"steps": 20, "checkpoint_every": 1000, "validate_every": 10}
    more = ["--train.accelerator=cpu", "--slurm.partition=main", "--slurm.memory=1GB"]
    given = [*configure(place, "job", **steps), *more, "--slurm.processes=1", *ONE_CORE]
    job = submit("pretrain.sh", *given)
    until((place / "job" / "metrics.csv").exists, "no step was done")
    subprocess.run(
        ["sbatch", "--wait", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=true"],
        check=True,
        capture_output=True,
    )
    assert ended(job) == ["COMPLETED"], output()
    assert (fields(job, "NumNodes"), fields(job, "Restarts")) == (["2"], ["1"])
    assert "Asked to stop, the training kept step" in output()
    assert main(command(place, "whole", **steps)) == 0
    ours, theirs = (pd.read_csv(place / n / "metrics.csv") for n in ("job", "whole"))
    for column in ("step", "loss", "val/loss"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, err_msg=column)


def test_an_array_ingests(
    place: Path,  # noqa: F811
    cluster: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SBATCH_ARRAY_INX", "0-1")
    recipe = f"--recipe={place / 'recipe.yaml'}"
    job = submit("ingest.sh", place / "raw", place / "many.zarr", recipe)
    assert sorted(ended(job)) == ["CANCELLED", "COMPLETED"], output()  # task 0 ends the reader
    assert_same_stores(place / "many.zarr", place / "store.zarr")


def test_an_array_evaluates(
    place: Path,  # noqa: F811
    cluster: Path,
) -> None:
    job = submit("evaluate.sh", *sweep(place))
    assert ended(job) == ["COMPLETED", "COMPLETED"], output()
    assert_same_scores(place)
