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
    # An option inside another's value is named by both their keys.
    key = ".".join(re.findall(r'Parser key "([\w.]+)"', message))
    return (
        _unknown_class(message, key)
        or _unknown_option(message, key)
        or _no_file(message, key, files)
        or _wrong_kind(message, key)
        or _missing(message, key, files)
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
    found = re.search(r"Option '(\w+)' is not accepted", message)
    if found is None or not key:
        return None
    before = re.findall(r"given class_path '([\w.]+)'", message[: found.start()])
    after = re.findall(r"class_path='([\w.]+)'", message[found.end() :])
    path = (before[-1:] or after[:1] or [""])[0]
    listed = f"; known: {', '.join(options(path))}" if path else ""
    return f"{key}: {path or 'it'} has no option {found.group(1)!r}{listed}."


def _no_file(message: str, key: str, files: Sequence[str]) -> str | None:
    found = re.search(r'Unable to load config "([^"\n]+)"', message)
    key = key.rpartition(".")[2]
    if found is None or f"--{key}" not in files:
        return None
    return (
        f"{key}: there is no file {found.group(1)!r}, and paths in a configuration start from its folder; "
        f"one that comes with brainfm (`brainfm list {key}s`) is named on the command line, --{key} NAME."
    )


def _wrong_kind(message: str, key: str) -> str | None:
    kind = r"Expected an? (?:<class '(\w+)'>|typing\.Literal\[([^\]]+)\])"
    inner = re.search(kind + r"\. Got value: (.+?)(?:\. Got value|$)", message, re.MULTILINE)
    given = re.search(r"Given value: (.+)", message)
    if inner is not None:
        kinds, value = [inner.groups()[:2]], inner.group(3)
    elif given is not None and "Problem with" not in message:
        kinds, value = re.findall(kind, message), given.group(1)
    else:
        return None
    wanted = dict.fromkeys(
        KINDS.get(name, name) if name else f"one of {words}" for name, words in kinds
    )
    return f"{key} is {value.strip()!r}; wanted is {' or '.join(wanted)}." if wanted else None


def _missing(message: str, key: str, files: Sequence[str]) -> str | None:
    found = re.search(r"following arguments are required: (.+)", message)
    if found is None:
        return None
    names = found.group(1).split(", ")
    named = [f for f in files if any(name.startswith(f"{f[2:]}.") for name in names)]
    shorter = f" ({' and '.join(f'{f} NAME' for f in named)} gives what begins so)" if named else ""
    where = f"{key}: " if key else ""
    return (
        f"{where}Missing: {', '.join(names)}{shorter}; give each on the command line or in a file that "
        "--config names, see --help."
    )
