"""Ingest, status and verify, as a user meets them."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainfm.cli import main
from brainfm.errors import UsageError, WorkError
from brainfm.recordings import state as state_module
from brainfm.recordings.quarantine import Reason
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages import ingest as stage
from brainfm.stages import jobs, known
from brainfm.stages.ingest import ingest
from brainfm.stages.status import status
from brainfm.stages.verify import verify
from brainfm.store import open_store

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample" / "eegmat"
EEGMAT = ROOT / "configs" / "datasets" / "eegmat.yaml"
DATA = Path(os.environ.get("BRAINFM_DATA", ""))


@pytest.fixture
def raw(tmp_path):
    """Six short recordings of three subjects."""
    for recording in synthesise(3, seconds=4.0):
        write_edf(recording, tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.zarr"


def state(store):
    """Return what must not change: every recording's name, content and time of writing."""
    opened = open_store(store)
    return {
        id: (
            opened.entry(id).checksum,
            (store / "recordings" / id / "signal" / "zarr.json").stat().st_mtime_ns,
        )
        for id in opened.table["id"]
    }


def table(store):
    """Return the table without what may tell when a source was read."""
    return open_store(store).table.drop(columns="source_stat")


def reported(store, capsys):
    capsys.readouterr()
    status(store, json=True)
    return json.loads(capsys.readouterr().out)


def test_the_sample_comes_in(store, capsys):
    summary = ingest([str(SAMPLE)], store=store, recipe=EEGMAT)
    assert len(summary.added) == 16
    assert "16 recordings (16 new), 0 files quarantined" in capsys.readouterr().out
    found = reported(store, capsys)
    assert found["hours"] == pytest.approx(16 * 46 / 3600)
    assert found["quarantined"] == []
    assert {(r["subject"], r["run"]) for r in found["recordings"]} == {
        (f"{subject:02d}", run) for subject in range(8) for run in "12"
    }
    assert all(r["duplicate_of"] is None for r in found["recordings"])
    verify(store)
    status(store)
    text = capsys.readouterr().out
    assert "16 recordings, every one as it was written" in text
    assert "0.20" in text


def test_twice_is_once(raw, store):
    ingest([str(raw)], store=store)
    before = state(store)
    summary = ingest([str(raw), str(raw / "*.edf")], store=store)
    assert (len(summary.added), len(summary.unchanged)) == (0, 6)
    assert state(store) == before


def test_the_bytes_decide_what_has_changed(raw, store):
    ingest([str(raw)], store=store)
    before = state(store)
    for file in raw.iterdir():
        os.utime(file, (1, 1))
    assert len(ingest([str(raw)], store=store).unchanged) == 6
    changed = raw / "Subject01_2.edf"
    times = changed.stat()
    shutil.copy(raw / "Subject02_2.edf", changed)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    summary = ingest([str(raw)], store=store)
    assert summary.added == (str(changed),)
    after = state(store)
    assert len(after) == 6
    assert len(before.items() & after.items()) == 5


def test_a_changed_recipe_ingests_again(raw, store, tmp_path):
    ingest([str(raw)], store=store, recipe=EEGMAT)
    other = tmp_path / "other.yaml"
    other.write_text(EEGMAT.read_text() + "drop: [Fp1]\n")
    assert len(ingest([str(raw)], store=store, recipe=other).added) == 6
    assert set(open_store(store).table.n_channels) == {18}
    other.write_text(EEGMAT.read_text() + "h_freq: 45\n")
    with pytest.raises(UsageError, match="give another --store"):
        ingest([str(raw)], store=store, recipe=other)


def test_another_name_of_the_recipe_is_another_data_set(raw, store, tmp_path):
    ingest([str(raw)], store=store, recipe=EEGMAT)
    other = tmp_path / "other.yaml"
    other.write_text(EEGMAT.read_text().replace("name: eegmat", "name: other"))
    for expected in (6, 0):
        assert len(ingest([str(raw)], store=store, recipe=other).added) == expected
        assert set(open_store(store).table["dataset"]) == {"other"}
    verify(store)


