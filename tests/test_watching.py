"""A training watched: rows on a terminal and in TensorBoard, a full disk, and what limits a step."""

from __future__ import annotations

import errno
import io
import os
import re
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_learning import (
    HELD_OUT,
    TRAIN,
    KillAt,
    Killed,
    Noise,
    assert_same_weights,
    masked_codes,
    metrics,
)

from brainfm.errors import UsageError, WorkError
from brainfm.learning import loggers, row_file
from brainfm.learning.checkpoint import LAST, is_whole
from brainfm.learning.loggers import make_loggers
from brainfm.learning.loop import fit
from brainfm.learning.row_file import RowFile

ROWS = replace(TRAIN, log_every=1, checkpoint_every=4)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard reads in a run's folder: of each name the steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def assert_tells_the_same(folder: Path) -> None:
    """Every number of metrics.csv is in the event files, once and in order."""
    table, told = pd.read_csv(folder / "metrics.csv").set_index("step"), scalars(folder)
    assert set(told) == set(table)
    for name, column in table.items():
        rows = column.dropna()
        assert [step for step, _ in told[str(name)]] == list(rows.index), name
        assert [value for _, value in told[str(name)]] == pytest.approx(list(rows), rel=1e-6), name


def test_event_files_tell_what_metrics_csv_tells(tmp_path: Path) -> None:
    fit(masked_codes(), Noise(), train=ROWS, seed=1, validation=HELD_OUT, out=tmp_path)
    assert_tells_the_same(tmp_path)
    assert [step for step, _ in scalars(tmp_path)["loss"]] == list(range(1, 11))
    assert [step for step, _ in scalars(tmp_path)["val/loss"]] == [4, 8]


def test_a_resumed_run_goes_on_in_them_without_a_step_twice(tmp_path: Path) -> None:
    options = {"train": ROWS, "seed": 1, "validation": HELD_OUT, "out": tmp_path}
    for moment in (KillAt("on_train_batch_start", 4), KillAt("on_train_batch_start", 4)):
        with pytest.raises(Killed):  # steps 5 to 7 are lost at the second kill
            fit(masked_codes(), Noise(), callbacks=(moment,), **options)
    fit(masked_codes(), Noise(), **options)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 3
    assert_tells_the_same(tmp_path)


def test_loggers_may_be_none_and_one_that_is_not_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_loggers((), tmp_path) == make_loggers(("tensorboard",), None) == []
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"train.loggers names \['wandb'\].*brainfm\[watch\]"):
        make_loggers(("wandb",), tmp_path)


def full_after(n: int, write: Callable[..., None]) -> Callable[..., None]:
    """Return a writer whose disk is full from its n-th call on."""
    left = [n]

    def fill(*arguments: object, **named: object) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*arguments, **named)

    return fill


