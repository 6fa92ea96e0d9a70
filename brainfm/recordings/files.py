"""Files become recordings, through MNE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brainfm.errors import UsageError
from brainfm.recordings import moabb
from brainfm.recordings.bids.describe import describe
from brainfm.recordings.cleaning import clean
from brainfm.recordings.cleaning.stream import clean_blocks
from brainfm.recordings.dates import DateShift
from brainfm.recordings.events.labels import read_labels
from brainfm.recordings.events.own import read_annotations
from brainfm.recordings.formats.added import recipe_formats
from brainfm.recordings.formats.edf_samples import read_edf
from brainfm.recordings.formats.known import FORMATS, find_format
from brainfm.recordings.formats.opening import open_raw, unreadable
from brainfm.recordings.formats.rates import at_own_rate, load_unlike
from brainfm.recordings.privacy import Scrubber, find_identity
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe, digest
from brainfm.recordings.recording import Recording, Sensors, Source, Stream, join_annotations
from brainfm.recordings.samples import RawSamples
from brainfm.recordings.sensors.channels import read_sensors
from brainfm.recordings.sensors.labels import normalise_name
from brainfm.recordings.sensors.places import MEG
from brainfm.recordings.sources import source_of

COMPARED = 10.0
"""Seconds in which two channels of one name must be equal, in three places, to be one."""


@dataclass(frozen=True)
class Identity:
    """Whose recording it is, and which."""

    subject: str
    session: str | None
    run: str | None
    task: str | None
    label: str | None = None


def read_recording(
    source: Source | str, recipe: Recipe, *, dates: DateShift | None = None
) -> Recording:
    """Check one recording, read its header, and return how its signal is read and cleaned.

    Parameters
    ----------
    source
        what `brainfm.recordings.sources.find_sources` found; a path is looked up first.
    recipe
        what to do with it.
    dates
        how the date of the recording is shifted; without it there is no date.

    Raises
    ------
    Refused
        If the file cannot be trusted, with the reason.
    """
    source = source_of(source, recipe) if isinstance(source, str) else source
    # Whatever a strange file makes a reader raise, it is that file's fault.
    try:
        return _read(source, recipe, dates)
    except (Refused, UsageError):
        raise
    except Exception as error:
        raise unreadable(error) from error


def hash_of_reading(recipe: Recipe, dates: DateShift | None) -> str:
    """Return the hash of all but the files that decides what becomes of a recording."""
    return recipe.hash if dates is None else digest([recipe.hash, dates.id])


def _read(source: Source, recipe: Recipe, dates: DateShift | None) -> Recording:
    who = identify(source.path, recipe)
    form = find_format(Path(source.path), (*recipe_formats(recipe), *FORMATS))
    raw = open_raw(source, form)
    scrubber = Scrubber(find_identity(raw.info), keep=recipe.keep_annotations)
    typed = form is not None and form.typed
    # The store compares the hash of the recipe as it was given.
    given, described = recipe, describe(Path(source.path), raw, recipe, scrubber)
    recipe = described.recipe
    sensors, originals = _sensors(raw, recipe, scrubber, typed=typed)
    signals = at_own_rate(raw, originals)
    _check_length(signals, recipe)
    n_times, sfreq = int(signals.n_times), float(signals.info["sfreq"])
    seconds = n_times / sfreq
    labels, told = read_labels(source.path, recipe, scrubber, seconds=seconds, label=who.label)
    renamed = dict(zip(originals, sensors.names, strict=True))
    marks, noted = described.events, {}
    if marks is None:
        marks, noted = read_annotations(raw, recipe, scrubber, renamed)
    recipe = _by_our_names(recipe, sensors.names)
    recorded, sensors = sensors, _rereferenced(sensors, recipe)
    return Recording(
        n_times=clean.resampled_length(n_times, sfreq, to=recipe.sfreq),
        sensors=sensors,
        sfreq=recipe.sfreq,
        annotations=join_annotations(marks, labels),
        source=source.path,
        provenance=_origin(given, sensors, [scrubber.label(name) for name in originals])
        | {"recipe_hash": hash_of_reading(given, dates)}
        | _dated(raw, dates, given, who)
        | _referred(raw, sensors)
        | _made(signals, recipe)
        | described.provenance
        | noted
        | told,
        blocks=partial(_blocks, signals, recorded, originals, recipe=recipe),
        subject=who.subject,
        session=who.session,
        run=who.run,
        task=who.task,
    )


def identify(source: str, recipe: Recipe) -> Identity:
    """Return subject, session, run and task, from the path alone.

    The recipe's pattern decides; without one, and for what MOABB has named, the BIDS entities of the
    path, else the file's stem is the subject. A file's header is never asked: it may hold a patient's name.
    """
    path = Path(source).as_posix()
    if recipe.pattern is not None and not path.startswith(moabb.PREFIX):
        match = re.search(recipe.pattern, path)
        if match is None or not match["subject"]:
            fails = "does not match" if match is None else "has no subject by"
            raise Refused(
                Reason.pattern_mismatch,
                f"Its path {fails} the recipe's pattern '{recipe.pattern}'; take the recipe of "
                "its data set, correct the pattern, or leave the file out.",
            )
        named = match.groupdict()
        who = (named.get(key) for key in ("session", "run", "task", "label"))
        return Identity(named["subject"], *who)
    found = dict(re.findall(r"(?:^|[/_])(sub|ses|run|task)-([A-Za-z0-9+]+)", path))
    subject = found.get("sub", Path(source).stem)
    return Identity(subject, found.get("ses"), found.get("run"), found.get("task"))


def _sensors(
    raw: mne.io.BaseRaw, recipe: Recipe, scrubber: Scrubber, *, typed: bool
) -> tuple[Sensors, tuple[str, ...]]:
    """Return the sensors, none named after a person, and the names that the file has for them."""
    try:
        sensors, originals = read_sensors(
            raw.info, recipe, typed=typed, are_copies=partial(_are_copies, raw)
        )
    except Refused as error:
        raise Refused(error.reason, scrubber.label(error.detail)) from error
    names = tuple(
        name if scrubber.label(name) == name else f"channel {i}"
        for i, name in enumerate(sensors.names)
    )
    return replace(sensors, names=names), originals


def _are_copies(raw: mne.io.BaseRaw, names: Sequence[str]) -> bool:
    """Say whether channels are equal in three places of `COMPARED` s."""
    n = min(int(COMPARED * raw.info["sfreq"]) + 1, raw.n_times)
    starts = {0, (raw.n_times - n) // 2, raw.n_times - n}
    parts = [np.asarray(raw.get_data(np.array(names), start=s, stop=s + n)) for s in sorted(starts)]
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
        samples = read_edf(raw, originals) or RawSamples(load_unlike(raw, originals), originals)
        return (yield from clean_blocks(samples, sensors, recipe))
    except Refused:
        raise
    except Exception as error:
        raise unreadable(error) from error


def _by_our_names(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """Return the recipe with its reference's channels named as ours are: a file's T3 is T7."""
    if not isinstance(recipe.reference, tuple):
        return recipe
    ours = (
        name if name in names else normalise_name(name, recipe.montage) or name
        for name in recipe.reference
    )
    return replace(recipe, reference=tuple(ours))


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


@cache
def _version(package: str) -> str:
    # Looking it up takes longer than opening a file.
    return metadata.version(package)


def _origin(recipe: Recipe, sensors: Sensors, originals: Sequence[str]) -> dict[str, Any]:
    renamed = {n: o for n, o in zip(sensors.names, originals, strict=True) if n != o}
    return {
        "recipe": recipe.name,
        "original_names": renamed,
        "versions": {name: _version(name) for name in ("mne", "numpy", "scipy")},
    }


def _dated(
    raw: mne.io.BaseRaw, dates: DateShift | None, recipe: Recipe, who: Identity
) -> dict[str, Any]:
    """Return when it was recorded, shifted, and by which key; nothing where nothing tells."""
    when = raw.info["meas_date"]
    if dates is None or when is None:
        return {}
    shifted = dates.shift(when, dataset=recipe.name, subject=who.subject)
    return {"date": shifted.isoformat(timespec="seconds"), "date_key": dates.id}


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