def test_a_mistaken_recipe_takes_nothing_away(raw, store, tmp_path):
    ingest([str(raw)], store=store)
    before = open_store(store).table
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("pattern: 'nobody-(?P<subject>x+)'\n")
    with pytest.raises(WorkError, match=r"pattern_mismatch.*keeps them as they were"):
        ingest([str(raw)], store=store, recipe=wrong)
    after = open_store(store)
    assert after.table.equals(before)
    assert len(after.quarantined) == 0


def test_a_new_file_is_added_to_the_others(raw, store):
    aside = raw.parent / "Subject09_1.edf"
    shutil.move(raw / "Subject00_1.edf", aside)
    ingest([str(raw)], store=store)
    before = state(store)
    assert ingest([str(raw), str(aside)], store=store).added == (str(aside),)
    assert before.items() <= state(store).items()


def test_workers_give_the_same_store(raw, store, tmp_path):
    ingest([str(raw)], store=store)
    ingest([str(raw)], store=tmp_path / "two.zarr", workers=2)
    assert table(store).equals(table(tmp_path / "two.zarr"))
    assert open_store(store).fingerprint == open_store(tmp_path / "two.zarr").fingerprint
    with pytest.raises(UsageError, match="workers is 0"):
        ingest([str(raw)], store=store, workers=0)


# What is not read again


@pytest.fixture
def settled(monkeypatch):
    """Let the times of files count that were written just now."""
    monkeypatch.setattr(state_module, "SETTLED_SECONDS", 0)


@pytest.fixture
def hashed(monkeypatch):
    """Note which sources are hashed."""
    seen = []

    def noted(source, hash_of=state_module.hash_of):
        seen.append(source.path)
        return hash_of(source)

    monkeypatch.setattr(jobs, "hash_of", noted)
    return seen


def test_sources_of_the_same_size_and_times_are_not_read(raw, store, settled, hashed):
    (raw / "empty.edf").write_bytes(b"")
    ingest([str(raw)], store=store)
    assert len(hashed) == 7
    hashed.clear()
    summary = ingest([str(raw)], store=store)
    assert (len(summary.unchanged), len(summary.quarantined), hashed) == (6, 1, [])
    touched = str(raw / "Subject01_1.edf")
    os.utime(touched)
    for expected in ([touched], []):
        assert len(ingest([str(raw)], store=store).unchanged) == 6
        assert hashed == expected
        hashed.clear()


