"""A command as a job of SLURM, which warns it before it takes the machines away and queues it again.

The script starts one process a task with srun; `brainfm.learning` learns from the environment which of
them it is. What SIGUSR1 or SIGTERM ended goes back into the queue and goes on there: a training keeps
its step first, and before its first step there is nothing to keep. What failed does not go back.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from brainfm.disk import write_whole
from brainfm.errors import UsageError, WorkError
from brainfm.stages.allocation import Allocation

SCRIPT = "job.sh"


def write_script(allocation: Allocation, verb: str, config: str, out: Path) -> str:
    """Return the script of a job, which needs no other file.

    Parameters
    ----------
    allocation
        what is asked for.
    verb
        of ``brainfm``.
    config
        its resolved configuration, as YAML.
    out
        folder of the run, after which the job is named.
    """
    # It also names a file, in which SLURM reads a % in its own way.
    name = re.sub(r"[^\w.-]+", "-", f"brainfm-{verb}-{out.name}")
    asked = {
        "job-name": name,
        "chdir": Path.cwd(),
        # Not into the run's folder: SLURM makes none, and a job whose output has no place fails.
        "output": f"{name}-%j.out",
        "open-mode": "append",
        "partition": allocation.partition,
        "account": allocation.account,
        "time": allocation.time,
        "nodes": allocation.nodes,
        "ntasks-per-node": allocation.processes,
        # Not by task: then each would see its own as the first, and Lightning counts them by node.
        "gpus-per-node": (allocation.gpus or 0) * allocation.processes or None,
        "cpus-per-task": allocation.cpus,
        "mem": allocation.memory,
        "signal": f"B:USR1@{allocation.warning}",
    }
    options = {key: shlex.quote(str(value)) for key, value in asked.items() if value is not None}
    return TEMPLATE.format(
        options="\n".join(f"#SBATCH --{key}={value}" for key, value in options.items()),
        config=shlex.quote(config),
        setup=allocation.setup,
        cpus=allocation.cpus,
        requeues=allocation.requeues,
        command=shlex.join([sys.executable, "-m", "brainfm", verb]),
    )


def check_place() -> None:
    """Refuse to submit from where there is no sbatch; `UsageError`."""
    if shutil.which("sbatch") is None:
        raise UsageError(
            "There is no sbatch on this machine; call from a login node of the cluster, or print the job's "
            "script with --dry-run and hand it to sbatch there."
        )


def submit(script: str) -> str:
    """Hand the script to sbatch and return what that says.

    Raises
    ------
    WorkError
        If it refuses the job.
    """
    # From a file: who writes into a pipe that nobody reads is ended by the system.
    with tempfile.TemporaryFile("w+") as given:
        given.write(script)
        given.seek(0)
        done = subprocess.run(["sbatch"], stdin=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(
            f"sbatch refused the job: {done.stderr.strip()}; correct the slurm options."
        )
    return done.stdout.strip()


def keep(script: str, out: Path) -> None:
    """Leave the script of a job that was taken in the run's folder."""
    write_whole(out / SCRIPT, script.encode())


TEMPLATE = """\
#!/bin/bash
{options}
#SBATCH --requeue

# What the command is to do: all of its options.
config={config}

# SLURM warns this script by USR1 before the time is over, and by TERM before it takes the machines for
# another job.
asked=0
trap 'asked=1' USR1 TERM

# srun gives the highest code of its tasks and, when one has failed, ends the others by TERM. Therefore:
# 75 of what a signal ended, 255 of what failed.
task='trap : USR1 TERM; "$@"; case $? in 0) ;; 138 | 143) exit 75 ;; *) exit 255 ;; esac'

export OMP_NUM_THREADS={cpus}
{setup}
code=75
if [ "$asked" = 0 ]; then
  srun --cpus-per-task={cpus} --kill-on-bad-exit=1 bash -c "$task" task \\
    {command} --config "$config" &
  # A signal also ends a wait. srun hands USR1 on to the tasks; while it starts them it may not.
  while kill -0 $! 2>/dev/null; do
    if [ "$asked" = 1 ]; then kill -USR1 $! 2>/dev/null; sleep 1; else wait $!; fi
  done
  wait $!
  code=$?
fi
[ "$code" != 0 ] || exit 0
[ "$code" != 255 ] || exit 1

# Ended by a signal, or killed because it did not end. A job that its user cancelled runs no more.
if [ "$code" = 75 ] || [ "$asked" = 1 ]; then
  if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {requeues} ]; then
    echo "brainfm: It was queued again {requeues} times (slurm.requeues); submit it again to go on." >&2
  elif scontrol show job "$SLURM_JOB_ID" | grep -q JobState=RUNNING; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$code"
"""
