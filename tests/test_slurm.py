"""Jobs for SLURM: what is asked for, and that a warned job goes on from the step it was warned in.

There is no SLURM here: sbatch, srun and scontrol are small programs that do start the processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from test_distributed import TRAINED, assert_same_curves
from test_pipeline import RECIPE
from test_resume import FAMILIES

from brainfm.cli import main
from brainfm.recordings.synthetic import synthesise, write_edf

# Runs the job as SLURM does: what `#SBATCH` asks for is in the environment of its tasks. An array is
# run task after task.
SBATCH = """#!{python}
import os, pathlib, re, subprocess, sys
given, names = [a for a in sys.argv[1:] if a.startswith("-")], sys.argv[1:]
while names[0].startswith("-"):
    names.pop(0)
script = pathlib.Path(names[0]).read_text() + "".join("\\n#SBATCH " + g for g in given)
asked = dict(re.findall(r"#SBATCH --([a-z-]+)=(\\S+)", script))
here = pathlib.Path(__file__).parent
(here / "asked").write_text("\\n".join(sorted(asked)))
known = {{"SLURM_JOB_ID": "4711", "SLURM_JOB_NUM_NODES": asked.get("nodes", "1")}}
known["SLURM_NTASKS"] = known["SLURM_NTASKS_PER_NODE"] = asked.get("ntasks-per-node", "1")
known["SLURM_JOB_NAME"] = asked.get("job-name", "job")
first, _, last = asked.get("array", "0").partition("-")  # 0-3
for task in range(int(first), int(last or first) + 1):
    more = known | {{"SLURM_ARRAY_TASK_ID": str(task)}}
    job = subprocess.Popen(["bash", *names], env=os.environ | more, start_new_session=True,
                           stdout=(here / "out").open("a"), stderr=subprocess.STDOUT)
    (here / "pid").write_text(str(job.pid))
    if "array" in asked:
        job.wait()
print("Submitted batch job 4711")
"""
SRUN = """#!{python}
import os, signal, subprocess, sys
n = int(os.environ["SLURM_NTASKS"])
def task(rank):
    own = {{"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODEID": 0, "SLURM_STEP_NUM_TASKS": n,
           "SLURM_STEP_NUM_NODES": 1, "SLURM_NODELIST": "127.0.0.1", "SLURM_NTASKS": n}}
    return subprocess.Popen(sys.argv[2:], env=os.environ | {{k: str(v) for k, v in own.items()}})
tasks = [task(rank) for rank in range(n)]
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, frame: [t.send_signal(number) for t in tasks])
sys.exit(max(t.wait() for t in tasks))
"""
SCONTROL = """#!/bin/bash
here=$(dirname "$0")
echo "$@" >> "$here/requeued"
"$here/sbatch" "$(cat "$here/script")"
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that go by SLURM's names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN}.items():
        (folder / name).write_text(text.format(python=sys.executable))
    (folder / "scontrol").write_text(SCONTROL)
    for path in folder.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for recording in synthesise(4, seconds=13.0, seed=1):
        write_edf(recording, tmp_path / "raw")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    raw, store = str(tmp_path / "raw"), f"--store={tmp_path / 'store.zarr'}"
    assert main(["ingest", raw, store, f"--recipe={tmp_path}/recipe.yaml"]) == 0
    return tmp_path


def command(folder: Path, name: str, *more: str, **train: object) -> list[str]:
    data = {"store": str(folder / "store.zarr"), "seconds": 2.0, "validation": 0.25}
    config = {"model": FAMILIES["FEMBA"], "data": data, "train": TRAINED | train, "seed": 3}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return ["pretrain", "--config", str(path), f"--out={folder / name}", *more]


def test_a_dry_run_prints_the_script_and_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--slurm.partition=gpu", "--slurm.nodes=2", "--slurm.processes=4", "--dry-run"]
    capsys.readouterr()
    assert main(command(place, "run", *more)) == 0
    script = capsys.readouterr().out
    for line in (
        *("--partition=gpu", "--nodes=2", "--ntasks-per-node=4", "--gpus-per-task=1"),
        *("--requeue", "--signal=B:USR1@120", f"--output={place}/run/slurm-%j.out"),
    ):
        assert f"#SBATCH {line}\n" in script
    assert f"-m brainfm pretrain --config {place}/run/config.yaml" in script
    assert not (place / "run").exists()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_wrong_options_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, words in (
        (["--slurm.nodes=0"], "slurm.nodes is 0"),
        (["--slurm.nods=1"], "nods"),
        (["--dry-run"], "--dry-run prints a job's script"),
    ):
        assert main(command(place, "run", *more)) == 2
        assert words in capsys.readouterr().err
        assert not (place / "run").exists()


def test_without_slurm_the_script_is_left_to_be_handed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(command(place, "run", "--slurm.gpus=0")) == 2
    assert "There is no sbatch" in capsys.readouterr().err


def wait_for(path: Path, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come; {path.parent}"
        time.sleep(0.02)


def test_a_job_of_two_processes_that_is_preempted_is_queued_again_and_loses_nothing(
    place: Path, cluster: Path
) -> None:
    steps = {"steps": 40, "checkpoint_every": 1000, "validate_every": 20}
    more = ["--slurm.processes=2", "--slurm.gpus=0", "--slurm.cpus=1"]
    (cluster / "script").write_text(str(place / "job" / "job.sh"))
    assert main(command(place, "job", *more, **steps)) == 0
    assert "ntasks-per-node" in (cluster / "asked").read_text()
    wait_for(place / "job" / "metrics.csv")  # some steps are done, and no checkpoint is due
    assert not (place / "job" / "last.ckpt").exists()
    os.kill(int((cluster / "pid").read_text()), signal.SIGTERM)
    wait_for(place / "job" / "manifest.json")
    assert (cluster / "requeued").read_text() == "requeue 4711\n"
    out = (cluster / "out").read_text()
    assert "Asked to stop, the training kept step" in out, out
    assert main(command(place, "whole", **steps)) == 0
    assert_same_curves(place / "whole", place / "job")


def test_a_sweep_evaluates_every_configuration_in_a_task_of_its_own(
    tmp_path: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster / "brainfm").write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/called\n')
    (cluster / "brainfm").chmod(0o755)
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    script = ROOT / "pipelines" / "slurm" / "evaluate.sh"
    subprocess.run([str(script), "a.yaml", "b c.yaml"], check=True, capture_output=True)
    called = (tmp_path / "called").read_text().splitlines()
    assert called == ["evaluate --config a.yaml", "evaluate --config b c.yaml"]