@pytest.mark.parametrize("what", ["metrics.csv", "event file"])
def test_a_disk_that_fills_up_stops_the_run_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    whole, out = masked_codes(), tmp_path / "run"
    for folder in (out, tmp_path / "whole"):
        folder.mkdir()
    fit(whole, Noise(), train=ROWS, seed=1, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        if what == "metrics.csv":
            patch.setattr(RowFile, "_put", full_after(7, RowFile._put))
        else:  # two of its records come before the first row
            write = loggers.EventFile._write
            patch.setattr(loggers.EventFile, "_write", full_after(9, write))
        with pytest.raises(WorkError, match=r"no space left for .*goes on from last.ckpt"):
            fit(masked_codes(), Noise(), train=ROWS, seed=1, out=out)
    assert is_whole(out / LAST)
    assert len(pd.read_csv(out / "metrics.csv")) == (6 if what == "metrics.csv" else 7)
    again = masked_codes()
    fit(again, Noise(), train=ROWS, seed=1, out=out)
    assert_same_weights(again, whole)
    pd.testing.assert_frame_equal(metrics(out), metrics(tmp_path / "whole"), check_exact=True)
    assert_tells_the_same(out)


def rows(path: Path, kept: int = 0) -> RowFile:
    """Return a file of rows that goes on after a step."""
    file = RowFile(path)
    file.kept = kept
    return file


def test_rows_are_appended_and_the_last_one_is_completed(tmp_path: Path) -> None:
    file = rows(tmp_path / "m.csv")
    file.add(1, {"loss": 0.1})
    file.add(2, {"loss": 1 / 3})
    file.add(2, {"val/a,b": float("nan")})
    file.add(2, {"val/loss": -1e-9})
    file.add(3, {"loss": 2.0})
    assert file.path.read_text() == (
        'step,loss,"val/a,b",val/loss\n1,0.1,,\n2,0.3333333333333333,nan,-1e-09\n3,2.0,,\n'
    )
    assert file.kept == 3


def test_a_row_costs_the_same_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rows(tmp_path / "m.csv", kept=20_000)
    file.path.write_text("step,loss\n" + "".join(f"{n},0.5\n" for n in range(1, 20_001)))
    file.add(20_001, {"loss": 0.5})
    for name in ("write_whole", "takewhile"):  # nothing is read or written anew
        monkeypatch.setattr(row_file, name, None)
    before = file.path.stat().st_ino
    file.add(20_002, {"loss": 0.5})
    assert file.path.stat().st_ino == before
    assert len(pd.read_csv(file.path)) == 20_002


@pytest.mark.parametrize("end", ["", "3,0.", "3,0.3\n4,0.4\n", "\0\0\0\n", "3", ",,\n"])
def test_what_comes_after_the_checkpoint_or_is_unfinished_is_cut_off(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "m.csv"
    path.write_text("step,loss\n1,0.1\n2,0.2\n" + end)
    rows(path, kept=2).add(5, {"loss": 0.5})
    assert path.read_text() == "step,loss\n1,0.1\n2,0.2\n5,0.5\n"
    rows(path).add(1, {"other": 0.5})  # a run without a checkpoint begins anew
    assert path.read_text() == "step,other\n1,0.5\n"


def test_rows_that_are_gone_are_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.csv").write_text("step,loss\n1,0.1\n2,0.2\n")
    rows(tmp_path / "there.csv", kept=2).add(3, {"loss": 0.5})
    rows(tmp_path / "new.csv").add(1, {"loss": 0.5})
    assert capsys.readouterr().err == ""
    file = rows(tmp_path / "gone.csv", kept=2)
    file.add(3, {"loss": 0.5})
    file.add(4, {"loss": 0.5})
    assert file.path.read_text() == "step,loss\n3,0.5\n4,0.5\n"
    told = capsys.readouterr().err
    assert "gone.csv is gone or empty, with the rows up to step 2" in told
    assert told.count("\n") == 1


def test_a_killed_writer_leaves_whole_rows_and_at_most_a_part_of_one(tmp_path: Path) -> None:
    """Broken off at every call that changes the file, it goes on as if it had not been."""
    table = [(1, {"a": 0.1}), (2, {"a": 0.2}), (2, {"b": 0.3}), (3, {"a": 0.4}), (3, {"c": 0.5})]
    whole = rows(tmp_path / "whole.csv")
    for step, row in table:
        whole.add(step, row)
    for stop in range(len(table)):
        for share in (0.0, 0.5, 1.0):
            path = tmp_path / f"{stop} {share}.csv"
            file = rows(path)
            for step, row in table[:stop]:
                file.add(step, row)
            before = path.read_bytes() if stop else b""
            file.add(*table[stop])
            written = path.read_bytes()[len(before) :]
            path.write_bytes(before + written[: int(share * len(written))])
            kept = table[stop][0] - 1  # the last checkpoint was before the row
            again = rows(path, kept)
            for step, row in table:
                if step > kept:
                    again.add(step, row)
            assert path.read_bytes() == whole.path.read_bytes(), (stop, share)


def test_a_full_disk_leaves_no_part_of_a_row(tmp_path: Path) -> None:
    file = rows(tmp_path / "m.csv")
    file.add(1, {"loss": 0.123456789})
    before = file.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            file.add(2, {"loss": 0.123456789})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.path.read_bytes() == before


def test_a_checkpoint_holds_no_rows(tmp_path: Path) -> None:
    sizes = []
    for every in (1, 10):
        (out := tmp_path / str(every)).mkdir()
        fit(masked_codes(), Noise(), train=replace(ROWS, log_every=every), seed=1, out=out)
        kept = torch.load(out / LAST, weights_only=True)["callbacks"]["MetricsFile"]
        sizes.append(len(repr(kept)))
        assert kept.keys() == {"step", "sums", "n"}
    assert sizes[0] == sizes[1]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a training writes to its standard error."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr", stream)
    fit(masked_codes(), Noise(), train=replace(TRAIN, steps=30), seed=1)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n")


def test_on_a_terminal_a_bar_tells_loss_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = shown(Terminal(), monkeypatch)
    last = [line for line in told.splitlines() if "left" in line][-1]
    assert re.search(r"loss \d+\.?\d* .* 30/30 .*\d windows/s \d:\d\d:\d\d left 0:00:00", last), (
        last
    )


def test_elsewhere_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch) == ""
