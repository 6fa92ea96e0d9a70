"""Jobs on many processes: a dead worker costs no job, and a deadly job costs nothing but itself."""

import os
import signal
import stat
import time
from functools import partial
from pathlib import Path

import pytest

from brainfm.errors import UsageError
from brainfm.stages.executors import (
    InProcess,
    Lost,
    OnCluster,
    Processes,
    Slurm,
    connect,
    make_cluster,
    queue,
)

# distributed leaves its sockets and event loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def double(job):
    return 2 * job


def die_on(deadly, job):
    if job in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return 2 * job


def die_once(folder, job):
    """Kill the worker on the first try of job 3, as a cluster that takes a machine away does."""
    if job == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * job


def fail_on(job):
    if job == 2:
        raise UsageError("no more")
    return job


@pytest.fixture(scope="module")
def cluster():
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def on_cluster(cluster):
    with connect(cluster.scheduler_address) as executor:
        yield executor


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_every_job_has_its_outcome(executor):
    assert sorted(executor.run(double, range(9))) == list(range(0, 18, 2))
    assert list(executor.run(double, [])) == []


def test_every_job_has_its_outcome_on_a_cluster(on_cluster):
    assert sorted(on_cluster.run(double, range(9))) == list(range(0, 18, 2))
    assert list(on_cluster.run(double, [])) == []


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_an_error_of_the_work_ends_the_run(executor):
    with pytest.raises(UsageError, match="no more"):
        list(executor.run(fail_on, range(4)))


def sorted_outcomes(outcomes):
    outcomes = list(outcomes)
    lost = sorted(o.job for o in outcomes if isinstance(o, Lost))
    return sorted(o for o in outcomes if not isinstance(o, Lost)), lost


@pytest.mark.parametrize("deadly", [{0}, {3, 4, 9}])
def test_a_deadly_job_costs_nothing_but_itself(deadly):
    done, lost = sorted_outcomes(Processes(2).run(partial(die_on, deadly), range(10)))
    assert lost == sorted(deadly)
    assert done == [2 * job for job in range(10) if job not in deadly]


def test_a_deadly_job_on_a_cluster_costs_nothing_but_itself(on_cluster):
    done, lost = sorted_outcomes(on_cluster.run(partial(die_on, {3}), range(6)))
    assert lost == [3]
    assert done == [2 * job for job in range(6) if job != 3]


def test_a_worker_that_dies_once_costs_nothing(on_cluster, tmp_path):
    for executor in (on_cluster, Processes(2)):
        (tmp_path / "died").unlink(missing_ok=True)
        done, lost = sorted_outcomes(executor.run(partial(die_once, tmp_path), range(6)))
        assert (done, lost) == ([0, 2, 4, 6, 8, 10], [])
        assert (tmp_path / "died").exists()


def environment(job):
    return os.environ.get("OMP_NUM_THREADS")


def test_a_worker_computes_on_one_core(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert set(Processes(2).run(environment, range(3))) == {"1"}


def test_a_scheduler_that_is_not_there_is_a_wrong_call(monkeypatch):
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(UsageError, match="No Dask scheduler answers"),
        connect("tcp://127.0.0.1:1"),
    ):
        pass
    with pytest.raises(UsageError, match="No Dask scheduler answers"), connect("nonsense"):
        pass


# SLURM

ASKED = Slurm(partition="long", account="lab42", time="12:30:00", memory="6GB", workers=2)


def test_the_job_script_asks_for_what_was_given():
    pytest.importorskip("dask_jobqueue")
    with make_cluster(ASKED) as cluster:
        script = cluster.job_script()
    for line in (
        "#SBATCH -p long",
        "#SBATCH -A lab42",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=6G",
        "#SBATCH -t 12:30:00",
        "export OMP_NUM_THREADS=1",
    ):
        assert line in script.splitlines()
    assert "--nthreads 1" in script
    with pytest.raises(UsageError, match=r"slurm\.workers is 0"):
        Slurm(workers=0)


def test_no_sbatch_is_a_wrong_call(monkeypatch, tmp_path):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no sbatch"), queue(ASKED):
        pass


SBATCH = """#!/bin/sh
cp "$1" {folder}/job.sh
setsid sh {folder}/job.sh >/dev/null 2>&1 &
echo $! >> {folder}/pids
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -- -"$1"
"""


def test_workers_come_through_sbatch(monkeypatch, tmp_path):
    """A stand-in for SLURM that runs each job script at once shows that the workers join."""
    pytest.importorskip("dask_jobqueue")
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    try:
        with queue(Slurm(partition="long", memory="1GB", workers=1)) as executor:
            assert sorted(executor.run(abs, range(3))) == [0, 1, 2]
        assert "#SBATCH -p long" in (tmp_path / "job.sh").read_text()
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            if Path(f"/proc/{pid}").exists():
                os.killpg(int(pid), signal.SIGKILL)


def test_an_executor_on_a_cluster_needs_only_a_client(cluster):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(cluster) as client:
        assert list(OnCluster(client).run(double, [4])) == [8]
