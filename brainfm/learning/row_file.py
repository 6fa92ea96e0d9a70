"""A table on disk that grows by a line a row, whatever its length."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path

from brainfm.disk import write_whole


class RowFile:
    """Rows of numbers by step, as CSV: a row is appended, and the last one may be completed.

    What an earlier process wrote after step ``kept``, and a line that it left unfinished, is cut off
    when the first row is added. The file is written anew only where a column appears for the first time.

    Parameters
    ----------
    path
        the file.

    Attributes
    ----------
    kept
        the last step of which rows are kept that are there already.
    """

    def __init__(self, path: Path):
        self.path, self.kept = path, 0
        self.columns: list[str] = []
        self.row: dict[str, float] = {}
        self.place = 0  # where the last row begins

    def add(self, step: int, row: Mapping[str, float]) -> None:
        """Add a row, or more columns of the last one where it is of the same step."""
        if not self.columns or not self.path.exists():
            self._open()
        if self.row.get("step") == step:
            self.row |= row
        else:
            self.row = {"step": step, **row}
            self.place = self.path.stat().st_size
        if new := [name for name in self.row if name not in self.columns]:
            self._widen(new)
        self._put(_line(self.row.get(name, "") for name in self.columns))
        self.kept = step

    def _open(self) -> None:
        """Cut off what is not kept, and say so where that is not there."""
        there = self.path.read_bytes() if self.path.exists() else b""
        if self.kept and not there:
            print(
                f"brainfm: {self.path} is gone or empty, with the rows up to step {self.kept}; it begins "
                "anew after that.",
                file=sys.stderr,
            )
        head, *lines = there.splitlines(keepends=True) or [b""]
        kept = [*takewhile(self._is_kept, lines)]
        self.row, self.columns = {}, next(csv.reader([head.decode()])) if kept else []
        write_whole(self.path, b"".join([head, *kept] if kept else []))

    def _is_kept(self, line: bytes) -> bool:
        step = line.partition(b",")[0]
        return line.endswith(b"\n") and step.isdigit() and int(step) <= self.kept

    def _widen(self, new: list[str]) -> None:
        """Write the rows before the last anew, with more columns, which are empty there."""
        _, *lines = self.path.read_bytes()[: self.place].splitlines() or [b""]
        self.columns += new
        wider = [line + b"," * len(new) + b"\n" for line in lines]
        data = b"".join([_line(self.columns), *wider])
        write_whole(self.path, data)
        self.place = len(data)

    def _put(self, line: bytes) -> None:
        """Let a line take the place of the last one, or of nothing; on a full disk there is neither."""
        with self.path.open("r+b", buffering=0) as file:
            file.truncate(self.place)
            file.seek(self.place)
            try:
                while line:
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self.place)
                raise


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
