"""How long a file may keep its reader waiting.

A damaged header can send a reader round for ever. An alarm ends what Python runs or the system is waited
for in the main thread of a process. Code in C that does not come back ends only with its process, by
a clock that needs no Python: so it does in the workers of an ingest, whose deaths cost nothing else.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recording import Stream

MOST = 1e6
"""Seconds of the longest limit, twelve days; the system's alarms know no much longer ones."""

LENIENCE = 1.5
"""A worker ends itself when its alarm has not been heard for so many times the limit."""


class _Over(BaseException):
    """Not an Exception, which a reader might take for one of its own."""


@dataclass(frozen=True)
class Patience:
    """A limit on the opening of a file, and on each of its blocks.

    Attributes
    ----------
    seconds
        the limit.
    deadly
        whether the process may end itself, because another takes its place.
    mark
        file that is there while a reader is waited for, since when its time tells; so `waited` can
        say whether a process died of that.
    """

    seconds: float
    deadly: bool
    mark: Path | None = None

    @contextmanager
    def limit(self) -> Generator[None]:
        """Refuse the file, as `Reason.timed_out`, where the body takes longer."""
        last = _death(LENIENCE * self.seconds) if self.deadly else nullcontext()
        try:
            with self._marked(), last, _alarm(self.seconds):
                yield
        except _Over as error:
            raise timed_out(self.seconds) from error

    @contextmanager
    def _marked(self) -> Generator[None]:
        if self.mark is None:
            yield
            return
        self.mark.touch()
        try:
            yield
        finally:
            self.mark.unlink(missing_ok=True)

    def watch(self, stream: Stream) -> Stream:
        """Hand on the blocks of a file as long as each comes in time."""
        while True:
            with self.limit():
                try:
                    block = next(stream)
                except StopIteration as end:
                    return end.value
            yield block


def waited(mark: Path | None) -> float:
    """Return for how many seconds a reader has been waited for by who left ``mark``; 0 for none."""
    if mark is None:
        return 0.0
    now = mark.with_suffix(".now")
    try:
        begin = mark.stat().st_mtime
        now.touch()  # what counts is the clock of the disk
        return now.stat().st_mtime - begin
    except FileNotFoundError:
        return 0.0
    finally:
        now.unlink(missing_ok=True)


def timed_out(seconds: float) -> Refused:
    """Return the refusal of a file that kept its reader waiting."""
    return Refused(
        Reason.timed_out,
        f"Its reader gave nothing for {seconds:g} s; get the original, or give a longer --timeout "
        "with --retry-quarantined where the disk is slow.",
    )


@contextmanager
def _death(seconds: float) -> Generator[None]:
    """End this process when the body's time is over, whatever runs in it."""
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _alarm(seconds: float) -> Generator[None]:
    """Raise `_Over` in the body when its time is over; other threads know no alarms."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGALRM, _ring)
    # It rings again, should a reader have passed over it.
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    begin = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(left - time.monotonic() + begin, 1e-3))


def _ring(*_: object) -> NoReturn:
    raise _Over