def test_times_that_were_set_back_prove_nothing(raw, store, settled):
    path = raw / "Subject01_1.edf"
    ingest([str(raw)], store=store)
    times = path.stat()
    path.write_bytes((raw / "Subject02_1.edf").read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert ingest([str(raw)], store=store).added == (str(path),)


def test_times_of_young_files_prove_nothing(raw, store, hashed):
    ingest([str(raw)], store=store)
    assert set(open_store(store).table.source_stat) == {""}
    ingest([str(raw)], store=store)
    assert len(hashed) == 12


def test_every_file_of_a_source_counts(raw, store, settled):
    import mne

    edf = mne.io.read_raw_edf(raw / "Subject00_1.edf", preload=True, verbose="ERROR")
    pybv = pytest.importorskip("pybv")
    pybv.write_brainvision(
        data=edf.get_data(),
        sfreq=edf.info["sfreq"],
        ch_names=edf.ch_names,
        fname_base="a",
        folder_out=raw / "bv",
    )
    ingest([str(raw / "bv")], store=store)
    assert len(ingest([str(raw / "bv")], store=store).unchanged) == 1
    (raw / "bv" / "a.vmrk").write_text((raw / "bv" / "a.vmrk").read_text() + "; a comment\n")
    assert len(ingest([str(raw / "bv")], store=store).added) == 1


@pytest.fixture
def reads(monkeypatch):
    """Note which sources are opened by a reader."""
    seen = []

    def noted(source, recipe, read=jobs.read_recording, **how):
        seen.append(source.path)
        return read(source, recipe, **how)

    monkeypatch.setattr(jobs, "read_recording", noted)
    return seen


def test_a_quarantined_file_is_read_again_only_when_something_has_changed(
    raw, store, tmp_path, reads, monkeypatch
):
    bad = raw / "cut.edf"
    bad.write_bytes((raw / "Subject00_1.edf").read_bytes()[:-1000])
    ingest([str(raw)], store=store)

    def again(**how):
        reads.clear()
        ingest([str(raw)], store=store, **how)
        return str(bad) in reads

    assert not again()
    assert again(retry_quarantined=True)
    assert not again()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("min_seconds: 2\n")
    assert again(recipe=recipe)
    assert not again(recipe=recipe)
    with monkeypatch.context() as patch:
        for module in (jobs, stage, known):
            patch.setattr(module, "__version__", "99.0")
        assert again(recipe=recipe)
        assert not again(recipe=recipe)


def test_a_fault_that_may_pass_is_tried_again(raw, store, monkeypatch):
    path = str(raw / "Subject01_1.edf")

    def fail(error):
        def read(source, recipe, read=jobs.read_recording, **how):
            if source.path == path:
                raise error
            return read(source, recipe, **how)

        return read

    for error in (OSError(5, "Input/output error"), MemoryError()):
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "read_recording", fail(error))
            assert ingest([str(raw)], store=store).quarantined == {path: "unreadable"}
    assert ingest([str(raw)], store=store).added == (path,)
    # And it takes nothing away that is there.
    with monkeypatch.context() as patch:
        patch.setattr(
            jobs, "hash_of", lambda source: fail(OSError(116, "Stale handle"))(source, None)
        )
        patch.setattr(jobs, "read_recording", fail(OSError(5, "Input/output error")))
        os.utime(path)
        with pytest.raises(WorkError, match="keeps them as they were"):
            ingest([path], store=store)
    assert len(open_store(store)) == 6


