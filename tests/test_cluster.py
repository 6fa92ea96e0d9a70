"""Jobs on many processes: a dead worker costs no job, and a deadly job costs nothing but itself."""

import os
import signal
import stat
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from deadly import die_on, die_once, double, environment, fail_on
from threadpoolctl import threadpool_info, threadpool_limits

from brainfm import __version__
from brainfm.cli import main
from brainfm.errors import UsageError, WorkError
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sources import find_sources
from brainfm.recordings.state import State
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages import ingest as stage
from brainfm.stages import jobs
from brainfm.stages.assignments import Here, Job, Past
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
from brainfm.stages.ingest import ingest
from brainfm.stages.jobs import bring_in
from brainfm.stages.patience import Patience
from brainfm.stages.verify import verify
from brainfm.store import open_store
from brainfm.store.hold import writing
from brainfm.store.write import note_stat, remove_recording, write_quarantine

dask = pytest.importorskip("dask")
# distributed leaves its sockets and event loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def cluster():
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


@pytest.mark.parametrize("deadly", [{0}, {3, 4}])
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


def test_the_death_of_an_idle_worker_costs_nothing():
    executor = Processes(2)
    outcomes = executor.run(double, range(6))
    first = next(outcomes)
    for pid in list(executor._pool()._processes):
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)  # until the pool knows
    assert sorted([first, *outcomes]) == [0, 2, 4, 6, 8, 10]


def test_a_worker_computes_on_one_core(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert set(Processes(2).run(environment, range(3))) == {"1"}


def test_this_process_computes_on_one_core_while_it_ingests():
    def threads(_):
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        assert list(InProcess().run(threads, [0])) == [{1}]
        assert threads(0) == {2}


def test_a_scheduler_that_is_not_there_is_a_wrong_call(monkeypatch):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(UsageError, match="No Dask scheduler answers"),
        connect("tcp://127.0.0.1:1"),
    ):
        pass
    with pytest.raises(UsageError, match="No Dask scheduler answers"), connect("nonsense"):
        pass


# Whole ingests


@pytest.fixture
def raw(tmp_path):
    """Six short recordings of three subjects."""
    for recording in synthesise(3, seconds=4.0):
        write_edf(recording, tmp_path / "raw")
    return tmp_path / "raw"


def bring_in_or_die(job):
    """Bring a source in, unless its name says that its reader crashes."""
    if "deadly" in job.source.path:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return bring_in(job)


def content(store):
    opened = open_store(store)
    return {id: opened.entry(id).checksum for id in opened.table["id"]}


@pytest.fixture
def where(request, cluster):
    """What to call an ingest with, to run it on two processes or on the cluster."""
    if request.param == "processes":
        return {"workers": 2}
    return {"cluster": cluster.scheduler_address}


both = pytest.mark.parametrize("where", ["processes", "cluster"], indirect=True)


@both
def test_a_store_is_the_same_wherever_it_is_made(raw, tmp_path, monkeypatch, where):
    (raw / "empty.edf").write_bytes(b"")
    monkeypatch.chdir(raw)  # relative paths are told and identified as given, by every worker
    ingest(["."], store=Path("../one.zarr"))
    summary = ingest(["."], store=Path("../many.zarr"), **where)
    assert content(tmp_path / "many.zarr") == content(tmp_path / "one.zarr")
    assert summary.quarantined == {"empty.edf": "empty"}
    assert summary.memory > 50e6
    assert len(ingest(["."], store=Path("../many.zarr"), **where).unchanged) == 6


@both
def test_a_file_that_kills_its_readers_is_set_aside(raw, tmp_path, monkeypatch, where):
    deadly = raw / "deadly.edf"
    deadly.write_bytes((raw / "Subject00_1.edf").read_bytes())
    store = tmp_path / "s.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(stage, "bring_in", bring_in_or_die)
        summary = ingest([str(raw)], store=store, **where)
    assert len(summary.added) == 6
    assert summary.quarantined == {str(deadly): "killed_worker"}
    # It does not cost the next night, but it can be tried again where there is more memory.
    assert ingest([str(raw)], store=store).quarantined == {str(deadly): "killed_worker"}
    assert ingest([str(raw)], store=store, retry_quarantined=True).added == (str(deadly),)


