"""Files become recordings, through MNE."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.recordings import clean
from brainfm.recordings.cleaning import clean_blocks
from brainfm.recordings.edf_samples import read_edf
from brainfm.recordings.formats import FORMATS, UNREADABLE, Format, find_format
from brainfm.recordings.places import MEG
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations, Recording, Sensors, Stream
from brainfm.recordings.samples import RawSamples
from brainfm.recordings.sensors import read_sensors
from brainfm.recordings.sources import Source, source_of

COMPARED = 10.0
"""Seconds in which two channels of one name must be equal, in three places, to be one."""

STIM_SAMPLES = 2_000_000
"""Samples of the stimulus channels that are read at once."""


@dataclass(frozen=True)
class Identity:
    """Whose recording it is, and which."""

    subject: str
    session: str | None
    run: str | None
    task: str | None


def read_recording(source: Source | str, recipe: Recipe) -> Recording:
    """Check one recording, read its header, and return how its signal is read and cleaned.

    Parameters
    ----------
    source
        what `brainfm.recordings.sources.find_sources` found; a path is looked up first.
    recipe
        what to do with it.

    Raises
    ------
    Refused
        If the file cannot be trusted, with the reason.
    """
    source = source_of(source) if isinstance(source, str) else source
    who = identify(source.path, recipe)
    raw, form = _open(source)
    sensors, originals = read_sensors(
        raw.info, recipe, typed=form.typed, are_copies=partial(_are_copies, raw)
    )
    _check_length(raw, recipe)
    sensors = _rereferenced(sensors, recipe)
    return Recording(
        n_times=clean.resampled_length(int(raw.n_times), float(raw.info["sfreq"]), to=recipe.sfreq),
        sensors=sensors,
        sfreq=recipe.sfreq,
        annotations=_annotations(raw, recipe),
        source=source.path,
        provenance=_origin(recipe, sensors, originals)
        | _referred(raw, sensors)
        | _made(raw, recipe),
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


def _open(source: Source) -> tuple[mne.io.BaseRaw, Format]:
    """Open a recording whose files are whole, without loading the data."""
    path = Path(source.path)
    form = find_format(path)
    _check_there(source)
    if form is None:
        raise _unknown(path)
    form.check(path)
    # MNE warns of names, filters and dates that are not used; what matters is checked here.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = form.read(path)
    except Refused:
        raise
    except ImportError as error:
        raise Refused(
            Reason.needs_package,
            f"{form.name} needs a package that is not installed ({error.name or error}); "
            "pip install 'brainfm[formats]'.",
        ) from error
    except Exception as error:
        raise _unreadable(error) from error
    _check_hashed(raw, source)
    return raw, form


def _check_there(source: Source) -> None:
    for file in source.files:
        if not os.path.exists(file):
            raise Refused(
                Reason.missing,
                f"{Path(file).name} is a link to what is not here; get the content "
                "(git annex get, datalad get) or leave it out.",
            )
    if not any(os.path.getsize(file) for file in source.files if os.path.isfile(file)):
        raise Refused(Reason.empty, "It has no bytes; get the file again.")


def _unknown(path: Path) -> Refused:
    why = UNREADABLE.get(path.suffix.lower())
    if why is None:
        names = ", ".join(dict.fromkeys(form.name for form in FORMATS))
        why = (
            f"No reader claims {path.suffix or 'a file without suffix'} with this content; "
            f"a recording of {names} is wanted, with all its files."
        )
    return Refused(Reason.unknown_format, why)


def _check_hashed(raw: mne.io.BaseRaw, source: Source) -> None:
    """Refuse samples from a file that is not known to be part of the recording."""
    known = {Path(file).resolve() for file in source.files}
    for file in raw.filenames:
        if file is not None and Path(file).resolve() not in known:
            raise Refused(
                Reason.incomplete,
                f"It takes its samples from {Path(file).name}, which does not bear its name; "
                "give both files the same name.",
            )


def _are_copies(raw: mne.io.BaseRaw, names: Sequence[str]) -> bool:
    """Say whether channels are equal in three places of `COMPARED` s."""
    n = min(int(COMPARED * raw.info["sfreq"]) + 1, raw.n_times)
    starts = {0, (raw.n_times - n) // 2, raw.n_times - n}
    parts = [np.asarray(raw.get_data(list(names), start=s, stop=s + n)) for s in sorted(starts)]
    return all(np.array_equal(row, part[0]) for part in parts for row in part[1:])


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
        samples = read_edf(raw, originals) or RawSamples(raw, originals)
        return (yield from clean_blocks(samples, sensors, recipe))
    except Refused:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> Refused:
    text = " ".join(str(error).split())[:300]
    return Refused(
        Reason.unreadable, f"MNE cannot read it: {type(error).__name__}: {text}; get the original."
    )


def _rereferenced(sensors: Sensors, recipe: Recipe) -> Sensors:
    """Return the sensors as they are measured once the recipe's reference is taken."""
    if recipe.reference is None:
        return sensors
    given = recipe.reference
    name = given if isinstance(given, str) else "+".join(given)
    references = [
        name if kind == "eeg" else old
        for kind, old in zip(sensors.kind, sensors.reference, strict=True)
    ]
    return replace(sensors, reference=tuple(references))