def test_the_documentation_tells_every_reason_and_only_those():
    rows = re.findall(
        r"^\| `(\w+)` \| .+ \|$", (ROOT / "docs" / "ingest.md").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted(reason.value for reason in Reason)


# The same content twice


def test_the_same_content_under_other_names_is_reported(raw, store, capsys):
    import mne

    shutil.copy(raw / "Subject00_1.edf", raw / "Subject77_3.edf")
    edf = mne.io.read_raw_edf(raw / "Subject01_1.edf", preload=True, verbose="ERROR")
    edf.rename_channels(lambda name: name.removeprefix("EEG ")).save(raw / "other_raw.fif")
    summary = ingest([str(raw)], store=store)
    table = open_store(store).table.set_index("id")
    sources = {
        tuple(sorted((Path(table.source[a]).name, Path(table.source[b]).name)))
        for a, b in summary.duplicates.items()
    }
    assert sources == {
        ("Subject00_1.edf", "Subject77_3.edf"),
        ("Subject01_1.edf", "other_raw.fif"),
    }
    assert "2 recordings of the store have the content of another" in capsys.readouterr().out
    status(store)
    told = capsys.readouterr().out
    for id, first in summary.duplicates.items():
        assert id[:12] in told
        assert first[:12] in told


# Sources that are gone


def test_sources_that_are_gone_are_told_and_stay_in_the_store(raw, store, capsys, monkeypatch):
    (raw / "empty.edf").write_bytes(b"")
    monkeypatch.chdir(raw.parent)
    ingest(["raw"], store=store)
    assert reported(store, capsys)["vanished"] == []
    status(store)
    assert "gone since" not in capsys.readouterr().out
    for name in ("Subject01_1.edf", "empty.edf"):
        (raw / name).unlink()
    assert sorted(reported(store, capsys)["vanished"]) == ["raw/Subject01_1.edf", "raw/empty.edf"]
    status(store)
    told = capsys.readouterr().out.partition("gone since")[2]
    assert "sub-Subject01-1" in told
    assert "empty" in told
    monkeypatch.setattr("brainfm.stages.status.LISTED", 1)
    status(store)
    told = capsys.readouterr().out.partition("gone since")[2]
    assert "… and 1 more" in " ".join(told.split())
    assert len(ingest(["raw"], store=store).unchanged) == 5
    assert len(open_store(store)) == 6


def test_a_path_and_bytes_from_another_folder_are_the_same_recording(
    raw, store, monkeypatch, reads
):
    """As where a data set and its store have moved, or somebody calls from two copies in turn."""
    ingest([str(raw / "Subject00_1.edf")], store=store)
    for folder in ("one", "two"):
        shutil.copytree(raw, raw.parent / folder)
        monkeypatch.chdir(raw.parent / folder)
        summary = ingest(["."], store=store)
        assert len(summary.added) + len(summary.unchanged) == 6
        verify(store)
    assert len(reads) == 7
    before = state(store)
    assert len(before) == 7
    for folder in ("one", "two", "two"):
        monkeypatch.chdir(raw.parent / folder)
        assert len(ingest(["."], store=store).unchanged) == 6
    assert (len(reads), state(store)) == (7, before)
    # What has changed in one of the two comes in beside.
    shutil.copy("Subject01_1.edf", "Subject02_1.edf")
    assert ingest(["."], store=store).added == ("Subject02_1.edf",)
    verify(store)


# Bad files


def spoil(raw):
    """Put one file of each kind of damage beside the good ones; return its reasons by name."""
    good = (raw / "Subject00_1.edf").read_bytes()
    bad = {
        "empty.edf": (b"", "empty"),
        "cut.edf": (good[:-1000], "truncated"),
        "header.edf": (good[:300], "truncated"),
        "text.edf": (good.replace(b"\n", b"\r\n") + b"\n", "damaged"),
        "notes.edf": (b"These are my notes, not a recording. " * 20, "unknown_format"),
        "notes.fif": (b"These are my notes, not a recording. " * 20, "unknown_format"),
    }
    for name, (content, _) in bad.items():
        (raw / name).write_bytes(content)
    return {str(raw / name): reason for name, (_, reason) in bad.items()}


def test_every_file_is_in_one_of_two_lists(raw, store, capsys):
    good = {str(file) for file in raw.iterdir()}
    bad = spoil(raw)
    summary = ingest([str(raw)], store=store)
    assert summary.quarantined == bad
    assert "6 recordings (6 new), 6 files quarantined" in capsys.readouterr().out
    found = reported(store, capsys)
    assert {r["source"] for r in found["recordings"]} == good
    assert {q["source"]: q["reason"] for q in found["quarantined"]} == bad
    assert all(q["detail"].endswith(".") for q in found["quarantined"])
    assert len(found["quarantined"]) == len(bad)
    status(store)
    assert "truncated" in capsys.readouterr().out


def test_a_mended_file_leaves_quarantine_and_a_broken_one_enters_it(raw, store, capsys):
    path = raw / "Subject00_1.edf"
    good = path.read_bytes()
    path.write_bytes(good[:-10])
    ingest([str(raw)], store=store)
    assert len(ingest([str(raw)], store=store).quarantined) == 1
    path.write_bytes(good)
    summary = ingest([str(raw)], store=store)
    assert (summary.added, summary.quarantined) == ((str(path),), {})
    assert reported(store, capsys)["quarantined"] == []
    path.write_bytes(good[:-10])
    ingest([str(raw)], store=store)
    found = reported(store, capsys)
    assert [q["source"] for q in found["quarantined"]] == [str(path)]
    assert len(found["recordings"]) == 5


def test_a_part_that_came_before_the_rest_is_not_told_twice(raw, store):
    """As the file of samples of BrainVision does, and a part that looks like a recording of its own."""
    import mne

    pybv = pytest.importorskip("pybv")
    edf = mne.io.read_raw_edf(raw / "Subject00_1.edf", preload=True, verbose="ERROR")
    data = {"data": edf.get_data(), "sfreq": edf.info["sfreq"], "ch_names": edf.ch_names}
    pybv.write_brainvision(**data, fname_base="a", folder_out=raw.parent / "bv")
    header = raw.parent / "bv" / "a.vhdr"
    header.rename(raw.parent / "a.vhdr")
    # A lone EDF stands for any part that comes in by itself.
    part, whole = raw / "Subject01_1.edf", raw / "Subject02_1.edf"
    ingest([str(raw), str(raw.parent / "bv" / "*")], store=store)
    assert (len(open_store(store)), len(open_store(store).quarantined)) == (6, 2)
    (raw.parent / "a.vhdr").rename(header)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "find_sources", with_part(str(whole), str(part)))
        summary = ingest([str(raw), str(raw.parent / "bv")], store=store)
        assert str(header) in summary.added
        after = open_store(store)
        assert str(part) not in set(after.table.source)
        assert (len(after), len(after.quarantined)) == (6, 0)
        assert len(ingest([str(raw), str(raw.parent / "bv")], store=store).unchanged) == 6