def die_between_blocks(job):
    """Die as for want of memory, after a while in which blocks came in time."""
    if "deadly" in job.source.path:
        with job.patience.limit():
            pass
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return bring_in(job)


@both
def test_a_worker_that_dies_late_has_not_waited_too_long(raw, tmp_path, monkeypatch, where):
    deadly = raw / "deadly.edf"
    deadly.write_bytes((raw / "Subject00_1.edf").read_bytes())
    ingest([str(raw / "Subject00_1.edf")], store=tmp_path / "s.zarr")
    monkeypatch.setattr(stage, "bring_in", die_between_blocks)
    given = [str(deadly), str(raw / "Subject00_1.edf")]
    summary = ingest(given, store=tmp_path / "s.zarr", **where, timeout=1.0)
    assert summary.quarantined == {str(deadly): "killed_worker"}


@both
def test_a_reader_that_hangs_even_in_c_costs_its_time_and_its_file(raw, tmp_path, where):
    (tmp_path / "recipe.yaml").write_text("reader: hanging.Hanging\n")
    told = {"recipe": tmp_path / "recipe.yaml", "store": tmp_path / "s.zarr"}
    ingest([str(raw)], **told)
    (raw / "a.hang").write_text("in c")
    summary = ingest([str(raw)], **told, **where, timeout=1.0)
    assert len(summary.unchanged) == 6
    assert summary.quarantined == {str(raw / "a.hang"): "timed_out"}


def test_workers_that_are_killed_while_they_ingest_cost_nothing(
    raw, tmp_path, monkeypatch, cluster
):
    distributed = pytest.importorskip("distributed")
    store = tmp_path / "s.zarr"
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)  # another test may have killed them
        victim = next(iter(client.run(os.getpid).values()))

    def kill_when_one_is_in():
        while not list((store / "recordings").glob("sub-*")):
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_when_one_is_in)
    killer.start()
    monkeypatch.setattr(stage, "bring_in", bring_in_or_die)
    summary = ingest([str(raw)], store=store, cluster=cluster.scheduler_address)
    killer.join()
    assert (len(summary.added), summary.quarantined) == (6, {})
    ingest([str(raw)], store=tmp_path / "one.zarr")
    assert content(store) == content(tmp_path / "one.zarr")
    verify(store)


def test_one_place_is_enough(raw, tmp_path):
    with pytest.raises(UsageError, match="More than one of"):
        ingest([str(raw)], store=tmp_path / "s.zarr", workers=2, cluster="tcp://127.0.0.1:1")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(UsageError, match="No Dask scheduler"),
    ):
        ingest([str(raw)], store=tmp_path / "s.zarr", cluster="tcp://127.0.0.1:1")
    assert not (tmp_path / "s.zarr").exists()


@pytest.fixture
def job(raw, tmp_path):
    ingest([str(raw / "Subject00_1.edf")], store=tmp_path / "s.zarr")
    (source,) = find_sources([str(raw / "Subject01_1.edf")])
    return Job(
        source,
        Here(tmp_path / "s.zarr", "run", raw, Recipe(), "int16", __version__, Patience(60.0, True)),
        (),
        None,
    )


def test_a_worker_elsewhere_says_what_it_lacks(job, tmp_path):
    with writing(job.here.store) as held:
        right = replace(job.here, run=held.run)
        for changed, told in (
            ({"version": "0.0.1"}, "install the same on both"),
            ({"store": tmp_path / "unmounted.zarr"}, "does not see the store"),
        ):
            with pytest.raises(WorkError, match=told):
                bring_in(replace(job, here=replace(right, **changed)))
        assert bring_in(replace(job, here=right)).state == "added"


