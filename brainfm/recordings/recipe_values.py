"""What may stand in a recipe's YAML: each key once, each value of its field's type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import yaml

from brainfm.errors import UsageError
from brainfm.recordings.component import component_of


def read_map(text: str) -> Any:
    """Return what a YAML text holds, without code.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, or a key stands in a map twice: of the two values one would be lost.
    """
    return yaml.load(text, Loader=_OnceLoader)


class _OnceLoader(yaml.SafeLoader):
    """YAML's safe loader, for which each key of a map is there once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a map; one with a key twice is a `yaml.YAMLError`."""
        for key, count in Counter(str(key.value) for key, _ in node.value).items():
            if count > 1:
                raise yaml.YAMLError(f"the key {key} stands in one map {count} times")
        return super().construct_mapping(node, deep)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, (*value, *value.values())))


def _is_code_map(value: Any) -> bool:
    return isinstance(value, dict) and all(type(k) is int and _is_text(value[k]) for k in value)


_TEXT = ("text", _is_text)
_OPTIONAL_TEXT = ("text or null", lambda v: v is None or _is_text(v))
_NUMBER = ("a number", _is_number)
_OPTIONAL_NUMBER = ("a number or null", lambda v: v is None or _is_number(v))
_TEXTS = ("a list of texts", _is_texts)
_TEXT_MAP = ("a map from text to text", _is_text_map)
_CLASS = ("the name of a class or a map", lambda v: isinstance(v, str | dict))
_WANTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "pattern": _OPTIONAL_TEXT,
    "labels": _CLASS,
    "reader": _CLASS,
    "l_freq": _OPTIONAL_NUMBER,
    "h_freq": _OPTIONAL_NUMBER,
    "line_freq": (
        "a number, 'detect' or null",
        lambda v: v is None or v == "detect" or _is_number(v),
    ),
    "subjects": ("a whole number", lambda v: type(v) is int),
    "reference": (
        "'average', a list of channel names or null",
        lambda v: v is None or v == "average" or (_is_texts(v) and bool(v)),
    ),
    "sfreq": _NUMBER,
    "kinds": _TEXTS,
    "rename": _TEXT_MAP,
    "types": _TEXT_MAP,
    "drop": _TEXTS,
    "keep_annotations": _TEXTS,
    "events": ("a map from whole numbers to text", _is_code_map),
    "unit_scale": _NUMBER,
    "min_seconds": _NUMBER,
}


def checked(key: str, value: Any) -> Any:
    """Return the value of a field as a recipe holds it; one of another type is a `UsageError`."""
    wanted, fits = _WANTED.get(key, _TEXT)
    if not fits(value):
        raise UsageError(f"{key} is {value!r} ({type(value).__name__}); {wanted} is wanted.")
    if key in ("labels", "reader"):
        return component_of(value)
    if isinstance(value, list):
        return tuple(value)
    return float(value) if _is_number(value) and key != "subjects" else value
