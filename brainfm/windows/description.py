"""A view as a checkpoint and a manifest keep it, and what recordings give of it."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from brainfm.errors import UsageError
from brainfm.windows.plan import Plan
from brainfm.windows.views import Native, View


def describe_view(view: View) -> dict[str, Any]:
    """Return the class and arguments of a view, as JSON holds them.

    The keys are not YAML's ``class_path`` and ``init_args``: in a checkpoint those mean a component, and
    a tokenizer keeps the card that it was trained with.
    """
    kind = type(view)
    arguments = {f.name: _plain(getattr(view, f.name)) for f in fields(view)}  # ty: ignore
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "arguments": arguments}


def view_in(card: dict[str, Any]) -> View:
    """Return the view that a checkpoint was trained on; a card that names none is of native channels."""
    return view_of(card["view"]) if "view" in card else Native()


def view_of(description: dict[str, Any]) -> View:
    """Return the view that `describe_view` wrote down.

    Raises
    ------
    UsageError
        If it names no view that can be imported here.
    """
    module, _, name = description["class"].rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"The checkpoint names the view {description['class']!r}, which cannot be imported here; "
            "install the package that defines it."
        ) from error
    if not (inspect.isclass(kind) and issubclass(kind, View)):
        raise UsageError(f"{description['class']!r} is no view, so the checkpoint is refused.")
    return kind(**{k: _object(v) for k, v in description["arguments"].items()})


def describe_coverage(view: View, plans: Mapping[str, Plan]) -> str:
    """Say in a line what of a view the recordings give.

    Parameters
    ----------
    view
        the view.
    plans
        of each recording, by its id.
    """
    lost = Counter(name for plan in plans.values() for name in plan.lost)
    least = min(plans, key=lambda id: plans[id].coverage)
    text = f"view {type(view).__name__} of {len(plans)} recordings: "
    if not lost:
        return text + "every channel was measured in all of them"
    words = ", ".join(f"{name} in {n}" for name, n in sorted(lost.items()))
    return text + (
        f"{np.mean([p.coverage for p in plans.values()]):.1%} of the channels were measured, at least "
        f"{plans[least].coverage:.1%} ({least}); not measured: {words}"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, View):
        return describe_view(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _object(value: Any) -> Any:
    if isinstance(value, dict) and "class" in value:
        return view_of(value)
    return tuple(map(_object, value)) if isinstance(value, list) else value
