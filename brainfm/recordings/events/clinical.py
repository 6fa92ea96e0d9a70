"""The label files of CHB-MIT, Siena and Sleep-EDF."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mne

from brainfm.recordings.events.side import Event, SideFile, meaningless, number, span
from brainfm.recordings.formats.edf import read_header
from brainfm.recordings.quarantine import Reason, Refused

SEIZURE = "seizure"
_DAY = 24 * 3600
_CLOCK = re.compile(r"\b(\d{1,2})\s*[.:]\s*(\d{2})\s*[.:]\s*(\d{2})\b")


@dataclass(frozen=True)
class ChbMitSummary(SideFile):
    """CHB-MIT's ``chbNN-summary.txt``: how many seizures each file of a case has, and when.

    A file that its summary does not list (as in chb24) has no seizure where the data set's
    ``RECORDS-WITH-SEIZURES`` is there and does not list it either.
    """

    def find(self, recording: Path) -> tuple[Path, ...]:
        """Return the summary and, where it is there, the list of records with seizures."""
        summaries = sorted(recording.parent.glob("*-summary.txt"))
        listed = recording.parent.parent / "RECORDS-WITH-SEIZURES"
        return (*summaries[:1], listed) if summaries and listed.is_file() else tuple(summaries[:1])

    def wanted(self, recording: Path) -> str:
        """Return the summary's name."""
        return f"{recording.parent.name}-summary.txt"

    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return the seizures of the file."""
        summary, *listed = files
        text = summary.read_text(encoding="utf-8", errors="replace")
        blocks = re.split(r"(?im)^\s*file name:\s*", text)[1:]
        for block in blocks:
            name, _, rest = block.partition("\n")
            if name.strip() == recording.name:
                return self._seizures(rest, summary)
        records = listed[0].read_text().split() if listed else [recording.name]
        if any(Path(record).name == recording.name for record in records):
            raise Refused(
                Reason.no_labels,
                f"{summary.name} does not list it, and no RECORDS-WITH-SEIZURES beside the cases says "
                "that it has no seizure; get both.",
            )
        return []

    def _seizures(self, block: str, file: Path) -> list[Event]:
        stated = re.search(r"(?i)number of seizures in file:\s*(\d+)", block)
        times = {
            what: [
                number(x, file)
                for x in re.findall(rf"(?i)seizure\s*\d*\s*{what} time:\s*([\d.]+)", block)
            ]
            for what in ("start", "end")
        }
        counts = {int(stated[1]) if stated else -1, *map(len, times.values())}
        if len(counts) != 1:
            raise meaningless(file, "another number of seizure times than it states")
        pairs = zip(times["start"], times["end"], strict=True)
        return [span(start, stop, SEIZURE, "", file) for start, stop in pairs]


@dataclass(frozen=True)
class SienaList(SideFile):
    """Siena's ``Seizures-list-PNxx.txt``: hand-written clock times of every seizure of a patient.

    Times count from the start that the recording's own header states, because the list's is
    mistyped in places; they may pass midnight. Of two times given for one, the first is read.

    Attributes
    ----------
    corrections
        name of the recording → clock time in the list → clock time that is meant.
    """

    corrections: dict[str, dict[str, str]] = field(default_factory=dict)

    def find(self, recording: Path) -> tuple[Path, ...]:
        """Return the patient's list."""
        return tuple(sorted(recording.parent.glob("Seizures-list*.txt"))[:1])

    def wanted(self, recording: Path) -> str:
        """Return the list's name."""
        return f"Seizures-list-{recording.parent.name}.txt"

    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return the seizures of the recording."""
        (file,) = files
        start, seconds = _start_and_length(recording)
        blocks = list(_siena_blocks(file))
        alone = len({name for name, _ in blocks}) == 1
        found = [
            self._seizure(texts, recording, file, start=start, seconds=seconds)
            for name, texts in blocks
            if _is_named(recording, name, alone=alone)
        ]
        if not found:
            raise Refused(
                Reason.no_labels,
                f"{file.name} does not list it, and every recording of Siena has a seizure; "
                "get the original list.",
            )
        return found

    def _seizure(
        self, texts: dict[str, str], recording: Path, file: Path, *, start: int, seconds: float
    ) -> Event:
        meant = self.corrections.get(recording.name, {})
        onset, end = (
            (_clock(texts.get(k, ""), file, meant) - start) % _DAY for k in ("start", "end")
        )
        # The header has whole seconds.
        if not onset < end <= seconds + 1:
            raise meaningless(
                file,
                f"a seizure of it from {onset} to {end} s into its {seconds:g} s (say what is meant in "
                "the `corrections` of the recipe's SienaList)",
            )
        return Event(float(onset), float(end - onset), SEIZURE)


@dataclass(frozen=True)
class SleepEdfHypnogram(SideFile):
    """Sleep-EDF's ``*-Hypnogram.edf``: sleep stages after Rechtschaffen and Kales, as EDF+."""

    def find(self, recording: Path) -> tuple[Path, ...]:
        """Return the hypnogram of the same night: SC4001EC of SC4001E0."""
        beside = sorted(recording.parent.glob(f"{_night(recording)}*-Hypnogram.edf"))
        return () if recording in beside else tuple(beside[:1])

    def wanted(self, recording: Path) -> str:
        """Return the hypnogram's name."""
        return f"{_night(recording)}*-Hypnogram.edf"

    def read(self, recording: Path, files: tuple[Path, ...]) -> list[Event]:
        """Return the stages as the file words them."""
        (file,) = files
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                marks = mne.read_annotations(file)
        except Exception as error:
            raise meaningless(file, f"what MNE cannot read ({type(error).__name__})") from error
        rows = zip(marks.onset, marks.duration, marks.description, strict=True)
        return [Event(float(onset), float(length), str(what)) for onset, length, what in rows]


