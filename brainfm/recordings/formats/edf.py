"""Is an EDF or BDF file whole? MNE opens damaged ones without a word.

The header promises a number of bytes; text tools, broken transfers and stopped recorders break
the promise. Format: Kemp et al. 1992, Electroenceph. Clin. Neurophysiol. 82:391-393; EDF+ 2003.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from brainfm.recordings.quarantine import Reason, Refused

_BYTES = {".edf": 2, ".bdf": 3}
_VERSIONS = {".edf": b"0       ", ".bdf": b"\xffBIOSEMI"}
_DISCONTINUOUS = (b"EDF+D", b"BDF+D")
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")


@dataclass(frozen=True)
class Header:
    """What the header promises.

    Attributes
    ----------
    header_bytes
        size of the header.
    records
        data records; -1 where the recorder never came to write it.
    record_bytes
        size of a data record.
    labels
        of all signals.
    record_seconds
        duration of a data record.
    clock
        first byte in a data record, and size, of the signal that holds the record's onset, where
        the header says that the recording has gaps.
    """

    header_bytes: int
    records: int
    record_bytes: int
    labels: tuple[str, ...]
    record_seconds: float
    clock: tuple[int, int] | None

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the labels without annotation signals."""
        return tuple(label for label in self.labels if label not in _ANNOTATIONS)


def check_edf(path: Path) -> None:
    """Raise `Refused` unless the file is a whole EDF or BDF with at least one signal."""
    size = path.stat().st_size
    header = read_header(path)
    if not header.signals:
        raise Refused(
            Reason.no_signal_channels, "It holds annotations only; a file with signals is wanted."
        )
    data = size - header.header_bytes
    records = header.records
    if records == -1:
        records = max(-(-data // header.record_bytes), 1)
    wanted = records * header.record_bytes
    if data < wanted or records == 0:
        raise Refused(
            Reason.truncated,
            f"It has {max(data, 0):,} bytes of data where its header promises {wanted:,}; "
            "get the whole file.",
        )
    if data > wanted:
        raise Refused(
            Reason.damaged,
            f"It has {data:,} bytes of data where its header promises {wanted:,}; "
            "a program may have changed it as if it were text: get the original.",
        )
    _check_gaps(path, header)


def _check_gaps(path: Path, header: Header) -> None:
    """Refuse a recording with gaps, which MNE would close without a word."""
    if header.clock is None:
        return
    start, size = header.clock
    onsets = []
    with path.open("rb") as file:
        for record in range((path.stat().st_size - header.header_bytes) // header.record_bytes):
            file.seek(header.header_bytes + record * header.record_bytes + start)
            onsets.append(_number(file.read(size).split(b"\x14")[0], "onset of a data record"))
    for before, after in pairwise(onsets):
        if abs(after - before - header.record_seconds) > header.record_seconds / 1000:
            raise Refused(
                Reason.discontinuous,
                f"It was interrupted: a data record of {header.record_seconds:g} s begins at "
                f"{before:g} s and the next at {after:g} s; cut it into its continuous parts.",
            )


def read_header(path: Path) -> Header:
    """Read and check the header; raise `Refused` where it is not one."""
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        main = file.read(256)
        if len(main) < 256:
            raise Refused(Reason.truncated, f"It ends after {len(main)} bytes, inside its header.")
        if main[:8] != _VERSIONS[suffix]:
            raise Refused(
                Reason.unknown_format,
                f"It does not begin as a {suffix[1:].upper()} file does; "
                "it is another format, or damaged.",
            )
        n_signals = _whole(main[252:256], "number of signals")
        if not 1 <= n_signals <= 9999:
            raise Refused(Reason.damaged, f"Its header states {n_signals} signals.")
        rest = file.read(256 * n_signals)
    if len(rest) < 256 * n_signals:
        raise Refused(Reason.truncated, "It ends inside its header; get the whole file.")
    return _parse(main, rest, n_signals, _BYTES[suffix])


def _parse(main: bytes, rest: bytes, n_signals: int, sample_bytes: int) -> Header:
    header_bytes = _whole(main[184:192], "size of the header")
    if header_bytes != 256 * (n_signals + 1):
        raise Refused(
            Reason.damaged,
            f"Its header states {n_signals} signals and a size of {header_bytes} bytes; "
            f"{256 * (n_signals + 1)} would fit.",
        )
    seconds = _number(main[244:252], "duration of a data record")
    if seconds < 0:
        raise Refused(Reason.damaged, "Its header states a negative duration of a data record.")
    labels = tuple(_text(f, "label") for f in _column(rest, n_signals, 0, 16))
    _check_ranges(rest, n_signals, labels)
    samples = [_whole(f, "samples a record") for f in _column(rest, n_signals, 216, 8)]
    if min(samples) < 1:
        raise Refused(Reason.damaged, "Its header states a signal without samples.")
    records = _whole(main[236:244], "number of data records")
    if records < -1:
        raise Refused(Reason.damaged, f"Its header states {records} data records.")
    record_bytes = sum(samples) * sample_bytes
    clock = None
    if main[192:197] in _DISCONTINUOUS and set(labels) & set(_ANNOTATIONS):
        i = next(i for i, label in enumerate(labels) if label in _ANNOTATIONS)
        clock = (sum(samples[:i]) * sample_bytes, samples[i] * sample_bytes)
    return Header(header_bytes, records, record_bytes, labels, seconds, clock)


def _check_ranges(rest: bytes, n_signals: int, labels: tuple[str, ...]) -> None:
    low, high, least, most = (
        [_number(f, "calibration") for f in _column(rest, n_signals, start, 8)]
        for start in (104, 112, 120, 128)
    )
    for i, label in enumerate(labels):
        if label not in _ANNOTATIONS and (low[i] == high[i] or least[i] >= most[i]):
            raise Refused(
                Reason.damaged,
                f"The calibration of its signal {i + 1} spans {low[i]:g} to {high[i]:g} "
                f"over the digital values {least[i]:g} to {most[i]:g}; get the original.",
            )


def _column(rest: bytes, n_signals: int, start: int, width: int) -> list[bytes]:
    first = start * n_signals
    return [rest[first + i * width : first + (i + 1) * width] for i in range(n_signals)]


def _text(value: bytes, what: str) -> str:
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise Refused(Reason.damaged, f"Its header has a {what} that is no text; get the original.")
    return text.strip()


def _whole(value: bytes, what: str) -> int:
    number = _number(value, what)
    if number != int(number):
        raise Refused(Reason.damaged, f"Its header has the {what} {number:g}, no whole number.")
    return int(number)


def _number(value: bytes, what: str) -> float:
    # Some writers end a number with NUL and some put a comma for the point.
    text = value.split(b"\0")[0].strip().replace(b",", b".")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number - number != 0:  # NaN or infinite
        raise Refused(Reason.damaged, f"Its header has no number for the {what}; get the original.")
    return number
