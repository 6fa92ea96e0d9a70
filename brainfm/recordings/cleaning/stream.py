"""A file cleaned in one pass over its samples, in blocks, whatever its length.

A few segments spread over the file are looked at first: they tell the mains' frequency and the bad
channels, which the filter and the average reference have to know. Then each sample is read once:
checked to be finite, scaled, held against flat and saturated, re-referenced, filtered and resampled.
What is done is that of `brainfm.recordings.cleaning.clean`, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32

from brainfm.recordings.cleaning import clean, faults
from brainfm.recordings.cleaning.bads import find_bads
from brainfm.recordings.cleaning.filters import design_filters
from brainfm.recordings.cleaning.overlap import convolve
from brainfm.recordings.cleaning.plausible import amplitudes, check_amplitude, find_outside
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Findings, Sensors, Stream, join_annotations
from brainfm.recordings.samples import Samples, ScaledSamples, read_pieces, read_segments
from brainfm.recordings.spread import spread_samples

SEGMENT_SECONDS = 8.0
SEGMENTS = 12
SEGMENT_BYTES = 32_000_000
"""What is looked at first: so many segments of so many seconds, fewer if they are wide."""

AMPLITUDE_SAMPLES = 1024
"""Samples a channel by which the amplitude of the cleaned signal is judged."""


@dataclass(frozen=True)
class First:
    """What is known before the pass.

    Attributes
    ----------
    line_freq
        of the mains in Hz, or None where there is no line or none is to be taken out.
    bads
        row of a bad channel to the reason.
    """

    line_freq: float | None
    bads: dict[int, str]


@dataclass(frozen=True)
class Faults:
    """Which seconds of which channels are faulty.

    Attributes
    ----------
    flat, saturated
        a (channel, second) array a piece.
    plateaus
        what is saturated where the format does not tell the range.
    """

    plateaus: faults.Plateaus
    flat: list[Bool[np.ndarray, "channel second"]] = field(default_factory=list)
    saturated: list[Bool[np.ndarray, "channel second"]] = field(default_factory=list)


def clean_blocks(samples: Samples, sensors: Sensors, recipe: Recipe) -> Stream:
    """Read a file from its first sample to its last, cleaned as the recipe says.

    Parameters
    ----------
    samples
        of the channels that ``sensors`` describes.
    sensors
        what the channels are, as they were recorded.
    recipe
        unit, reference, mains, band and sampling rate.

    Raises
    ------
    Refused
        If a sample is not finite, an amplitude is implausible, or a reference is not there or wrong.
    """
    if recipe.unit_scale != 1:
        samples = ScaledSamples(samples, recipe.unit_scale)
    first = look_first(samples, sensors, recipe)
    against = _reference(sensors, recipe, first.bads)
    edges = {"l_freq": recipe.l_freq, "h_freq": recipe.h_freq, "line_freq": first.line_freq}
    filters = design_filters(samples.sfreq, **edges, to=recipe.sfreq)
    level = against(samples.offset[:, None]) * np.prod([f.taps.sum() for f in filters])
    seen = Faults(faults.Plateaus(sensors.kind, _second(samples)))
    amplitude = []
    pieces = map(against, _check(samples, sensors.kind, seen))
    n_times = clean.resampled_length(samples.n_times, samples.sfreq, to=recipe.sfreq)
    looked_at = spread_samples(n_times, n=AMPLITUDE_SAMPLES)
    done = 0
    for block in convolve(
        pieces, filters, n_times=samples.n_times, n_out=n_times, n_channels=len(sensors)
    ):
        block += level.astype(np.float32)
        begin, end = np.searchsorted(looked_at, (done, done + block.shape[1]))
        amplitude.append(block[:, looked_at[begin:end] - done])
        done += block.shape[1]
        yield block
    sizes = amplitudes(np.concatenate(amplitude, axis=1))
    return _findings(first, seen, sensors, sizes, seconds=_second(samples) / samples.sfreq)


def look_first(samples: Samples, sensors: Sensors, recipe: Recipe) -> First:
    """Look at segments spread over a file for the mains and for bad channels."""
    segments = read_segments(
        samples, seconds=SEGMENT_SECONDS, count=SEGMENTS, n_bytes=SEGMENT_BYTES
    )
    if not all(np.isfinite(segment).all() for segment in segments):
        raise _not_finite()
    line = recipe.line_freq
    if line == "detect":
        line = clean.detect_line_freq(np.concatenate(segments), samples.sfreq)
    assert not isinstance(line, str)
    bads = find_bads(segments, samples.sfreq, kinds=sensors.kind)
    return First(line, _find_astray(segments, sensors.kind) | bads)


def _find_astray(
    segments: Sequence[Float[np.ndarray, "channel segment"]], kinds: Sequence[str]
) -> dict[int, str]:
    """Return the channels of a wrong unit, which an average reference would spread over all."""
    n_times = segments[0].shape[1]
    looked_at = spread_samples(n_times, n=-(-AMPLITUDE_SAMPLES // len(segments)))
    sizes = np.median([amplitudes(segment[:, looked_at]) for segment in segments], axis=0)
    return {row: why for row, why in find_outside(sizes, kinds).items() if why != "flat"}


def _check(
    samples: Samples, kinds: Sequence[str], seen: Faults
) -> Iterator[Float32[np.ndarray, "channel piece"]]:
    """Hand on what is read, finite, and note which of its whole seconds are faulty."""
    second, flat = _second(samples), faults.flat_limits(kinds)
    for piece in read_pieces(samples, multiple=second):
        whole = piece.shape[1] // second * second
        by_second = piece[:, :whole].reshape(len(piece), -1, second)
        low, high = by_second.min(axis=2), by_second.max(axis=2)
        # What is not finite shows in the least or the greatest.
        if not all(np.isfinite(part).all() for part in (low, high, piece[:, whole:])):
            raise _not_finite()
        seen.plateaus.take(by_second, low, high, begin=sum(part.shape[1] for part in seen.flat))
        seen.flat.append(faults.find_flat(low, high, limit=flat))
        seen.saturated.append(faults.find_saturated(by_second, low, high, limits=samples.limits))
        yield piece


def _second(samples: Samples) -> int:
    return max(round(samples.sfreq), 1)


def _not_finite() -> Refused:
    return Refused(Reason.not_finite, "It has values that are not finite; mend or leave it out.")


def _reference(
    sensors: Sensors, recipe: Recipe, bads: Collection[int]
) -> Callable[[Float[np.ndarray, "channel time"]], Float[np.ndarray, "channel time"]]:
    """Return what re-references a signal as the recipe says."""
    eeg = np.flatnonzero([kind == "eeg" for kind in sensors.kind])
    if recipe.reference is None or not len(eeg):
        return lambda signal: signal
    if "midpoint" in sensors.position_source:
        raise Refused(
            Reason.missing_reference,
            "It holds derivations between two electrodes, which have their reference; "
            "leave the recipe's reference out.",
        )
    against = {sensors.reference[i] or "one that is not known" for i in eeg}
    if len(against) > 1:
        raise Refused(
            Reason.missing_reference,
            f"Its EEG channels are measured against {', '.join(sorted(against))}, where a new reference "
            "wants one for all; drop the others' channels, or leave the recipe's reference out.",
        )
    if recipe.reference == "average":
        names = [sensors.names[i] for i in eeg if i not in bads and not sensors.bad[i]]
    else:
        names = list(recipe.reference)
    missing = sorted(set(names) - set(sensors.names))
    if missing or not names:
        raise Refused(
            Reason.missing_reference,
            f"Its channels lack {', '.join(missing) or 'any good EEG channel'}, which the recipe's "
            "reference wants; keep them (kinds, drop) or name another reference.",
        )
    rows = np.array([sensors.names.index(name) for name in names])
    return lambda signal: clean.rereference(signal, eeg, reference=rows)


def _findings(
    first: First,
    seen: Faults,
    sensors: Sensors,
    sizes: Float[np.ndarray, " channel"],
    *,
    seconds: float,
) -> Findings:
    """Say what was found; a channel that is flat most of the time is bad and not annotated."""
    amplitude = check_amplitude(sizes, sensors.kind)
    flat, saturated = (np.concatenate(part, axis=1) for part in (seen.flat, seen.saturated))
    saturated |= seen.plateaus.find(saturated.shape[1])
    dead = np.flatnonzero(2 * flat.sum(axis=1) > flat.shape[1])
    flat[dead] = False
    bads = find_outside(sizes, sensors.kind) | first.bads | dict.fromkeys(dead.tolist(), "flat")
    spans = [
        faults.annotate(found, name, names=sensors.names, seconds=seconds, least=least)
        for found, name, least in (
            (flat, "BAD_flat", faults.FLAT_SECONDS),
            (saturated, "BAD_saturated", 1),
        )
    ]
    reasons = {sensors.names[row]: bads[row] for row in sorted(bads)}
    return Findings(
        annotations=join_annotations(*spans),
        bads=tuple(reasons),
        amplitude=amplitude,
        provenance={"line_freq": first.line_freq, "bad_channels": reasons},
    )