def _night(recording: Path) -> str:
    return recording.name[:6]


def _start_and_length(recording: Path) -> tuple[int, float]:
    """Return the clock time in seconds at which an EDF file starts, and how many seconds it has."""
    header = read_header(recording)
    with recording.open("rb") as file:
        clock = file.read(184)[176:].decode("ascii", "replace")
    n_records = (recording.stat().st_size - header.header_bytes) // header.record_bytes
    return _clock(clock, recording, {}), n_records * header.record_seconds


def _clock(text: str, file: Path, meant: dict[str, str]) -> int:
    found = _CLOCK.search(text)
    if found is None:
        raise meaningless(file, "something else where a time such as 19.58.36 is wanted")
    if found[0] in meant:
        return _clock(meant[found[0]], file, {})
    hours, minutes, seconds = map(int, found.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        raise meaningless(file, "what is no time of the day where one is wanted")
    return 3600 * hours + 60 * minutes + seconds


def _siena_blocks(file: Path) -> Iterator[tuple[str | None, dict[str, str]]]:
    """Give the file's name, last seen, and the texts of the times of each seizure."""
    name: str | None = None
    texts: dict[str, str] = {}
    for line in file.read_text(encoding="latin-1").splitlines():
        if found := re.match(r"\s*file name:\s*(\S+)", line, re.IGNORECASE):
            name = found[1]
        elif found := re.match(r"\s*(?:seizure )?(start|end) time:\s*(.*)", line, re.IGNORECASE):
            texts[found[1].lower()] = found[2].strip()
            if len(texts) == 2:
                yield name, texts
                texts = {}
    if texts:
        raise meaningless(file, "a seizure without a start or an end")


def _is_named(recording: Path, listed: str | None, *, alone: bool) -> bool:
    """Say whether a list means a recording: it has O for 0, and leaves numbers out where there is one.

    ``alone`` says that the list is of one recording; one recording in the folder does not say so, since the
    others may not have been fetched.
    """
    if listed is not None and _spelt(listed) == _spelt(recording.name):
        return True
    if not alone:
        return False
    beside = [p for p in recording.parent.iterdir() if p.suffix.lower() == ".edf"]
    return len(beside) == 1


def _spelt(name: str) -> str:
    return name.upper().replace("O", "0")
