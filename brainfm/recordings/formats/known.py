"""The formats that come in: what a file is called and begins with, and how it is read.

MNE opens the files; a row says the rest. What no row claims is refused, with the reason where it is
known. `docs/formats.md` shows what became of a real file of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import mne

from brainfm.recordings import moabb
from brainfm.recordings.formats import openers, parts, whole
from brainfm.recordings.formats.edf import check_edf
from brainfm.recordings.formats.fif import check_fif
from brainfm.recordings.formats.parts import Parts
from brainfm.recordings.quarantine import Reason, Refused

Claim = Callable[[Path], bool]


@dataclass(frozen=True)
class Format:
    """How the recordings of one format are found and read.

    Attributes
    ----------
    name
        what people call it.
    pattern
        regular expression that the whole name of the file matches, in any case.
    read
        opens a recording with MNE, without loading the data.
    typed
        True where the format states what each channel is; elsewhere its name decides.
    parts
        returns all files of the recording, the one that is opened first.
    check
        raises `Refused` where the files are not whole.
    claims
        says by the content whether a file of that name is of this format.
    folder
        True where the recording is a folder.
    """

    name: str
    pattern: str
    read: Callable[[Path], mne.io.BaseRaw]
    typed: bool
    parts: Parts = parts.alone
    check: Callable[[Path], None] = lambda path: None
    claims: Claim = lambda path: True
    folder: bool = False

    def fits(self, path: Path) -> bool:
        """Say whether the name of ``path`` is one of this format's."""
        return re.fullmatch(self.pattern, path.name, re.IGNORECASE | re.DOTALL) is not None


