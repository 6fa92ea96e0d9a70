"""How the files of one data set become recordings: a strict YAML without code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from brainfm.errors import UsageError
from brainfm.recordings.component import Component, component_of
from brainfm.recordings.recording import KINDS


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
        of the mains in Hz, for the notch; ``detect`` looks for 50 or 60 Hz, null makes no notch.
    reference
        what EEG is measured against anew: ``average`` of the good EEG channels, or a list of
        channel names for their mean; null leaves it as it was recorded.
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
        factor to volts or tesla, where the file's unit is wrong.
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
        _check_pattern(self.pattern)
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
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
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
        return Recipe(**{key: _checked(key, value) for key, value in given.items()})
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


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


def _checked(key: str, value: Any) -> Any:
    wanted, fits = _WANTED.get(key, _TEXT)
    if not fits(value):
        raise UsageError(f"{key} is {value!r} ({type(value).__name__}); {wanted} is wanted.")
    if key in ("labels", "reader"):
        return component_of(value)
    if isinstance(value, list):
        return tuple(value)
    return float(value) if _is_number(value) and key != "subjects" else value


def _check_band(recipe: Recipe) -> None:
    nyquist = recipe.sfreq / 2
    if recipe.sfreq <= 0:
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
