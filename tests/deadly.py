"""Jobs for workers that only Python need know, some of which kill the process that does them."""

from __future__ import annotations

import os
import signal
import time

from brainfm.errors import UsageError


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


def environment(job):
    return os.environ.get("OMP_NUM_THREADS")
