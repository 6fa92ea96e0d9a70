"""The data sets of MOABB, the Mother of all BCI Benchmarks, as recordings: one a run.

Aristimunha et al., "Mother of all BCI Benchmarks", 2023, doi:10.5281/zenodo.10034223.
``moabb:BNCI2014_001`` is all people of a data set, ``moabb:BNCI2014_001/1,4-6`` some. MOABB downloads what is
not there, names the channels and gives trials as annotations, from the beginning of the task to its end.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.errors import UsageError
from brainfm.recordings.recording import Source

PREFIX = "moabb:"
"""What begins the name of a run; no file is named so."""


def find_runs(given: str) -> list[Source]:
    """Return the runs of a data set, downloading what is not there.

    Raises
    ------
    UsageError
        If MOABB is not installed, or has no such data set or person, or cannot get it.
    """
    name, _, people = given.removeprefix(PREFIX).partition("/")
    dataset = _dataset(name)
    known = list(dataset.subject_list)
    wanted = _people(people, given) if people else known
    if unknown := sorted(set(wanted) - set(known)):
        raise UsageError(f"{name} has no people {unknown}; it has {known[0]} to {known[-1]}.")
    return [source for subject in wanted for source in _runs_of(name, subject)]


def open_run(path: Path) -> mne.io.BaseRaw:
    """Return one run, with trials as annotations and no stimulus channel."""
    name, run = path.as_posix().removeprefix(PREFIX).split("/")
    found = re.fullmatch(r"sub-(\d+)_ses-(.+)_run-(.+)", run)
    assert found is not None
    raw = _load(name, int(found[1]))[found[2]][found[3]]
    # A copy in memory: what MOABB changed does not stand in the file that the samples came from.
    copy = mne.io.RawArray(
        np.asarray(raw.get_data()), raw.info.copy(), raw.first_samp, verbose="ERROR"
    )
    copy.set_annotations(raw.annotations, verbose="ERROR")
    triggers = [
        n for n, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "stim"
    ]
    return copy.drop_channels(triggers)


def _runs_of(name: str, subject: int) -> Iterator[Source]:
    try:
        sessions = _load(name, subject)
        files = tuple(_files(_dataset(name).data_path(subject)))
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise UsageError(
            f"MOABB does not give person {subject} of {name} ({type(error).__name__}: {text}); see to the "
            f"download, or name the people that are there, as in {PREFIX}{name}/1-3."
        ) from error
    if not files:
        raise UsageError(
            f"MOABB names no file of person {subject} of {name}, so nothing tells a change."
        )
    for session, runs in sessions.items():
        for run in runs:
            yield Source(f"{PREFIX}{name}/sub-{subject}_ses-{session}_run-{run}", files)


# A person's runs lie in the same files, and are asked for one after another.
@lru_cache(maxsize=1)
def _load(name: str, subject: int) -> dict[str, dict[str, mne.io.BaseRaw]]:
    return _dataset(name).get_data([subject])[subject]


def _dataset(name: str) -> Any:
    module, _, kind = name.rpartition(".")
    try:
        place = importlib.import_module(module or "moabb.datasets")
    except ImportError as error:
        raise UsageError(
            f"{PREFIX}{name} needs {module or 'MOABB'}, which is not installed; "
            "pip install 'brainfm[moabb]'."
        ) from error
    if not hasattr(place, kind):
        raise UsageError(
            f"MOABB has no data set {kind!r}; moabb.datasets names them, as in {PREFIX}BNCI2014_001."
        )
    return getattr(place, kind)()


def _people(text: str, given: str) -> list[int]:
    """Return 1, 4, 5, 6 of ``1,4-6``."""
    people = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if found is None:
            raise UsageError(f"{given} names no people; write them as {PREFIX}BNCI2014_001/1,4-6.")
        people += range(int(found[1]), int(found[2] or found[1]) + 1)
    return people


def _files(paths: Any) -> Iterator[str]:
    """Give the files of what MOABB returns: a path, or lists of them, of files and folders."""
    if isinstance(paths, str | Path):
        for where, _, names in os.walk(paths):
            yield from sorted(os.path.join(where, name) for name in names)
        if os.path.isfile(paths):
            yield str(paths)
    elif isinstance(paths, Sequence):
        for path in paths:
            yield from _files(path)
