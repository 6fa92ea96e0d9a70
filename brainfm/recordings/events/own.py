"""What a file says happened: its annotations, scrubbed, and the events of its stimulus channels."""

from __future__ import annotations

from collections.abc import Iterator

import mne
import numpy as np

from brainfm.recordings.formats.opening import quiet
from brainfm.recordings.privacy import Scrubber
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import BOUNDARY, JOINS, Annotations

PIECE = 2_000_000
"""Samples of the stimulus channels that are read at once."""

FASTEST = 20.0
"""Changes a second, on average, above which a stimulus channel holds no triggers but a signal."""

_Row = tuple[float, float, str, tuple[str, ...]]


def read_annotations(
    raw: mne.io.BaseRaw, recipe: Recipe, scrubber: Scrubber, names: dict[str, str]
) -> tuple[Annotations, dict[str, int]]:
    """Return the file's annotations and the events of its stimulus channels, in order of time.

    Stimulus channels that change more than `FASTEST` times a second, on average, give no events; how many
    changes were left out is returned beside, for the provenance.

    Parameters
    ----------
    raw
        the file.
    recipe
        names the codes of the stimulus channels.
    scrubber
        takes people out of the descriptions.
    names
        our name of each channel of the file, for annotations of single channels.
    """
    events, left_out = _stim_events(raw, recipe)
    rows = sorted([*_marks(raw, scrubber, names), *events])
    onset, duration, description, channels = zip(*rows, strict=True) if rows else ((), (), (), ())
    marks = Annotations(
        np.array(onset, float), np.array(duration, float), tuple(description), tuple(channels)
    )
    return marks, {"stimulus_changes_left_out": left_out} if left_out else {}


def _marks(raw: mne.io.BaseRaw, scrubber: Scrubber, names: dict[str, str]) -> Iterator[_Row]:
    marks = raw.annotations
    # With a time of origin, onsets count from the clock's start, not from the first sample.
    shift = raw.first_time if marks.orig_time is not None else 0.0
    for onset, duration, description, about in zip(
        marks.onset, marks.duration, marks.description, marks.ch_names, strict=True
    ):
        start = float(onset) - shift
        joined = description in JOINS
        text = BOUNDARY if joined and start > 0 else scrubber.text(str(description))
        channels = tuple(names.get(name) or scrubber.label(name) for name in about)
        # EEGLAB gives a join the length of what was cut out, which is not there any more.
        yield start, 0.0 if joined else float(duration), text, channels


def _stim_events(raw: mne.io.BaseRaw, recipe: Recipe) -> tuple[list[_Row], int]:
    """Return the events of the stimulus channels, or none and how many there would be."""
    rows = mne.pick_types(raw.info, meg=False, stim=True)
    if not len(rows):
        return [], 0
    sfreq = raw.info["sfreq"]
    events = np.concatenate(list(_pieces(raw, rows)))
    if len(events) > FASTEST * max(raw.n_times / sfreq, 1):
        return [], len(events)
    named: list[_Row] = [
        (float(sample / sfreq), 0.0, recipe.events.get(int(code), str(code)), ())
        for sample, _, code in events
    ]
    return named, 0


def _pieces(raw: mne.io.BaseRaw, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield MNE's events of a piece after the other, counted from the first sample.

    A day of a stimulus channel is a gigabyte. Each piece begins with the last sample of the one
    before, from which a change is told.
    """
    info = mne.pick_info(raw.info, rows)
    for start in range(0, max(raw.n_times - 1, 1), PIECE):
        with quiet():
            values = raw[rows, start : start + PIECE + 1][0]
            piece = mne.io.RawArray(values, info, first_samp=start)
            yield mne.find_events(piece, shortest_event=1)
