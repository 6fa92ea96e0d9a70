"""A file that keeps its reader waiting for ever costs its time limit and nothing else."""

import contextlib
import re
import signal
import time

import pytest

from brainfm.errors import UsageError
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages.ingest import ingest
from brainfm.stages.patience import Patience, waited
from brainfm.store import open_store


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    write_edf(synthesise(1, seconds=4.0)[0], folder)
    (tmp_path / "recipe.yaml").write_text("reader: hanging.Hanging\n")
    hung(folder)  # what is imported on the way costs more time than a test's limit
    return folder


def hung(raw, *ways, **how):
    """Ingest a good file beside those that hang; return what was told of these."""
    for way in ways:
        (raw / f"{way}.hang").write_text(way)
    store, recipe = raw.parent / "s.zarr", raw.parent / "recipe.yaml"
    summary = ingest([str(raw)], store=store, recipe=recipe, **how)
    assert len(summary.added) + len(summary.unchanged) >= 1
    return {name.rpartition("/")[2]: reason for name, reason in summary.quarantined.items()}


def test_a_hanging_file_is_set_aside_in_this_process_and_can_be_tried_again(raw):
    ways = ("in python", "in a system call", "in a block")
    wanted = {f"{way}.hang": "timed_out" for way in ways}
    assert hung(raw, *ways, timeout=0.5) == wanted
    (told, *_) = open_store(raw.parent / "s.zarr").quarantined.detail
    assert "0.5 s" in told
    assert "--timeout" in told
    begin = time.monotonic()
    assert hung(raw, timeout=30.0) == wanted  # not read again
    assert time.monotonic() - begin < 15
    (raw / "in python.hang").write_text("not at all")
    assert "in python.hang" not in hung(raw, timeout=30.0)
    assert set(hung(raw, timeout=0.5, retry_quarantined=True)) == set(wanted) - {"in python.hang"}


def test_a_mark_tells_for_how_long_a_reader_is_waited_for(tmp_path):
    mark = tmp_path / "a.waiting"
    patience = Patience(5.0, deadly=True, mark=mark)
    assert waited(mark) == 0
    with patience.limit():
        time.sleep(0.3)
        assert 0.2 < waited(mark) < 4
    assert waited(mark) == 0
    for block in patience.watch(iter_of_one()):
        assert (block, waited(mark)) == ("block", 0)
    assert list(tmp_path.iterdir()) == []


def iter_of_one():
    yield "block"


def test_somebody_else_s_alarm_still_rings():
    class Rung(BaseException):
        pass

    def ring(*_):
        raise Rung

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with contextlib.suppress(Refused), Patience(0.05, deadly=False).limit():
            time.sleep(10)
        with pytest.raises(Rung):
            time.sleep(10)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_comes_in_time_is_handed_on():
    def stream():
        yield "block"
        return "findings"

    watched = Patience(5.0, deadly=False).watch(stream())
    assert next(watched) == "block"
    with pytest.raises(StopIteration) as end:
        next(watched)
    assert end.value.value == "findings"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    with pytest.raises(Refused) as refused, Patience(0.01, deadly=False).limit():
        time.sleep(5)
    assert refused.value.reason is Reason.timed_out


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e10, float("nan")])
def test_a_limit_that_cannot_be_kept_is_a_wrong_call(raw, seconds):
    with pytest.raises(UsageError, match=re.escape(f"timeout is {seconds:g} s")):
        hung(raw, timeout=seconds)
