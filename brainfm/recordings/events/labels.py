"""The labels that stand in files beside a recording, by the reader that its recipe names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.recordings.component import build
from brainfm.recordings.events import clinical, tuh
from brainfm.recordings.events.side import Event, SameStem, SideFile
from brainfm.recordings.privacy import Scrubber
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations, Source
from brainfm.recordings.sensors.labels import normalise_name


def attach_side_files(sources: Sequence[Source], recipe: Recipe) -> list[Source]:
    """Return the recordings with their label files among the files whose bytes matter.

    A label file that is itself a recording to MNE (a hypnogram in EDF+) is no source of its own.
    """
    reader = side_file(recipe)
    if reader is None:
        return list(sources)
    found = [reader.find(Path(source.path)) for source in sources]
    taken = {str(file) for files in found for file in files}
    return [
        replace(source, files=(*source.files, *map(str, files)))
        for source, files in zip(sources, found, strict=True)
        if source.path not in taken
    ]


def side_file(recipe: Recipe) -> SideFile | None:
    """Return the recipe's reader of label files, or None where it names none."""
    if recipe.labels is None:
        return None
    kinds = (*vars(tuh).values(), *vars(clinical).values())
    known = {
        k.__name__: k
        for k in kinds
        if isinstance(k, type) and issubclass(k, SideFile) and k not in (SideFile, SameStem)
    }
    return build(recipe.labels, SideFile, known)


def read_labels(
    path: str, recipe: Recipe, scrubber: Scrubber, *, seconds: float, label: str | None
) -> tuple[Annotations, dict[str, Any]]:
    """Return the labels of a recording, and what there is to say of where they came from.

    Parameters
    ----------
    path
        of the recording.
    recipe
        names the reader of the file beside it.
    scrubber
        takes people out of what the file says.
    seconds
        length of the recording.
    label
        of the whole recording, from its path.

    Raises
    ------
    Refused
        If the file is not there or does not say the recording's labels.
    """
    labels = [] if label is None else [Event(0.0, seconds, label)]
    reader = side_file(recipe)
    if reader is None:
        return _annotations(labels), {}
    recording = Path(path)
    files = reader.find(recording)
    if not files:
        raise Refused(
            Reason.no_labels,
            f"Its labels are missing: {type(reader).__name__} wants {reader.wanted(recording)} beside it; "
            "get the file, or take `labels` out of the recipe.",
        )
    read = [_scrub(one, scrubber) for one in reader.read(recording, files)]
    within = [_clip(one, seconds) for one in read if one.onset < seconds]
    facts = {
        "reader": type(reader).__name__,
        "files": [file.name for file in files],
        "n_labels": len(within),
        "n_clipped": sum(one not in read for one in within),
        "n_after_the_end": len(read) - len(within),
    }
    return _annotations(labels + within), {"labels": facts}


def _scrub(label: Event, scrubber: Scrubber) -> Event:
    channels = tuple(_scrub_channel(name, scrubber) for name in label.channels)
    return replace(label, description=scrubber.text(label.description), channels=channels)


def _scrub_channel(name: str, scrubber: Scrubber) -> str:
    # What is no electrode may be anything: people write into such files by hand.
    parts = name.split("-")
    return "-".join(part if normalise_name(part) else scrubber.text(part) for part in parts)


def _clip(label: Event, seconds: float) -> Event:
    return replace(label, duration=min(label.duration, seconds - label.onset))


def _annotations(labels: Iterable[Event]) -> Annotations:
    labels = sorted(
        labels, key=lambda one: (one.onset, one.duration, one.description, one.channels)
    )
    return Annotations(
        np.array([one.onset for one in labels], float),
        np.array([one.duration for one in labels], float),
        tuple(one.description for one in labels),
        tuple(one.channels for one in labels),
    )
