"""A recording's files, checked and opened: whole, known and continuous, or refused."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Generator
from pathlib import Path

import mne

from brainfm.recordings.formats.known import FORMATS, UNREADABLE, Format
from brainfm.recordings.privacy import redact
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recording import Source


def open_raw(source: Source, form: Format | None) -> mne.io.BaseRaw:
    """Open a recording whose files are whole, without loading the data.

    Raises
    ------
    Refused
        If a file is missing, empty, cut or damaged, or nothing reads it.
    """
    _check_there(source)
    path = Path(source.path)
    if form is None:
        raise _unknown(path)
    form.check(path)
    try:
        with quiet():
            raw = form.read(path)
    except Refused:
        raise
    except (ImportError, RuntimeError) as error:
        raise _needs(form, error) from error
    except Exception as error:
        raise unreadable(error) from error
    _check_parts(raw, source)
    cut_padding(raw)
    _check_gaps(raw)
    _check_end(raw)
    return raw


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Silence what readers print and warn of: what matters is checked, and the rest may name people."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        mne.utils.use_log_level("ERROR"),
    ):
        warnings.simplefilter("ignore")
        yield


def unreadable(error: Exception) -> Refused:
    """Return the refusal of a file that a reader fails on, without what its header says of people."""
    text = " ".join(redact(str(error)).split())[:300]
    return Refused(
        Reason.unreadable, f"MNE cannot read it: {type(error).__name__}: {text}; get the original."
    )


def _needs(form: Format, error: Exception) -> Refused:
    # MNE's own way to say that a package is not there is a RuntimeError.
    told = re.search(r"the (?:module|package) ([\w.-]+).* is needed", str(error), re.DOTALL)
    name = error.name if isinstance(error, ImportError) else told and told[1]
    if name is None:
        return unreadable(error)
    return Refused(
        Reason.needs_package,
        f"{form.name} needs the package {name}, which cannot be imported here; install it "
        "(pip install 'brainfm[formats]' has those of brainfm's own formats).",
    )


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


def _check_parts(raw: mne.io.BaseRaw, source: Source) -> None:
    """Refuse samples from a file that is not known to be part of the recording."""
    known = {Path(file).resolve() for file in source.files}
    for file in raw.filenames:
        if file is not None and Path(file).resolve() not in known:
            raise Refused(
                Reason.incomplete,
                "It takes its samples from a file that does not bear its name; "
                "give both the same name.",
            )


def cut_padding(raw: mne.io.BaseRaw) -> None:
    """Leave out what MNE's export has filled up the last data record of an EDF file with, and marked."""
    shift = raw.first_time if raw.annotations.orig_time is not None else 0.0
    for i, mark in enumerate(raw.annotations):
        start = round((mark["onset"] - shift) * raw.info["sfreq"])
        stop = start + round(mark["duration"] * raw.info["sfreq"])
        if mark["description"] == "BAD_ACQ_SKIP" and 0 < start < raw.n_times <= stop:
            raw.annotations.delete(i)
            raw.crop(tmax=start / raw.info["sfreq"], include_tmax=False, verbose="ERROR")
            return


def _check_gaps(raw: mne.io.BaseRaw) -> None:
    """Refuse a recording whose gaps MNE has filled with zeros."""
    for mark in raw.annotations:
        if mark["description"] == "BAD_ACQ_SKIP":
            raise Refused(
                Reason.discontinuous,
                f"It was interrupted for {mark['duration']:g} s; cut it into its continuous parts.",
            )


def _check_end(raw: mne.io.BaseRaw) -> None:
    """Refuse a recording whose last sample is not there: most readers look no further than the header."""
    if not raw.n_times:
        raise Refused(Reason.empty, "It has no samples; get the file again.")
    try:
        with quiet():
            last = raw[:, raw.n_times - 1][0]
    except Exception as error:
        raise Refused(
            Reason.truncated, "It ends before its last sample; get the whole file."
        ) from error
    if last.shape[1] != 1:
        raise Refused(Reason.truncated, "It ends before its last sample; get the whole file.")