def with_part(whole, part, find_sources=stage.find_sources):
    """Let one file be known as the part of another."""

    def found(given, recipe):
        sources = [source for source in find_sources(given, recipe) if source.path != part]
        return [replace(s, files=(*s.files, part)) if s.path == whole else s for s in sources]

    return found


def test_what_no_reader_foresaw_is_set_aside_too(raw, store, monkeypatch):
    from brainfm.stages import jobs as stage

    def strange(source, recipe, read=stage.read_recording, **how):
        if source.path.endswith("Subject01_1.edf"):
            raise MemoryError("too much")
        return read(source, recipe, **how)

    monkeypatch.setattr(stage, "read_recording", strange)
    summary = ingest([str(raw)], store=store)
    assert summary.quarantined == {str(raw / "Subject01_1.edf"): "unreadable"}


def test_nothing_coming_in_is_a_failure(raw, store, tmp_path):
    only = tmp_path / "notes.txt"
    only.write_text("no recording")
    with pytest.raises(
        WorkError, match=r"None of the 1 files came in.*notes\.txt: No reader claims"
    ):
        ingest([str(only)], store=store)
    assert open_store(store).quarantined.reason.tolist() == ["unknown_format"]


def test_the_failure_names_a_file_that_was_given(raw, store, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("no recording")
    ingest([str(raw), str(tmp_path / "a.txt")], store=store)
    with pytest.raises(WorkError, match=r"None of the 1 files came in.*The first is b\.txt: No"):
        ingest([str(tmp_path / "b.txt")], store=store)


def test_a_full_disk_is_one_sentence_and_the_next_call_goes_on(raw, store, monkeypatch):
    from brainfm.store import write

    def full(folder, recording, encoding, write_signal=write._write_signal):
        if len(list((store / "recordings").iterdir())) > 2:
            raise OSError(28, "No space left on device")
        return write_signal(folder, recording, encoding)

    with monkeypatch.context() as patch:
        patch.setattr(write, "_write_signal", full)
        with pytest.raises(WorkError, match="No space left on device"):
            ingest([str(raw)], store=store)
    assert len(open_store(store)) == 2
    verify(store)
    assert len(ingest([str(raw)], store=store).added) == 4


def test_what_cannot_be_written_is_named(raw, store):
    ingest([str(raw / "Subject00_1.edf")], store=store)
    shutil.rmtree(store / "quarantine")
    with pytest.raises(WorkError, match=r"No such file .*: .*quarantine/zarr.json\)"):
        ingest([str(raw)], store=store)
    with pytest.raises(WorkError, match=r"\(File exists: .*Subject00_1.edf\); make room"):
        ingest([str(raw)], store=raw / "Subject00_1.edf" / "s.zarr")


def test_strict_wants_every_file(raw, store):
    ingest([str(raw)], store=store, strict=True)
    (raw / "empty.edf").write_bytes(b"")
    ingest([str(raw)], store=store)
    with pytest.raises(WorkError, match="--strict wants none"):
        ingest([str(raw)], store=store, strict=True)


def test_a_wrong_call_leaves_nothing(raw, store, tmp_path):
    (tmp_path / "none" / "below").mkdir(parents=True)
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "pipe.edf")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("montage: nowhere")
    for source, how in (
        ([str(raw), "nothing.edf"], None),
        ([str(raw), str(tmp_path / "none")], None),
        ([""], None),
        ([str(tmp_path / "none" / "**")], None),
        ([str(tmp_path / "pipes" / "*")], None),
        ([str(raw)], tmp_path / "missing.yaml"),
        ([str(raw)], recipe),
    ):
        with pytest.raises(UsageError):
            ingest(source, store=store, recipe=how)
        assert not store.exists()
    with pytest.raises(UsageError):
        status(store)
    with pytest.raises(UsageError):
        verify(store)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"There is no store at .*something else; name another"):
        ingest([str(raw)], store=tmp_path / "full")
    assert [f.name for f in (tmp_path / "full").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("url", ["memory://s.zarr", "s3://bucket/s.zarr", "http://host/s.zarr"])
def test_nothing_is_written_to_a_url(raw, tmp_path, monkeypatch, capsys, url):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert main(["ingest", str(raw), "--store", url]) == 2
    assert f"{url} is a URL" in capsys.readouterr().err
    arguments = ["--checkpoint", "nowhere", "--tokens", url]
    assert main(["tokenize", "nothing", *arguments]) == 2
    assert f"{url} is a URL" in capsys.readouterr().err
    assert set(tmp_path.rglob("*")) == before


def test_verify_names_what_is_damaged(raw, store, capsys):
    ingest([str(raw)], store=store)
    id = open_store(store).table["id"][2]
    shard = next((store / "recordings" / id).rglob("c.*"))
    data = bytearray(shard.read_bytes())
    data[100] ^= 255
    shard.write_bytes(data)
    with pytest.raises(WorkError, match=f"1 of 6 recordings .* are damaged \\({id}\\)"):
        verify(store)
    assert id in capsys.readouterr().out


def spoil_shard(folder):
    shard = next(folder.rglob("c.*"))
    shard.write_bytes(shard.read_bytes()[:-1])


def spoil_names(folder):
    group = json.loads((folder / "zarr.json").read_text())
    group["attributes"]["sensors"]["names"].reverse()
    (folder / "zarr.json").write_text(json.dumps(group))


@pytest.mark.parametrize("spoil", [spoil_shard, spoil_names, shutil.rmtree])
@pytest.mark.parametrize("young", [False, True])
def test_what_is_damaged_is_mended_as_it_is_told(raw, store, capsys, monkeypatch, spoil, young):
    monkeypatch.setattr(state_module, "SETTLED_SECONDS", 0)
    ingest([str(raw)], store=store)
    before = {f.relative_to(store): f.read_bytes() for f in store.rglob("*") if f.is_file()}
    ids = [open_store(store).table["id"][n] for n in (1, 4)]
    for id in ids:
        spoil(store / "recordings" / id)
    capsys.readouterr()
    with pytest.raises(WorkError, match=r"2 of 6 recordings .*recordings and ingest again"):
        verify(store)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ids
    for id in ids:
        shutil.rmtree(store / "recordings" / id, ignore_errors=True)
    assert reported(store, capsys)["lost"] == ids
    status(store)
    assert ids[0][:12] in capsys.readouterr().out.partition("without a folder")[2]
    if young:  # times that are not those the store knows: every source is hashed
        for file in raw.iterdir():
            os.utime(file)
    summary = ingest([str(raw)], store=store)
    assert (len(summary.added), len(summary.unchanged), summary.kept) == (2, 4, {})
    verify(store)
    assert reported(store, capsys)["lost"] == []
    after = {f.relative_to(store): f.read_bytes() for f in store.rglob("*") if f.is_file()}
    assert set(after) == set(before)
    if not young:
        assert after == before


def test_a_foreign_file_among_the_recordings_is_passed_over(raw, store):
    ingest([str(raw)], store=store)
    for folder in ("recordings", "quarantine"):
        (store / folder / "notes.txt").write_text("mine")
    assert len(ingest([str(raw)], store=store).unchanged) == 6
    verify(store)


def test_a_store_that_may_not_be_read_says_so(raw, store, monkeypatch):
    ingest([str(raw)], store=store)

    def read(self, key):
        raise PermissionError(13, "Permission denied", str(store / key))

    monkeypatch.setattr("brainfm.store.files.LocalFiles.read", read)
    with pytest.raises(UsageError, match=r"may not be read; ask for the permission"):
        open_store(store)


@pytest.mark.parametrize("folder", ["recordings", "quarantine"])
@pytest.mark.parametrize("text", [None, "junk"])
def test_a_group_that_is_not_as_it_was_written_is_named_and_mended(raw, store, folder, text):
    ingest([str(raw)], store=store)
    file = store / folder / "zarr.json"
    whole = json.loads(file.read_text())
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(WorkError, match=rf"{folder}/zarr\.json is not as it was written") as told:
        verify(store)
    words = re.search(r"write (\{.*\}) into", str(told.value))
    assert words is not None
    assert json.loads(words[1]) == whole
    file.write_text(words[1])
    verify(store)
    ingest([str(raw)], store=store)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.pop("sfreq"),
        lambda table: table["sfreq"].pop(),
        lambda table: table["n_times"].__setitem__(0, "many"),
        lambda table: table.update(id=3),
    ],
)
def test_a_damaged_table_is_named_and_made_anew(raw, store, capsys, spoil):
    ingest([str(raw)], store=store)
    whole = (store / "zarr.json").read_text()
    root = json.loads(whole)
    spoil(root["attributes"]["table"])
    (store / "zarr.json").write_text(json.dumps(root))
    assert len(reported(store, capsys)["recordings"]) == 6
    with pytest.raises(WorkError, match=r"the table in zarr\.json is not as it was written"):
        verify(store)
    assert len(ingest([str(raw)], store=store).unchanged) == 6
    verify(store)
    assert set(json.loads(whole)["attributes"]["table"]) == set(
        json.loads((store / "zarr.json").read_text())["attributes"]["table"]
    )


