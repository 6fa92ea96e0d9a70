"""What an estimator and its data are, in so many words or as a hash, so that no two are taken for one."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any
from uuid import uuid4

import numpy as np
from sklearn.base import BaseEstimator

from brainfm.windows.stored import StoredWindows
from brainfm.windows.trials import Trials

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pyriemann", "torch")
"""What computes: other versions may give other numbers."""

COVERED = {"brainfm", "numpy", "scipy", "sklearn", "pyriemann", "torch", *sys.stdlib_module_names}
"""Packages whose classes are what their version says."""


def fingerprint(trials: Trials) -> str:
    """Return a hash of all that an estimator can see of a task's trials."""
    sensors = {f.name: getattr(trials.sensors, f.name) for f in fields(trials.sensors)}
    about = {
        "shape": trials.X.shape,
        "sfreq": trials.sfreq,
        "sensors": {k: describe(v) for k, v in sensors.items()},
        "y": trials.y.tolist(),
        "subject": trials.meta["subject"].tolist(),
        "onset": trials.meta["onset"].tolist(),
        "recording": trials.meta["recording"].tolist(),
    }
    return digest(json.dumps(about).encode(), *_contents(trials))


def _contents(trials: Trials) -> list[bytes]:
    """Return the windows, or what says where each stands and how it is made, where they are not at hand."""
    if not isinstance(trials.X, StoredWindows):
        return [np.ascontiguousarray(trials.X).tobytes()]
    view = json.dumps(describe(trials.X.reader.view), sort_keys=True)
    contents = "\n".join(trials.meta["fingerprint"])
    return [view.encode(), contents.encode(), trials.X.start.tobytes()]


def identify(estimator: BaseEstimator) -> str:
    """Return a hash of an estimator as it is configured, by `describe`."""
    return digest(json.dumps(describe(estimator), sort_keys=True).encode())


def describe(value: Any) -> Any:
    """Return an estimator, or an argument of one, as JSON that tells any two settings apart.

    A class or function from outside of brainfm, and of the libraries whose versions `Job` notes, comes with a
    hash of the source files of its package; of other packages that those import it does not. What has
    no faithful description is written as its ``repr``. Where that holds a memory address, or a class stands
    in no file, as in a notebook, the fold is computed anew each time: slow, but not a stale result.
    """
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False).items()
        return {"class": _name(type(value)), "params": {k: _param(k, v) for k, v in params}}
    if is_dataclass(value) and not isinstance(value, type):
        own = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"class": _name(type(value)), "fields": own}
    if isinstance(value, partial):  # as jsonargparse hands over a class that is yet to be called
        return {"call": [describe(value.func), describe(value.args), describe(value.keywords)]}
    if isinstance(value, dict):
        return {str(k): _param(str(k).rpartition("__")[2], v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v) for v in value]
    return _describe_leaf(value)


def _describe_leaf(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), digest(value.tobytes())]
    if isinstance(value, type | FunctionType) and "<" not in value.__qualname__:
        return _name(value)
    return repr(value)


def _name(value: type | FunctionType) -> Any:
    """Return the name of a class or function, and what it does if it is from elsewhere."""
    name = f"{value.__module__}.{value.__qualname__}"
    made_in = value.__mro__ if isinstance(value, type) else (value,)
    foreign = [part for part in made_in if part.__module__.partition(".")[0] not in COVERED]
    if not foreign:
        return name
    packages = sorted({part.__module__.partition(".")[0] for part in foreign})
    # A class may have been given other values than its file says.
    plain = [
        {
            k: v
            for k, v in vars(part).items()
            if k[:2] != "__" and isinstance(v, bool | int | float | str)
        }
        for part in foreign
    ]
    return {"name": name, "code": [_code(package) for package in packages], "values": plain}


def _code(package: str) -> str:
    """Return a hash of a package's source files, or of a module's one."""
    module = sys.modules.get(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    if not files and (file := getattr(module, "__file__", None)):
        files = [Path(file)]
    return digest(*(path.read_bytes() for path in files)) if files else uuid4().hex


def _param(name: str, value: Any) -> Any:
    """Describe a constructor's argument; a checkpoint, or each of several, by what is in it."""
    if name != "checkpoint" or value is None:
        return describe(value)
    if isinstance(value, str | Path):
        return [{"path": str(value), "content": _content(Path(value))}]
    return [part for one in value for part in _param(name, one)]


def _content(path: Path) -> str | None:
    """Return a hash of a file, or of the weights and cards under a folder."""
    if path.is_file():
        return digest(path.read_bytes())
    files = sorted(p for name in ("*.safetensors", "config.json") for p in path.rglob(name))
    return digest(*(p.read_bytes() for p in files)) if files else None


def digest(*parts: bytes) -> str:
    """Return a hash of bytes."""
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(part)
    return whole.hexdigest()
