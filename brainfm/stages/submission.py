"""A training as a job of SLURM, which warns it before it takes the machines away and queues it again.

The script starts one process a task with srun; `brainfm.learning` learns from the environment which of
them it is. On SIGUSR1 or SIGTERM the step under way is finished and kept, and the script puts the job
back into the queue, where it goes on with the next step.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainfm.disk import write_whole
from brainfm.errors import UsageError, WorkError

SCRIPT = "job.sh"


@dataclass(frozen=True)
class Allocation:
    """What a training asks of SLURM.

    Attributes
    ----------
    partition
        where the job is queued.
    account
        that pays.
    time
        that the job may run before it is queued again, as ``HH:MM:SS``.
    nodes
        machines.
    processes
        on each node, each with a device of its own.
    gpus
        for each process; 0 trains on processors.
    cpus
        cores for each process.
    memory
        of each node.
    warning
        seconds before the time is over at which SLURM warns; a step, a validation and a checkpoint
        must fit in.
    setup
        a line of shell that comes first, for instance ``module load cuda``.
    """

    partition: str | None = None
    account: str | None = None
    time: str = "24:00:00"
    nodes: int = 1
    processes: int = 1
    gpus: int = 1
    cpus: int = 8
    memory: str = "64GB"
    warning: int = 120
    setup: str = ""

    def check(self) -> None:
        """Refuse numbers that cannot be; `UsageError`."""
        for name in ("nodes", "processes", "cpus", "warning"):
            if getattr(self, name) < 1:
                raise UsageError(f"slurm.{name} is {getattr(self, name)}; 1 or more are wanted.")


def write_script(allocation: Allocation, arguments: Sequence[str], out: Path) -> str:
    """Return the script of a job.

    Parameters
    ----------
    allocation
        what is asked for.
    arguments
        of ``brainfm``.
    out
        folder of the run, where the job's output goes.

    Raises
    ------
    UsageError
        If a number of the allocation cannot be.
    """
    allocation.check()
    asked = {
        "job-name": f"brainfm-{arguments[0]}-{out.name}",
        "chdir": Path.cwd(),
        "output": out.absolute() / "slurm-%j.out",
        "open-mode": "append",
        "partition": allocation.partition,
        "account": allocation.account,
        "time": allocation.time,
        "nodes": allocation.nodes,
        "ntasks-per-node": allocation.processes,
        "gpus-per-task": allocation.gpus or None,
        "cpus-per-task": allocation.cpus,
        "mem": allocation.memory,
        "signal": f"B:USR1@{allocation.warning}",
    }
    lines = [f"#SBATCH --{k}={v}" for k, v in asked.items() if v is not None]
    command = shlex.join([sys.executable, "-m", "brainfm", *arguments])
    return TEMPLATE.format(
        options="\n".join(lines), setup=allocation.setup, cpus=allocation.cpus, command=command
    )


def submit(script: str, out: Path) -> str:
    """Leave the script in the run's folder, hand it to sbatch and return what that says.

    Raises
    ------
    UsageError
        If there is no sbatch here.
    WorkError
        If it refuses the job.
    """
    path = out / SCRIPT
    write_whole(path, script.encode())
    try:
        done = subprocess.run(["sbatch", str(path)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no sbatch on this machine; call from a login node of the cluster, or hand {path} "
            "to SLURM there."
        ) from error
    if done.returncode:
        raise WorkError(f"sbatch refused {path}: {done.stderr.strip()}; correct the slurm options.")
    return done.stdout.strip()


TEMPLATE = """\
#!/bin/bash
{options}
#SBATCH --requeue

# SLURM warns this script by USR1 before the time is over, and by TERM before it takes the machines for
# another job. srun hands the warning on; the training finishes its step, keeps it and ends.
asked=0
warned() {{ asked=1; kill -USR1 "$step" 2>/dev/null; }}
trap warned USR1 TERM

export OMP_NUM_THREADS={cpus}
{setup}
srun --kill-on-bad-exit=1 {command} &
step=$!

# A signal also ends a wait.
while kill -0 "$step" 2>/dev/null; do wait "$step"; done
wait "$step"
code=$?
if [ "$asked" = 1 ] && [ "$code" != 0 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""
