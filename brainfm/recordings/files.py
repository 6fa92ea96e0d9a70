"""Files become recordings, through MNE."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob
from importlib.metadata import version
from os import walk
from pathlib import Path
from typing import Any

import mne
import numpy as np
from jaxtyping import Float

from brainfm.errors import UsageError
from brainfm.recordings import clean
from brainfm.recordings.edf import check_edf
from brainfm.recordings.fif import check_fif
from brainfm.recordings.plausible import check_amplitude
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations, Findings, Recording, Sensors, Stream
from brainfm.recordings.sensors import read_sensors


@dataclass(frozen=True)
class Format:
    """How files of one suffix are read.

    Attributes
    ----------
    read
        opens a file with MNE, without loading the data.
    typed
        True where the format states what each channel is.
    check
        raises `Refused` where a file is not whole.
    """

    read: Callable[..., mne.io.BaseRaw]
    typed: bool
    check: Callable[[Path], None]


FORMATS = {
    ".edf": Format(mne.io.read_raw_edf, typed=False, check=check_edf),
    ".bdf": Format(mne.io.read_raw_bdf, typed=False, check=check_edf),
    ".fif": Format(mne.io.read_raw_fif, typed=True, check=check_fif),
}
"""The readers, by suffix in lower case."""


@dataclass(frozen=True)
class Identity:
    """Whose recording it is, and which."""

    subject: str
    session: str | None
    run: str | None
    task: str | None


def find_files(sources: Sequence[str]) -> list[str]:
    """Return the recordings that files, folders and globs name, each once, in a stable order.

    A file is returned whatever its suffix; of a folder those whose suffix a reader is known for.

    Raises
    ------
    UsageError
        If a source is not there, or a folder holds no recording.
    """
    found: dict[Path, str] = {}
    for source in sources:
        for name in _expand(source):
            found.setdefault(Path(name).resolve(), name)
    return list(found.values())


def _expand(source: str) -> list[str]:
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return [str(path)]
    matches = sorted(glob(source, recursive=True))
    if not matches:
        raise UsageError(f"There is no file, folder or match for {source!r}; check the path.")
    return [name for match in matches for name in _expand(match)]


def _in_folder(folder: Path) -> list[str]:
    names = [
        str(Path(where) / name)
        for where, _, files in walk(folder)
        for name in files
        if Path(name).suffix.lower() in FORMATS
    ]
    if not names:
        raise UsageError(
            f"The folder {folder} holds no recording; "
            f"files ending in {', '.join(FORMATS)} are wanted."
        )
    return sorted(names)


def read_recording(source: str, recipe: Recipe) -> Recording:
    """Read, check and clean one file.

    Parameters
    ----------
    source
        path of the file.
    recipe
        what to do with it.

    Raises
    ------
    Refused
        If the file cannot be trusted, with the reason.
    """
    who = identify(source, recipe)
    path = Path(source)
    if path.stat().st_size == 0:
        raise Refused(Reason.empty, "It has no bytes; get the file again.")
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise Refused(
            Reason.unknown_format,
            f"No reader is known for {path.suffix or 'a file without suffix'}; "
            f"give a file that ends in {', '.join(FORMATS)}.",
        )
    form.check(path)
    raw = _open(path, form)
    sensors, originals = read_sensors(raw.info, recipe, typed=form.typed)
    _check_length(raw, recipe)
    return Recording(
        n_times=clean.resampled_length(int(raw.n_times), float(raw.info["sfreq"]), to=recipe.sfreq),
        sensors=sensors,
        sfreq=recipe.sfreq,
        annotations=_annotations(raw, recipe),
        source=source,
        provenance=_origin(recipe, sensors, originals),
        blocks=partial(_blocks, raw, sensors, originals, recipe=recipe),
        subject=who.subject,
        session=who.session,
        run=who.run,
        task=who.task,
    )


def identify(source: str, recipe: Recipe) -> Identity:
    """Return subject, session, run and task, from the path alone.

    The recipe's pattern decides; without one the BIDS entities of the path, else the file's stem
    is the subject. A file's header is never asked: it may hold a patient's name.
    """
    path = Path(source).as_posix()
    if recipe.pattern is not None:
        match = re.search(recipe.pattern, path)
        if match is None:
            raise Refused(
                Reason.pattern_mismatch,
                f"Its path does not match the recipe's pattern {recipe.pattern!r}.",
            )
        found = match.groupdict()
        return Identity(found["subject"], found.get("session"), found.get("run"), found.get("task"))
    found = dict(re.findall(r"(?:^|[/_])(sub|ses|run|task)-([A-Za-z0-9+]+)", path))
    subject = found.get("sub", Path(source).stem)
    return Identity(subject, found.get("ses"), found.get("run"), found.get("task"))


def _open(path: Path, form: Format) -> mne.io.BaseRaw:
    # MNE warns of names, filters and dates that are not used; what matters is checked here.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return form.read(path, preload=False, verbose="ERROR")
    except Exception as error:
        raise _unreadable(error) from error


def _check_length(raw: mne.io.BaseRaw, recipe: Recipe) -> None:
    seconds = raw.n_times / raw.info["sfreq"]
    if seconds < recipe.min_seconds:
        raise Refused(
            Reason.too_short,
            f"It lasts {seconds:.3g} s; min_seconds of the recipe wants {recipe.min_seconds:g} s.",
        )


def _blocks(
    raw: mne.io.BaseRaw, sensors: Sensors, originals: tuple[str, ...], *, recipe: Recipe
) -> Stream:
    # Whatever a strange file makes a reader or a filter raise, it is that file's fault.
    try:
        signal, provenance = _clean(_load(raw, originals, recipe), raw.info["sfreq"], recipe)
        check_amplitude(signal, sensors.kind)
    except Refused:
        raise
    except Exception as error:
        raise _unreadable(error) from error
    yield signal.astype(np.float32)
    return Findings(provenance=provenance)


def _load(
    raw: mne.io.BaseRaw, names: tuple[str, ...], recipe: Recipe
) -> Float[np.ndarray, "channel time"]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal = np.asarray(raw.get_data(picks=np.array(names), verbose="ERROR"))
    if not np.isfinite(signal).all():
        raise Refused(Reason.not_finite, "It has values that are not finite; mend or leave it out.")
    return signal * recipe.unit_scale


def _unreadable(error: Exception) -> Refused:
    text = " ".join(str(error).split())[:300]
    return Refused(
        Reason.unreadable, f"MNE cannot read it: {type(error).__name__}: {text}; get the original."
    )


def _clean(
    signal: Float[np.ndarray, "channel time"], sfreq: float, recipe: Recipe
) -> tuple[Float[np.ndarray, "channel new_time"], dict[str, Any]]:
    line = recipe.line_freq
    if line == "detect":
        line = clean.detect_line_freq(signal, sfreq)
    assert not isinstance(line, str)
    cleaned = clean.notch(signal, sfreq, line_freq=line)
    cleaned = clean.band_pass(cleaned, sfreq, l_freq=recipe.l_freq, h_freq=recipe.h_freq)
    cleaned = clean.resample(cleaned, sfreq, to=recipe.sfreq)
    seconds = signal.shape[1] / sfreq
    made = {
        "l_freq": recipe.l_freq,
        "h_freq": recipe.h_freq,
        "line_freq": line,
        "original_sfreq": float(sfreq),
        "reflected_edges": seconds < clean.kernel_seconds(recipe.l_freq),
        "unit_scale": recipe.unit_scale,
        "unit_reason": recipe.unit_reason,
    }
    return cleaned, made


def _origin(recipe: Recipe, sensors: Sensors, originals: tuple[str, ...]) -> dict[str, Any]:
    renamed = {n: o for n, o in zip(sensors.names, originals, strict=True) if n != o}
    return {
        "recipe": recipe.name,
        "recipe_hash": recipe.hash,
        "original_names": renamed,
        "versions": {name: version(name) for name in ("mne", "numpy", "scipy")},
    }


def _annotations(raw: mne.io.BaseRaw, recipe: Recipe) -> Annotations:
    """Return the file's annotations and the events of its stimulus channel, in order of time."""
    marks = raw.annotations
    # With a time of origin, onsets count from the clock's start, not from the first sample.
    shift = raw.first_time if marks.orig_time is not None else 0.0
    rows = [
        (float(onset) - shift, float(duration), str(description))
        for onset, duration, description in zip(
            marks.onset, marks.duration, marks.description, strict=True
        )
    ]
    rows += _stim_events(raw, recipe)
    rows.sort()
    onset, duration, description = zip(*rows, strict=True) if rows else ((), (), ())
    return Annotations(np.array(onset, float), np.array(duration, float), tuple(description))


def _stim_events(raw: mne.io.BaseRaw, recipe: Recipe) -> list[tuple[float, float, str]]:
    if "stim" not in raw.get_channel_types():
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = mne.find_events(raw, shortest_event=1, verbose="ERROR")
    sfreq = raw.info["sfreq"]
    return [
        (float((sample - raw.first_samp) / sfreq), 0.0, recipe.events.get(int(code), str(code)))
        for sample, _, code in events
    ]
