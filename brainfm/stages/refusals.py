"""What a parser refuses, in a sentence that helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from brainfm.learning.adaptation import Name
from brainfm.stages.catalog import known_classes, options

KINDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "a text",
    "tuple": "a list such as [a, b]",
    "list": "a list such as [a, b]",
    "NoneType": "null",
}


def explain(message: str, files: Sequence[str]) -> str:
    """Make one sentence of a parser's message; where a class is not known, say which are.

    Parameters
    ----------
    message
        of jsonargparse.
    files
        the options, such as ``--model``, whose files may be named without a path.
    """
    keys = re.findall(r'Parser key "([\w.]+)"', message)
    key = keys[0] if keys else ""
    return (
        _unknown_class(message, key)
        or _unknown_option(message, key)
        or _no_file(message, key, files)
        or _wrong_kind(message, key)
        or _missing(message, files)
        or re.sub(r"\s+", " ", message).strip()
    )


def _unknown_class(message: str, key: str) -> str | None:
    found = re.search(r"Expected a dot import path string: (\S+)", message)
    if found is None:
        return None
    known = known_classes(key.rsplit(".", maxsplit=1)[-1])
    if key == "adaptation":
        known = [*get_args(Name), *known]
    where = f"{key}: " if key else ""
    return f"{where}there is no {found.group(1)!r}; known: {', '.join(known)}."


def _unknown_option(message: str, key: str) -> str | None:
    pattern = r"Option '(\w+)' is not accepted.*class_path='([\w.]+)'"
    found = re.search(pattern, message, re.DOTALL)
    if found is None or not key:
        return None
    option, path = found.groups()
    return f"{key}: {path} has no option {option!r}; known: {', '.join(options(path))}."


def _no_file(message: str, key: str, files: Sequence[str]) -> str | None:
    found = re.search(r'Unable to load config "([^"\n]+)"', message)
    if found is None or f"--{key}" not in files:
        return None
    return (
        f"{key}: there is no file {found.group(1)!r}, and paths in a configuration start from its folder; "
        f"one that comes with brainfm (`brainfm list {key}s`) is named on the command line, --{key} NAME."
    )


def _wrong_kind(message: str, key: str) -> str | None:
    kinds = re.findall(r"Expected an? (?:<class '(\w+)'>|typing\.Literal\[([^\]]+)\])", message)
    given = re.search(r"(?:Got|Given) value: (.+)", message)
    if not kinds or given is None or not key:
        return None
    wanted = [KINDS.get(kind, kind) if kind else f"one of {names}" for kind, names in kinds]
    return f"{key} is {given.group(1).strip()!r}; wanted is {' or '.join(dict.fromkeys(wanted))}."


def _missing(message: str, files: Sequence[str]) -> str | None:
    found = re.search(r"following arguments are required: (.+)", message)
    if found is None:
        return None
    names = found.group(1).split(", ")
    named = [f for f in files if any(name.startswith(f"{f[2:]}.") for name in names)]
    shorter = f" ({' and '.join(f'{f} NAME' for f in named)} gives what begins so)" if named else ""
    return (
        f"Missing: {', '.join(names)}{shorter}; give each on the command line or in a file that --config "
        "names, see --help."
    )
