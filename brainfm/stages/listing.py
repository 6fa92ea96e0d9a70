"""`brainfm list` and `brainfm show`: what there is, and what a size costs before it is trained."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Any

from brainfm.errors import UsageError
from brainfm.stages.catalog import COMPONENTS, FOLDERS, components, find, named, paper, read

EVERYTHING = ("models", *COMPONENTS, "datasets", "tasks", "runs")


def list_known(what: str | None = None) -> None:
    """List what there is, a line each with its paper.

    Parameters
    ----------
    what
        models, backbones, tokenizers, objectives, masks, heads, datasets, tasks or runs; all where
        none is named.
    """
    if what is not None and what not in EVERYTHING:
        raise UsageError(f"There are no {what!r} to list; known: {', '.join(EVERYTHING)}.")
    for group in (what,) if what else EVERYTHING:
        if what is None:
            print(f"\n{group}")
        lines = _lines(group)
        width = max(map(len, lines), default=0)
        for name, line in lines.items():
            print(f"  {name:<{width}}  {line}")


def _lines(group: str) -> dict[str, str]:
    if group in COMPONENTS:
        return {name: paper(kind) for name, kind in components(group).items()}
    return {name: _about(path) for name, path in named(group).items()}


def _about(path: Path) -> str:
    """Say in a line what a configuration is: its paper or citation, or the first line of its comment."""
    config = read(path)
    for key in ("paper", "citation"):
        if isinstance(config.get(key), str):
            return " ".join(config[key].split())
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def show(name: str, *, json: bool = False) -> None:
    """Show one named configuration: options and, of a model, parameters and shapes.

    Parameters
    ----------
    name
        of a model, data set, task or run in configs/.
    json
        print one JSON object.
    """
    path = find(name, *FOLDERS)
    facts = {"name": name, "is": path.parent.name, "options": read(path)}
    if path.parent.name == "models":
        facts |= describe_model(path)
    if json:
        print(json_format.dumps(facts, indent=1, default=str))
        return
    for key, value in facts.items():
        print(f"{key:<12} {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict | list):
        return json_format.dumps(value, default=str)
    return str(value)


def describe_model(path: Path) -> dict[str, Any]:
    """Build a model and say what its pretraining trains, and what its default window becomes."""
    import torch

    from brainfm.stages.model import load_model
    from brainfm.weights import count_parameters, describe

    model = load_model(path)
    objective = model.build(0).eval()
    parts = {"tokenizer": objective.tokenizer, "backbone": objective.backbone}
    counts = {k: count_parameters(part) for k, part in parts.items() if part is not None}
    total = count_parameters(objective)
    window = model.window.silence()
    with torch.no_grad():
        tokens = objective.tokenizer(window)
        features = objective.backbone(tokens) if objective.backbone else None
    return {
        "paper": model.paper,
        "parameters": total,
        "parts": counts | {"objective": total - sum(counts.values())},
        "window": {
            "seconds": model.window.seconds,
            "channels": model.window.n_channels,
            "sfreq": model.window.sfreq,
        },
        "tokens": list(tokens.value.shape[1:]),
        "vocabulary": objective.tokenizer.vocabulary,
        "features": list(features.value.shape[1:]) if features else None,
        "options": describe(objective),
    }
