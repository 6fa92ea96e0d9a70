"""What every training leaves beside its model: the resolved configuration and a manifest."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from brainfm.disk import write_whole
from brainfm.errors import UsageError
from brainfm.learning.processes import is_first

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
        If the folder holds a run of another configuration.
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
        raise UsageError(
            f"{out} holds a run with another configuration ({key} is {old.get(key)!r} there and "
            f"{new.get(key)!r} now); choose another --out or remove the folder."
        )


def note(out: Path, config: str) -> None:
    """Write a resolved configuration into a folder, as the first of the processes."""
    if not is_first():
        return
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / CONFIG, config.encode())


def contents(out: Path) -> set[str]:
    """Return the names of what lies in a folder; none where there is no folder."""
    return {path.name for path in out.iterdir()} if out.is_dir() else set()


def release(out: Path, before: set[str]) -> None:
    """Take the configuration back out of a folder in which the run left nothing.

    Parameters
    ----------
    out
        the folder.
    before
        what lay in it before the configuration.
    """
    if is_first() and contents(out) == before | {CONFIG} != before:
        (out / CONFIG).unlink()
        if not before:
            out.rmdir()


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