def test_a_worker_that_outlives_its_ingest_writes_nothing(job, monkeypatch):
    """Its leader was killed, and another ingest holds the store while it still reads."""
    store = job.here.store
    before = content(store)
    with writing(store), pytest.raises(WorkError, match="is over"):
        bring_in(job)

    def read(source, recipe, read=jobs.read_recording, **how):
        recording = read(source, recipe, **how)

        def blocks():
            findings = yield from recording.blocks()
            os.rename(store / ".partial", store / ".partial.old")  # as the other's sweep does
            return findings

        return replace(recording, blocks=blocks)

    monkeypatch.setattr(jobs, "read_recording", read)
    with writing(store) as held, pytest.raises(OSError, match="No such file"):
        bring_in(replace(job, here=replace(job.here, run=held.run)))
    assert content(store) == before
    assert sorted(os.listdir(store)) == ["quarantine", "recordings", "zarr.json"]


def test_a_worker_that_outlives_its_ingest_takes_nothing_away(raw, tmp_path, monkeypatch):
    """What it could not read was mended, and is in the store that another ingest holds by now."""
    store, path = tmp_path / "s.zarr", raw / "Subject01_1.edf"
    ingest([str(raw)], store=store)
    before = content(store)
    row = open_store(store).table.set_index("source").loc[str(path)]
    path.write_bytes(path.read_bytes()[:-1000])

    def read(source, recipe, read=jobs.read_recording, **how):
        os.rename(store / ".partial", store / ".partial.old")  # as the other's sweep does
        return read(source, recipe, **how)

    monkeypatch.setattr(jobs, "read_recording", read)
    with writing(store) as held:
        here = Here(store, held.run, raw, Recipe(), "int16", __version__, Patience(60.0, True))
        past = Past(row["id"], State(row.source_sha256, ""), row.recipe_hash)
        (source,) = find_sources([str(path)])
        with pytest.raises(WorkError, match="is over"):
            bring_in(Job(source, here, (past,), None))
    assert content(store) == before
    assert len(open_store(store).quarantined) == 0
    # Nor where the other takes over at the last moment.
    with pytest.raises(FileNotFoundError):
        remove_recording(store, row["id"], run=held.run)
    with pytest.raises(FileNotFoundError):
        note_stat(store, row["id"], "other", run=held.run)
    with pytest.raises(FileNotFoundError):
        write_quarantine(
            store, "a", reason="flat", detail="", sha256="", recipe_hash="", run=held.run
        )
    verify(store)


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


def test_what_slurm_would_refuse_is_a_wrong_call(capsys, tmp_path, raw):
    (tmp_path / "night.yaml").write_text("slurm: {time: 12:00:00}")
    for more, words in (
        ("--slurm.workers=0", "slurm.workers is 0"),
        ("--slurm.time=nonsense", "slurm.time is 'nonsense'"),
        (f"--config={tmp_path / 'night.yaml'}", "put it in quotes"),
    ):
        assert main(["ingest", str(raw), f"--store={tmp_path / 's.zarr'}", more]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "s.zarr").exists()


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


def test_an_ingest_through_sbatch_gives_the_same_store(monkeypatch, tmp_path, raw):
    """A stand-in for SLURM runs each job script at once."""
    pytest.importorskip("dask_jobqueue")
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    asked = [f"--slurm.{option}" for option in ("partition=long", "memory=1GB", "workers=1")]
    try:
        assert main(["ingest", str(raw), "--store", "many.zarr", *asked]) == 0
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            if Path(f"/proc/{pid}").exists():
                os.killpg(int(pid), signal.SIGKILL)
    assert "#SBATCH -p long" in (tmp_path / "job.sh").read_text()
    ingest([str(raw)], store=tmp_path / "one.zarr")
    assert content(tmp_path / "many.zarr") == content(tmp_path / "one.zarr")


def test_an_executor_on_a_cluster_needs_only_a_client(cluster):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(cluster) as client:
        assert list(OnCluster(client).run(double, [4])) == [8]
