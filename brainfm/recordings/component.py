"""A class that a recipe names: its short name or its full path, and the arguments it takes."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from typing import Any, TypeVar

from brainfm.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Component:
    """How YAML names a class.

    Attributes
    ----------
    class_path
        a short name of one of brainfm's, or the full path of any importable class.
    init_args
        arguments of its constructor.
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)


def component_of(value: Any) -> Component:
    """Return what YAML holds, a name or a map of ``class_path`` and ``init_args``, as a component.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if isinstance(value, str):
        return Component(value)
    arguments = value.get("init_args", {}) if isinstance(value, dict) else None
    named = isinstance(value, dict) and isinstance(value.get("class_path"), str)
    if not named or not isinstance(arguments, dict) or value.keys() - {"class_path", "init_args"}:
        raise UsageError(
            f"{value!r} names no class; a name, or a map of class_path and init_args, is wanted."
        )
    return Component(value["class_path"], arguments)


def build(component: Component, base: type[T], known: dict[str, type[T]]) -> T:
    """Make the object that a recipe asks for.

    Parameters
    ----------
    component
        what the recipe says.
    base
        what it must be.
    known
        brainfm's own classes by their short names.

    Raises
    ------
    UsageError
        If there is no such class, it is another kind of thing, or takes no such arguments.
    """
    kind = known.get(component.class_path) or _imported(component.class_path, known)
    if not (inspect.isclass(kind) and issubclass(kind, base)):
        raise UsageError(f"{component.class_path} is no {base.__name__}; name one that is.")
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in component.init_args.items()}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"{kind.__name__} does not take {component.init_args} ({error}); known arguments: "
            f"{', '.join(inspect.signature(kind).parameters) or 'none'}."
        ) from error


def _imported(path: str, known: dict[str, Any]) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"There is no class {path!r}; known: {', '.join(known)}, or any by its full path."
        ) from error
