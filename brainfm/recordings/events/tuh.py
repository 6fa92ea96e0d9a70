"""The label files of Temple University Hospital's corpora.

Formats: Ochal et al., "The Temple University Hospital EEG Corpus: Annotation Guidelines", 2020.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from brainfm.recordings.events.side import Event, SameStem, meaningless, number, span

REC_CHANNELS = (
    *("FP1-F7", "F7-T3", "T3-T5", "T5-O1", "FP2-F8", "F8-T4", "T4-T6", "T6-O2"),
    *("A1-T3", "T3-C3", "C3-CZ", "CZ-C4", "C4-T4", "T4-A2"),
    *("FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4", "P4-O2"),
)
"""What a channel's number in a .rec file stands for, from 0."""

REC_LABELS = {1: "spsw", 2: "gped", 3: "pled", 4: "eyem", 5: "artf", 6: "bckg"}
"""What a label's number in a .rec file stands for."""

ALL_CHANNELS = "TERM"
"""The channel of labels that are about the whole recording."""


@dataclass(frozen=True)
class TuhCsv(SameStem):
    """Version 2 of the corpora (TUAR, TUSZ): ``channel,start_time,stop_time,label,confidence``.

    Attributes
    ----------
    suffixes
        ``.csv`` has labels a channel, ``.csv_bi`` seizure or not for all channels together.
    """

    suffixes: tuple[str, ...] = (".csv",)

    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return one label a row."""
        (file,) = files
        lines = [(i, x) for i, x in _lines(file) if not x.startswith("#")]
        table = csv.DictReader(x for _, x in lines)
        columns = {"channel", "start_time", "stop_time", "label"}
        if not columns <= set(table.fieldnames or ()):
            raise meaningless(file, f"other columns than {', '.join(sorted(columns))}")
        rows = list(zip((line for line, _ in lines[1:]), table, strict=False))
        for line, row in rows:
            if any(row[column] is None for column in columns):
                raise meaningless(file, "fewer columns than its first line names", line)
        return [
            span(
                number(row["start_time"], file, line),
                number(row["stop_time"], file, line),
                row["label"].strip(),
                "" if row["channel"].strip() == ALL_CHANNELS else row["channel"],
                file,
            )
            for line, row in rows
        ]


@dataclass(frozen=True)
class TuhTse(SameStem):
    """Version 1 of the corpora (TUSL, older TUSZ): ``start stop label probability`` of all channels.

    Attributes
    ----------
    suffixes
        the endings, the first that is there being read.
    """

    suffixes: tuple[str, ...] = (".tse_agg", ".tse")

    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return one label a line."""
        (file,) = files
        lines = [x for x in _lines(file) if not x[1].startswith(("#", "version"))]
        return [self._label(i, text.split(), file) for i, text in lines]

    def _label(self, line: int, parts: list[str], file: Path) -> Event:
        if len(parts) < 3:
            raise meaningless(file, "something else than start, stop and label", line)
        start, stop = (number(part, file, line) for part in parts[:2])
        return span(start, stop, parts[2], "", file)


@dataclass(frozen=True)
class TuevRec(SameStem):
    """TUEV's events: ``channel,start,stop,label``, channel and label as numbers.

    Attributes
    ----------
    suffixes
        the endings, the first that is there being read.
    """

    suffixes: tuple[str, ...] = (".rec",)

    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return one label a line, about one derivation of the TCP montage."""
        (file,) = files
        return [self._label(i, text.split(","), file) for i, text in _lines(file)]

    def _label(self, line: int, parts: list[str], file: Path) -> Event:
        numbers = [number(part, file, line) for part in parts]
        if len(numbers) != 4 or int(numbers[3]) not in REC_LABELS:
            raise meaningless(
                file, "something else than channel, start, stop and label 1 to 6", line
            )
        channel, start, stop, what = numbers
        if channel >= len(REC_CHANNELS):
            raise meaningless(file, f"a channel that is none of its {len(REC_CHANNELS)}", line)
        return span(start, stop, REC_LABELS[int(what)], REC_CHANNELS[int(channel)], file)


def _lines(file: Path) -> list[tuple[int, str]]:
    """Return the lines that are not empty, with their numbers from 1."""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    return [(i, x.strip()) for i, x in enumerate(text.splitlines(), start=1) if x.strip()]