@pytest.mark.parametrize("text", ["{", "", "[]", '{"source": 3}', "\xff"])
def test_a_broken_entry_of_the_quarantine_is_named_and_mended(raw, store, reads, text):
    bad = raw / "cut.edf"
    bad.write_bytes((raw / "Subject00_1.edf").read_bytes()[:-1000])
    ingest([str(raw)], store=store)
    (file,) = [f for f in (store / "quarantine").iterdir() if f.name != "zarr.json"]
    whole = json.loads(file.read_text())
    file.write_text(text, encoding="latin1")
    with pytest.raises(WorkError, match=rf"{file.name} of the store .* cannot be read"):
        status(store)
    with pytest.raises(WorkError, match=rf"quarantine.*{file.name}\).*remove these files"):
        verify(store)
    reads.clear()
    assert ingest([str(raw)], store=store).quarantined == {str(bad): "truncated"}
    assert reads == [str(bad)]
    # By the second reading the file may be old enough for its times to count.
    assert json.loads(file.read_text()) | {"source_stat": whole["source_stat"]} == whole
    verify(store)


def test_odd_paths_come_in(raw, store):
    odd = raw.parent / "ä b\nc" / "..sub-x..y z.edf"
    odd.parent.mkdir()
    shutil.copy(raw / "Subject00_1.edf", odd)
    ingest([str(odd.parent)], store=store)
    (row,) = open_store(store).table.to_dict("records")
    assert row["source"] == str(odd)
    assert (store / "recordings" / row["id"]).is_dir()


