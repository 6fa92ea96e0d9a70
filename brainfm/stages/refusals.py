"""What a parser refuses, in a sentence that helps."""

from __future__ import annotations

import re
from collections.abc import Sequence

from brainfm.stages.catalog import known_classes, options


def explain(message: str, files: Sequence[str]) -> str:
    """Make one sentence of a parser's message; where a class is not known, say which are.

    Parameters
    ----------
    message
        of jsonargparse.
    files
        the options, such as ``--model``, whose files may be named without a path.
    """
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    key = re.search(r'Parser key "([\w.]+)"', message)
    if unknown:
        known = known_classes((key.group(1) if key else "").rsplit(".", maxsplit=1)[-1])
        where = f"{key.group(1)}: " if key else ""
        return f"{where}there is no {unknown.group(1)!r}; known: {', '.join(known)}."
    refused = re.search(
        r"Option '(\w+)' is not accepted.*class_path='([\w.]+)'", message, re.DOTALL
    )
    if refused and key:
        option, path = refused.groups()
        listed = ", ".join(options(path))
        return f"{key.group(1)}: {path} has no option {option!r}; known: {listed}."
    absent = re.search(r'Parser key "(\w+)": Unable to load config "([^"\n]+)"', message)
    if absent and f"--{absent.group(1)}" in files:
        key, file = absent.groups()
        return (
            f"{key}: there is no file {file!r}, and paths in a configuration start from its folder; one that "
            f"comes with brainfm (`brainfm list {key}s`) is named on the command line, --{key} NAME."
        )
    return re.sub(r"\s+", " ", message).strip()
