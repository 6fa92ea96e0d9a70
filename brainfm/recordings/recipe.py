"""How the files of one data set become recordings: a strict YAML without code."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from brainfm.errors import UsageError
from brainfm.recordings.component import Component
from brainfm.recordings.recipe_values import checked, read_map
from brainfm.recordings.recording import KINDS

MAINS = (10.0, 100.0)
"""Hz between which the mains' frequency lies: 50 or 60 mostly, 16.7 of railways."""


@dataclass(frozen=True)
class Recipe:
    """What to do with the files of a data set.

    The defaults suit any EEG or MEG: 0.1 to 75 Hz, notch at the line frequency found in the
    spectrum, 200 Hz.

    Attributes
    ----------
    name
        of the data set.
    citation, licence, url
        whom to cite and under which terms, where it is to be had.
    access
        ``open``, or what has to be done before one may download it.
    subjects
        people in the data set.
    people_of
        name under which several data sets share their people's codes, such as ``tuh``: the same code in
        two of them is one person. Without it a code means somebody in this data set alone.
    files
        glob of the recordings, from the folder into which the data set was downloaded, for whoever reads the
        recipe: an ingest takes what it is given.
    pattern
        regular expression searched in the path, with the named groups ``subject`` and, where there
        are any, ``session``, ``run``, ``task``, and ``label``, which becomes an annotation of the whole
        recording. Without it BIDS entities of the path (``sub-01_ses-2_task-rest_run-1``) are used,
        else the file's stem is the subject.
    labels
        reader of the labels that stand in a file beside each recording, such as ``TuhCsv``: one of
        `brainfm.recordings.events.tuh` and `brainfm.recordings.events.clinical`, or any subclass of
        `brainfm.recordings.events.side.SideFile` by its full path. A recording without its file is
        set aside.
    reader
        class that opens the files, for formats that MNE does not read: ``Eeghdf``, ``BonnText``, ``ShuMat``,
        or the full path of anyone's `brainfm.recordings.formats.reader.Reader`, with ``init_args`` where it
        takes any.
    l_freq, h_freq
        edges of the band-pass in Hz; null leaves that side open.
    line_freq
        of the mains in Hz, 10 to 100, for the notch; ``detect`` looks for 50 or 60 Hz, null makes no notch.
    reference
        what EEG is measured against anew: ``average`` of the good EEG channels, or a list of
        channel names, of the file or ours, for their mean; null leaves it as it was recorded.
    sfreq
        sampling rate of the store in Hz.
    kinds
        sensor kinds to keep, of `brainfm.recordings.recording.KINDS`.
    rename
        channel name in the file to the name wanted.
    types
        channel name (in the file, or normalised; ``*`` stands for anything) to the kind wanted.
    drop
        channel names (likewise) to leave out.
    events
        code on the stimulus channel to the description wanted; other codes keep their number.
    keep_annotations
        descriptions, or patterns with ``*``, that stay word by word; of others the words of a vocabulary
        stay, so that no name is written (`docs/privacy.md`).
    montage
        MNE's name of the template whose electrode names are known and whose positions are used
        where the file has none.
    unit_scale
        factor to volts or tesla, above 0, where the file's unit is wrong.
    unit_reason
        why; required with ``unit_scale``.
    min_seconds
        recordings that are shorter are refused.
    """

    name: str = "default"
    citation: str = ""
    licence: str = ""
    url: str = ""
    access: str = "open"
    subjects: int = 0
    people_of: str = ""
    files: str = ""
    pattern: str | None = None
    labels: Component | None = None
    reader: Component | None = None
    l_freq: float | None = 0.1
    h_freq: float | None = 75.0
    line_freq: float | str | None = "detect"
    reference: str | tuple[str, ...] | None = None
    sfreq: float = 200.0
    kinds: tuple[str, ...] = ("eeg", "mag", "grad_planar", "grad_axial")
    rename: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    events: dict[int, str] = field(default_factory=dict)
    keep_annotations: tuple[str, ...] = ()
    montage: str = "standard_1005"
    unit_scale: float = 1.0
    unit_reason: str = ""
    min_seconds: float = 1.0

    def __post_init__(self) -> None:
        _check_band(self)
        _check_numbers(self)
        _check_pattern(self.pattern)
        if not self.kinds:
            raise UsageError(
                f"kinds is empty; sensor kinds to keep are wanted: {', '.join(KINDS)}."
            )
        for kind in (*self.kinds, *self.types.values()):
            if kind not in KINDS:
                raise UsageError(
                    f"The recipe names the sensor kind {kind!r}; known kinds: {', '.join(KINDS)}."
                )
        if self.unit_scale != 1 and not self.unit_reason:
            raise UsageError(
                f"The recipe sets unit_scale {self.unit_scale:g} without a unit_reason; "
                "say in unit_reason why the file's unit is wrong."
            )

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Return what all recordings of one store must share."""
        band = {"l_freq": self.l_freq, "h_freq": self.h_freq, "sfreq": self.sfreq}
        return band | {"reference": self.reference, "unit": "SI"}

    @property
    def preprocessing_hash(self) -> str:
        """Return the hash of `preprocessing`."""
        return digest(self.preprocessing)

    @property
    def hash(self) -> str:
        """Return the hash of all that changes a recording: not of what is said of the data set."""
        words = {"name", "citation", "licence", "url", "access", "subjects", "people_of", "files"}
        return digest({k: v for k, v in asdict(self).items() if k not in words})


def digest(value: Any) -> str:
    """Return a short hash of a value that JSON can hold, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML; a misspelt key or a wrong type is a `UsageError`."""
    if not path.is_file():
        raise UsageError(
            f"There is no recipe {path}; give a YAML file or a name of configs/datasets."
        )
    try:
        given = read_map(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"The recipe {path} is not YAML: {problem}.") from error
    if not isinstance(given, dict):
        raise UsageError(f"The recipe {path} holds no keys; a map of recipe fields is wanted.")
    known = {f.name: f for f in fields(Recipe)}
    for key in given:
        if key not in known:
            raise UsageError(
                f"The recipe {path} has the unknown key {key!r}; known keys: {', '.join(known)}."
            )
    try:
        return Recipe(**{key: checked(key, value) for key, value in given.items()})
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def find_pattern(name: str, patterns: Collection[str]) -> str | None:
    """Return which of a recipe's names and patterns (``*``) is a channel's; a name before any pattern."""
    if name in patterns:
        return name
    return next((p for p in patterns if "*" in p and fnmatchcase(name, p)), None)


def _check_band(recipe: Recipe) -> None:
    nyquist = recipe.sfreq / 2
    if not 0 < recipe.sfreq < math.inf:
        raise UsageError(f"sfreq is {recipe.sfreq:g} Hz; a sampling rate above 0 is wanted.")
    for name in ("l_freq", "h_freq"):
        edge = getattr(recipe, name)
        if edge is not None and not 0 < edge < nyquist:
            raise UsageError(
                f"{name} is {edge:g} Hz; an edge between 0 and {nyquist:g} Hz, half of the new "
                f"sampling rate, is wanted."
            )
    if recipe.l_freq is not None and recipe.h_freq is not None and recipe.l_freq >= recipe.h_freq:
        raise UsageError(f"l_freq {recipe.l_freq:g} Hz is not below h_freq {recipe.h_freq:g} Hz.")


def _check_numbers(recipe: Recipe) -> None:
    line = recipe.line_freq
    if isinstance(line, int | float) and not MAINS[0] <= line <= MAINS[1]:
        raise UsageError(
            f"line_freq is {line:g} Hz; a frequency of the mains, {MAINS[0]:g} to {MAINS[1]:g} Hz, is "
            "wanted, 'detect', or null for no notch."
        )
    if not 0 < recipe.unit_scale < math.inf:
        raise UsageError(
            f"unit_scale is {recipe.unit_scale:g}; a factor above 0 is wanted, such as 1.0e-6."
        )
    if not 0 <= recipe.min_seconds < math.inf:
        raise UsageError(
            f"min_seconds is {recipe.min_seconds:g}; a number of seconds, 0 or more, is wanted."
        )


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise UsageError(f"The pattern {pattern!r} is no regular expression: {error}.") from error
    known = {"subject", "session", "run", "task", "label"}
    if "subject" not in groups or not groups <= known:
        raise UsageError(
            f"The pattern {pattern!r} names the groups {sorted(groups)}; 'subject' is required, "
            "'session', 'run', 'task' and 'label' may be there."
        )
