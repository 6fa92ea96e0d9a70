"""What every training leaves beside its model: the resolved configuration and a manifest."""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from brainfm.disk import write_whole
from brainfm.errors import UsageError
from brainfm.learning.processes import is_first, say_once

CONFIG, MANIFEST = "config.yaml", "manifest.json"
LIBRARIES = ("brainfm", "torch", "lightning", "mne", "zarr", "numpy", "scikit-learn", "pyriemann")


HOW = {
    "profile",
    *(
        f"train.{name}"
        for name in (
            *("accelerator", "devices", "nodes", "workers", "ahead", "loggers"),
            *("strategy", "recompute", "peak_flops"),
        )
    ),
    "model.backbone.init_args.scan",
}
"""Options that say on what a run is computed, not what: a run may go on with others."""


def claim(out: Path, config: str) -> None:
    """Take ``out`` for a run of this configuration.

    Of processes that train together every one looks, and the first alone writes.

    Raises
    ------
    UsageError
        If the folder holds a run of another configuration; the first one's says how.
    """
    compare(out, config)
    if not (out / CONFIG).exists():
        note(out, config)


def compare(out: Path, config: str) -> None:
    """Refuse a folder that holds a run of another configuration; `UsageError`."""
    path = out / CONFIG
    if not path.exists():
        return
    old, new = (_flat(yaml.safe_load(text)) for text in (path.read_text(), config))
    keys = (old.keys() | new.keys()) - HOW
    if changed := sorted(k for k in keys if old.get(k) != new.get(k)):
        key = changed[0]
        told = (
            f"{out} holds a run with another configuration ({key} is {old.get(key)!r} there and "
            f"{new.get(key)!r} now); choose another --out or remove the folder."
        )
        raise UsageError(say_once(told))


def note(out: Path, config: str) -> None:
    """Write a resolved configuration into a folder, as the first of the processes."""
    if not is_first():
        return
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / CONFIG, config.encode())


@dataclass(frozen=True)
class Before:
    """What lay in a folder before a run.

    Attributes
    ----------
    config
        the configuration; None where there was none.
    others
        size and time of every other file, by its path; None of a folder.
    """

    config: bytes | None
    others: dict[Path, tuple[int, int] | None]


def look(out: Path) -> Before:
    """Return what lies in a folder; nothing where there is no folder."""
    config = (out / CONFIG).read_bytes() if (out / CONFIG).exists() else None
    return Before(config, _others(out))


def release(out: Path, before: Before) -> None:
    """Put back the configuration that was there, or none, where the run left nothing else in a folder.

    Parameters
    ----------
    out
        the folder.
    before
        what lay in it before the run's configuration.
    """
    if not is_first() or _others(out) != before.others:
        return
    if before.config is None:
        (out / CONFIG).unlink(missing_ok=True)
        if not before.others:
            out.rmdir()
    elif (out / CONFIG).read_bytes() != before.config:
        write_whole(out / CONFIG, before.config)


def _others(out: Path) -> dict[Path, tuple[int, int] | None]:
    found: dict[Path, tuple[int, int] | None] = {}
    for path in out.rglob("*"):
        with suppress(FileNotFoundError):  # another process had it for a moment
            about = path.stat()
            found[path] = None if path.is_dir() else (about.st_size, about.st_mtime_ns)
    found.pop(out / CONFIG, None)
    return found


def is_finished(out: Path) -> bool:
    """Return whether a training is finished; the first of the processes says so."""
    finished = (out / MANIFEST).exists()
    if finished and is_first():
        print(f"{out} is finished: nothing to do. Remove it to train again.")
    return finished


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        k: v
        for key, inner in value.items()
        for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def now() -> str:
    """Return the time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_manifest(out: Path, started: str, **facts: Any) -> None:
    """Write what a run was: command, versions, times and ``facts``."""
    # A job is given its configuration as text, which has become the folder's.
    words = [str(out / CONFIG) if "\n" in word else word for word in sys.argv[1:]]
    manifest = {
        "command": " ".join(["brainfm", *words]),
        "started": started,
        "finished": now(),
        "versions": versions(),
    }
    text = json.dumps(manifest | facts, indent=2, sort_keys=True)
    write_whole(out / MANIFEST, text.encode())