def test_a_store_among_its_sources_is_no_source(raw):
    ingest([str(raw)], store=raw / "s.zarr")
    assert len(ingest([str(raw)], store=raw / "s.zarr").unchanged) == 6


# Privacy


def test_no_name_of_the_header_is_in_the_store(raw, store):
    path = raw / "Subject00_1.edf"
    data = bytearray(path.read_bytes())
    data[8:88] = f"{'MCH-0234567 F 02-MAY-1951 Haagse_Harry':<80}".encode()
    data[88:168] = f"{'Startdate 02-MAR-2002 EMG561 BK/JOP Sony':<80}".encode()
    data[168:184] = b"02.03.0217.05.33"
    path.write_bytes(data)
    assert ingest([str(raw)], store=store).quarantined == {}
    planted = [b"0234567", b"1951", b"Haagse", b"Harry", b"EMG561", b"BK/JOP", b"2002", b"02.03"]
    texts = [file.read_bytes() for file in store.rglob("*") if file.name.endswith(".json")]
    for text in texts:
        for word in planted:
            assert word not in _words(text)


def _words(text):
    """Return the words of a JSON file; numbers, hashes and the path may hold any digits."""
    words = []

    def collect(value):
        if isinstance(value, dict):
            words.extend(value)
            list(map(collect, [v for k, v in value.items() if k != "source"]))
        elif isinstance(value, list):
            list(map(collect, value))
        elif isinstance(value, str) and not set(value) <= set("0123456789abcdef"):
            words.append(value)

    collect(json.loads(text))
    return "\n".join(words).encode()