def _begins(*magic: bytes) -> Claim:
    """Return what says whether a file begins with one of ``magic``."""

    def claims(path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return file.read(max(map(len, magic))).startswith(magic)
        except OSError:
            return False

    return claims


def _has(parts: Parts) -> Claim:
    """Return what says whether any of a recording's other files is there."""
    return lambda path: len(parts(path)) > 1


_EGI_RAW = tuple(version.to_bytes(4, "big") for version in range(2, 8))
_NIHON = (b"EEG-1100", b"EEG-1200", b"EEG-2100", b"QI-403A", b"DAE-2100D")

FORMATS = (
    Format("EDF", r".+\.edf", openers.edf, typed=False, check=check_edf),
    Format("BDF", r".+\.bdf", openers.bdf, typed=False, check=check_edf),
    Format("GDF", r".+\.gdf", openers.gdf, typed=False, check=whole.check_gdf),
    Format("FIF", r".+\.fif", openers.fif, typed=True, parts=parts.split, check=check_fif),
    Format(
        "BrainVision",
        r".+\.[va]hdr",
        openers.brainvision,
        typed=False,
        check=whole.check_brainvision,
        parts=parts.named,
    ),
    Format("EEGLAB", r".+\.set", openers.eeglab, typed=False, parts=parts.beside(".fdt")),
    Format(
        "CTF",
        r".+\.ds",
        openers.ctf,
        typed=True,
        check=whole.check_ctf,
        parts=parts.inside,
        folder=True,
    ),
    Format(
        "KIT", r".+\.(con|sqd)", openers.kit, typed=True, parts=parts.beside(".mrk", ".elp", ".hsp")
    ),
    Format(
        "BTi/4D",
        r".+,rf.*",
        openers.bti,
        typed=True,
        parts=parts.fixed("config", "hs_file"),
        claims=_has(parts.fixed("config")),
    ),
    Format("EGI MFF", r".+\.mff", openers.egi, typed=True, parts=parts.inside, folder=True),
    Format("EGI simple binary", r".+\.raw", openers.egi, typed=True, claims=_begins(*_EGI_RAW)),
    Format(
        "Neuroscan CNT",
        r".+\.cnt",
        openers.cnt,
        typed=False,
        check=whole.check_cnt,
        claims=_begins(b"Version 3."),
    ),
    Format(
        "ANT",
        r".+\.cnt",
        openers.ant,
        typed=False,
        check=whole.check_ant,
        parts=parts.beside(".evt", ".trg", ".seg"),
        claims=_begins(b"RIFF", b"RF64"),
    ),
    Format(
        "Nihon Kohden",
        r".+\.eeg",
        openers.nihon,
        typed=False,
        parts=parts.beside(".pnt", ".log", ".21e", ".11d", ".cmt", ".cn2"),
        claims=_begins(*_NIHON),
    ),
    Format(
        "Persyst",
        r".+\.lay",
        openers.persyst,
        typed=False,
        check=whole.check_persyst,
        parts=parts.named,
    ),
    Format(
        "Nicolet",
        r".+\.data",
        openers.nicolet,
        typed=False,
        check=whole.check_nicolet,
        parts=parts.beside(".head"),
        claims=_has(parts.beside(".head")),
    ),
    Format("eXimia", r".+\.nxe", openers.eximia, typed=True, check=whole.check_eximia),
    Format(
        "Curry 8",
        r".+\.cdt",
        openers.curry,
        typed=False,
        parts=parts.after(".dpa", ".dpo", ".cef", ".ceo"),
    ),
    Format(
        "Curry 7",
        r".+\.dap",
        openers.curry,
        typed=False,
        parts=parts.beside(".dat", ".rs3", ".cef", ".ceo"),
    ),
)
"""One row a format. The first that fits and claims a file reads it."""

MOABB = Format("MOABB", moabb.PREFIX, moabb.open_run, typed=True)
"""A run of a data set that MOABB reads."""


_NO_FILE = (
    "MNE has a reader for it, which is not used because no file was at hand to test it with; "
    "convert it to FIF or EDF, or have MNE read it all the same by the recipe's reader, ByMne."
)


def _untried(
    name: str, pattern: str, claims: Claim = lambda path: True, why: str = _NO_FILE, **how: Any
) -> Format:
    """Return a format that MNE has a reader for and that is refused."""

    def refuse(path: Path) -> NoReturn:
        raise Refused(Reason.unknown_format, f"It is {name}: {why}")

    return Format(name, pattern, refuse, typed=True, claims=claims, **how)


def _has_artemis_header(path: Path) -> bool:
    try:
        with path.with_suffix(".txt").open("rb") as file:
            return b"<start main header>" in file.read(4096)
    except OSError:
        return False


UNTRIED = (
    _untried(
        "compressed FIF",
        r".+\.fif\.gz",
        why="MNE can read no piece of it without all before; gunzip it.",
    ),
    _untried("NEDF (Neuroelectrics)", r".+\.nedf"),
    _untried("NSx (Blackrock)", r".+\.ns[1-6]"),
    _untried("Neuralynx", r".+\.ncs"),
    _untried("MEF", r".+\.mefd", folder=True, parts=parts.inside),
    _untried("BCI2000", r".+\.dat", _begins(b"BCI2000V", b"HeaderLen")),
    _untried("Artemis123", r".+\.bin", _has_artemis_header),
    _untried("OPM-MEG of FIL", r".+_meg\.bin"),
)
"""Formats that are known and refused, so that a folder's files of them are reported."""

UNREADABLE = {
    ".xdf": "MNE reads no XDF, which holds streams of several rates and no one recording; "
    "export its EEG stream as BrainVision, FIF or EDF.",
    ".lvm": "MNE reads no LabVIEW text (QuSpin), which says nothing of sensors and units; "
    "convert it to FIF with the sensors' positions.",
    ".snirf": "It holds optical data (SNIRF), which are neither EEG nor MEG; leave it out.",
    ".mat": "A MATLAB file, also FieldTrip's, has no layout of its own; "
    "name a reader in the recipe's reader, or convert it to EDF or FIF.",
    ".h5": "An HDF5 file has no layout of its own; name a reader in the recipe's reader.",
}
"""Why some files of our field cannot come in, by suffix."""

PLAIN = (".raw", ".data", ".dap", ".mat", ".h5")
"""Suffixes that many other programs use: in a folder, such files count where a format claims them."""


def is_pipe(path: Path) -> bool:
    """Say whether something is there that is no file and no folder: to read it may last for ever."""
    return path.exists() and not path.is_file() and not path.is_dir()


def find_format(path: Path, formats: Sequence[Format] = FORMATS) -> Format | None:
    """Return the format of a file or folder, one of `UNTRIED` too, None where none claims it."""
    if path.as_posix().startswith(moabb.PREFIX):
        return MOABB
    is_dir = path.is_dir()
    if is_pipe(path):
        return None
    for form in (*formats, *UNTRIED):
        if form.folder == is_dir and form.fits(path) and form.claims(path):
            return form
    return None


def looks_like_recording(path: Path, formats: Sequence[Format] = FORMATS) -> bool:
    """Say whether a file that lies in a folder was meant to be a recording, whole or not."""
    if find_format(path, formats) is not None:
        return True
    if path.suffix.lower() in PLAIN:
        return False
    if path.suffix.lower() in UNREADABLE:
        return True
    return any(form.fits(path) for form in formats if not form.folder)
