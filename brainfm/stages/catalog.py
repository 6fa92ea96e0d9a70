"""The named configurations that come with brainfm, and the classes that YAML may name."""

from __future__ import annotations

import difflib
import importlib
import inspect
from pathlib import Path
from typing import Any

import yaml

import brainfm
from brainfm.errors import UsageError

FOLDERS = ("models", "datasets", "tasks", "runs")
COMPONENTS = {
    "backbones": "Backbone",
    "tokenizers": "Tokenizer",
    "objectives": "Objective",
    "masks": "Mask",
    "heads": "Head",
}


def configs() -> Path:
    """Return the folder of named configurations, of an installed package or of a checkout."""
    package = Path(brainfm.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def named(folder: str) -> dict[str, Path]:
    """Return name → file of the configurations in a folder of configs/."""
    return {path.stem: path for path in sorted((configs() / folder).glob("*.yaml"))}


def find(name: str, *folders: str) -> Path:
    """Return the file of a named configuration.

    Raises
    ------
    UsageError
        If there is none of that name; lists those there are.
    """
    known = {n: path for folder in folders for n, path in named(folder).items()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? Known" if near else "known"
        raise UsageError(
            f"There is no file and no named configuration {name!r}; {hint}: {', '.join(known)}."
        )
    return known[name]


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def components(folder: str) -> dict[str, type]:
    """Return name → class of the concrete components of a kind, ours and any that is imported."""
    import brainfm.stages.model  # noqa: F401  (imports all of brainfm's own)
    from brainfm import contracts

    def descend(kind: type) -> list[type]:
        return [k for child in kind.__subclasses__() for k in (child, *descend(child))]

    found = descend(getattr(contracts, COMPONENTS[folder]))
    return {
        k.__name__: k for k in sorted(found, key=lambda k: k.__name__) if not inspect.isabstract(k)
    }


def known_classes(key: str) -> list[str]:
    """Return the short names that YAML may use at a key, such as ``backbone``."""
    folder = f"{key}s"
    if folder in COMPONENTS:
        return list(components(folder))
    if key == "adaptation":
        from brainfm import learning

        known = [k for k in vars(learning).values() if inspect.isclass(k)]
        return [k.__name__ for k in known if issubclass(k, learning.adaptation.Adaptation)]
    if key == "label":
        from brainfm import evaluation

        return [n for n in evaluation.__all__ if n.endswith("Labels")]
    if key == "view":
        from brainfm.windows import interpolation, views

        found = {**vars(views), **vars(interpolation)}.items()
        return [n for n, k in found if inspect.isclass(k) and issubclass(k, views.View)][1:]
    return ["a class by its full path, such as brainfm.baselines.mdm or brainfm.learning.Finetuned"]


def options(class_path: str) -> list[str]:
    """Return the names of a class's or function's arguments."""
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def paper(kind: type) -> str:
    """Return where a component comes from: its module's second paragraph, or what the class says."""
    text = inspect.getdoc(inspect.getmodule(kind)) or ""
    _, _, rest = text.partition("\n\n")
    own, *_ = (inspect.getdoc(kind) or "").split("\n\n")
    return " ".join((rest.split("\n\n", maxsplit=1)[0] or own).split())