def test_a_worker_needs_no_pandas():
    """It starts with what a job needs; the table is the command's."""
    code = "import sys, brainfm.stages.jobs; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ingest_needs_no_torch():
    code = (
        "import sys, brainfm.stages.ingest, brainfm.stages.status, brainfm.stages.verify; "
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Real data sets


@pytest.mark.data
def test_real_data_sets_share_one_store(store):
    recipes = ROOT / "configs" / "datasets"
    ingest(
        [str(DATA / "eegmmidb/**/S00[12]R04.edf")], store=store, recipe=recipes / "eegmmidb.yaml"
    )
    ingest([str(DATA / "eegmmidb/**/S088R04.edf")], store=store, recipe=recipes / "eegmmidb.yaml")
    ssvep = [str(DATA / "kalunga2016_ssvep/**/subject01*.fif")]
    ingest(ssvep, store=store, recipe=recipes / "kalunga2016.yaml")
    ingest([str(DATA / "eegmat_arithmetic/Subject00_*.edf")], store=store, recipe=EEGMAT)
    corrupt = ingest([str(DATA / "corrupt"), str(SAMPLE / "Subject00_1.edf")], store=store)
    assert sorted(corrupt.quarantined.values()) == ["damaged", "damaged"]
    opened = open_store(store)
    table = opened.table
    assert table.groupby("dataset").size().to_dict() == {
        "default": 1,
        "eegmat": 2,
        "eegmmidb": 3,
        "kalunga2016": 2,
    }
    assert set(table.sfreq) == {200.0}
    for row in table.itertuples():
        assert np.isfinite(opened.read(row.id, 0, row.n_times)).all()
    verify(store)
