"""A file cleaned in one pass over its samples, in blocks, whatever its length.

A few segments spread over the file are looked at first: they tell the mains' frequency and the bad
channels, which the filter and the average reference have to know. Then each sample is read once:
checked to be finite, scaled, held against flat and saturated, re-referenced, filtered and resampled.
What is done is that of `brainfm.recordings.clean`, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from brainfm.recordings import clean, faults
from brainfm.recordings.bads import find_bads
from brainfm.recordings.filters import design_filter
from brainfm.recordings.overlap import convolve
from brainfm.recordings.plausible import check_amplitude
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Findings, Sensors, Stream, join_annotations
from brainfm.recordings.samples import Samples, read_pieces, read_segments

SEGMENT_SECONDS = 8.0
SEGMENTS = 12
SEGMENT_BYTES = 32_000_000
"""What is looked at first: so many segments of so many seconds, fewer if they are wide."""

AMPLITUDE_SAMPLES = 4096
"""Samples a channel by which the amplitude of the cleaned signal is judged."""


@dataclass(frozen=True, eq=False)
class First:
    """What the spread-out segments tell.

    Attributes
    ----------
    line_freq
        of the mains in Hz, or None where there is no line.
    bads
        name of a bad channel to the reason.
    """

    line_freq: float | None
    bads: dict[str, str]


def clean_blocks(samples: Samples, sensors: Sensors, recipe: Recipe) -> Stream:
    """Read a file from its first sample to its last, cleaned as the recipe says.

    Parameters
    ----------
    samples
        of the channels that ``sensors`` describes.
    sensors
        what the channels are.
    recipe
        band, mains, reference, sampling rate and unit.

    Raises
    ------
    Refused
        If a sample is not finite, an amplitude is implausible or a reference is not there.
    """
    samples = _scaled(samples, recipe.unit_scale)
    first = look_first(samples, sensors, recipe)
    filter = design_filter(
        samples.sfreq,
        l_freq=recipe.l_freq,
        h_freq=recipe.h_freq,
        line_freq=first.line_freq,
        to=recipe.sfreq,
    )