def _made(raw: mne.io.BaseRaw, recipe: Recipe) -> dict[str, Any]:
    """Return what was done to the signal, as far as it is known before it is read."""
    sfreq = float(raw.info["sfreq"])
    return {
        "l_freq": recipe.l_freq,
        "h_freq": recipe.h_freq,
        "original_sfreq": sfreq,
        "reflected_edges": bool(raw.n_times / sfreq < clean.kernel_seconds(recipe.l_freq)),
        "unit_scale": recipe.unit_scale,
        "unit_reason": recipe.unit_reason,
    }


def _origin(recipe: Recipe, sensors: Sensors, originals: tuple[str, ...]) -> dict[str, Any]:
    renamed = {n: o for n, o in zip(sensors.names, originals, strict=True) if n != o}
    return {
        "recipe": recipe.name,
        "recipe_hash": recipe.hash,
        "original_names": renamed,
        "versions": {name: version(name) for name in ("mne", "numpy", "scipy")},
    }


def _referred(raw: mne.io.BaseRaw, sensors: Sensors) -> dict[str, Any]:
    """Return against what electrodes were measured, and the grade of MEG's compensation."""
    said = {r for r, kind in zip(sensors.reference, sensors.kind, strict=True) if kind == "eeg"}
    reference = said.pop() if len(said) == 1 else None
    if len(said) > 1 or any(source == "midpoint" for source in sensors.position_source):
        reference = "by channel"
    elif raw.info["custom_ref_applied"] and reference is None:
        reference = "custom"
    found: dict[str, Any] = {"reference": reference} if "eeg" in sensors.kind else {}
    if any(kind in MEG for kind in sensors.kind):
        found["compensation"] = int(raw.compensation_grade or 0)
    return found


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
    rows = mne.pick_types(raw.info, meg=False, stim=True)
    if not len(rows):
        return []
    info = mne.pick_info(raw.info, rows)
    sfreq, found = raw.info["sfreq"], []
    # In pieces, because a day of a stimulus channel is a gigabyte; each begins with the last sample
    # of the one before, from which a change is told.
    for start in range(0, max(raw.n_times - 1, 1), STIM_SAMPLES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = raw[rows, start : start + STIM_SAMPLES + 1][0]
            piece = mne.io.RawArray(values, info, first_samp=start, verbose="ERROR")
            found += list(mne.find_events(piece, shortest_event=1, verbose="ERROR"))
    return [
        (float(sample / sfreq), 0.0, recipe.events.get(int(code), str(code)))
        for sample, _, code in found
    ]
