"""What can go wrong in a night of ingesting, done to it on purpose."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainfm.cli import main
from brainfm.errors import UsageError, WorkError
from brainfm.recordings.formats.known import UNREADABLE
from brainfm.recordings.sources import find_sources
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages import jobs
from brainfm.stages.ingest import ingest
from brainfm.stages.status import status, summarise
from brainfm.stages.verify import verify
from brainfm.store import open_store
from brainfm.store.files import LocalFiles
from brainfm.store.hold import writing
from brainfm.store.verify import verify_store

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample" / "eegmat"
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


def tree(store):
    """Return the hash of every file below a store."""
    return {
        str(file.relative_to(store)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }


# Kills, and disks that fill up. A process that has imported everything forks for each of them; the
# times of young files count as well there, so that equal stores are equal to the last byte.

DRIVER = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from brainfm.errors import UsageError, WorkError
from brainfm.recordings import state
from brainfm.recordings.files import read_recording
from brainfm.recordings.recipe import Recipe
from brainfm.stages.ingest import ingest

state.SETTLED_SECONDS = 0
raw, folder, argument = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
# What is loaded on first use is loaded once; zarr is not touched, its threads would not live on.
read_recording(str(next(f for f in Path(raw).iterdir() if f.stat().st_size)), Recipe()).load()
sys.stdout = open(os.devnull, "w")

def forked(work):
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            work()
            code = 0
        except WorkError:
            code = 1
        finally:
            os._exit(code)
    return pid

def run(store):
    return lambda: ingest([raw], store=store)

def code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

whole = folder / "whole.zarr"
"""

KILLS = (
    DRIVER
    + """
start = time.monotonic()
assert code(forked(run(whole))) == 0
took = time.monotonic() - start
moments = random.Random(0)
for number in range(argument):
    store = folder / f"{number}.zarr"
    for attempt in range(20):
        shutil.rmtree(store, ignore_errors=True)
        pid = forked(run(store))
        time.sleep(moments.uniform(0, took))
        os.kill(pid, signal.SIGKILL)
        if code(pid) == -signal.SIGKILL:  # or it was done already
            break
    else:
        sys.exit("no ingest could be killed before it was done")
    if store.exists():
        shutil.copytree(store, folder / f"{number}.killed")
    assert code(forked(run(store))) == 0
"""
)


def drive(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_kill_at_any_moment_loses_nothing(raw, tmp_path):
    drive(KILLS, raw, tmp_path, 25)
    whole = tree(tmp_path / "whole.zarr")
    halves = 0
    for number in range(25):
        assert tree(tmp_path / f"{number}.zarr") == whole
        left = tmp_path / f"{number}.killed"
        if (left / "zarr.json").exists():
            checks = list(verify_store(open_store(left)))
            assert [check.problem for check in checks] == [None] * len(checks)
            halves += 0 < len(checks) < 6
    assert halves >= 5


FULL = (
    DRIVER
    + """
import errno

def full_from(place):
    met = [0]

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else set(mode) & set("wxa")
        elif event in ("os.mkdir", "os.rename"):
            path, writes = arguments[0], True
        else:
            return
        if writes and ".zarr" in str(path):
            met[0] += 1
            if place is not None and met[0] > place:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return met, hook

def counted(store):
    def work():
        met, hook = full_from(None)
        sys.addaudithook(hook)
        ingest([raw], store=store)
        (folder / "places").write_text(str(met[0]))
    return work

def on_full_disk(store, place):
    def work():
        sys.addaudithook(full_from(place)[1])
        ingest([raw], store=store)
    return work

assert code(forked(counted(whole))) == 0
places = int((folder / "places").read_text())
for place in range(places):
    store = folder / f"{place}.zarr"
    assert code(forked(on_full_disk(store, place))) == 1, place
    if store.exists():
        shutil.copytree(store, folder / f"{place}.left")
    assert code(forked(run(store))) == 0, place
print(places, file=sys.stderr)
"""
)


def test_a_disk_that_is_full_at_any_write_loses_nothing(raw, tmp_path):
    for file in sorted(raw.iterdir())[1:]:
        file.unlink()
    (raw / "empty.edf").write_bytes(b"")
    places = int(drive(FULL, raw, tmp_path, 0))
    assert places > 10
    whole = tree(tmp_path / "whole.zarr")
    for place in range(places):
        assert tree(tmp_path / f"{place}.zarr") == whole
        left = tmp_path / f"{place}.left"
        if (left / "zarr.json").exists():
            assert all(check.problem is None for check in verify_store(open_store(left)))


SMALL_DISK = """
set -e
mount -t tmpfs -o size=300k tmpfs {folder}
call() {{ {python} -c "from brainfm.cli import main; raise SystemExit(main())" "$@"; }}
code=0
call ingest {raw} --store {folder}/s.zarr || code=$?
[ $code = 1 ]
mount -o remount,size=100m {folder}
call ingest {raw} --store {folder}/s.zarr
call verify {folder}/s.zarr
"""


def test_a_small_disk_fills_up_and_the_same_call_goes_on_when_there_is_room(raw, tmp_path):
    """On a disk of 300 kB, which only a name space of its own may mount."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets no user mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    script = SMALL_DISK.format(folder=folder, python=sys.executable, raw=raw)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr
    assert "6 recordings, every one as it was written" in done.stdout


# Real files, cut and with flipped bytes

RECIPE = """
l_freq: null
h_freq: null
line_freq: null
min_seconds: 0.05
kinds: [eeg, mag, grad_planar, grad_axial, ecog, seeg, ref_meg, misc]
"""
UNITS = {"GDF": 1000.0}
"""What makes volts of files whose own unit is wrong."""
REAL = {
    "ANT": "ant/test_CA_208.cnt",
    "BDF": "bdf/test.bdf",
    "BDF+": "bdf/multiple_annotation_chans.bdf",
    "BTi": "bti/4Dsim/c,rfDC",
    "BTi, filtered": "bti/4Dsim/c,rfDC,fn50,o",
    "BrainVision": "brainvision/test.vhdr",
    "CTF": "ctf/testdata_ctf_short_discontinuous.ds",
    "Curry": "curry/test_bdf_stim_channel Curry 8.cdt",
    "EDF": "edf/chtypes_edf.edf",
    "EDF+": "edf/test_utf8_annotations.edf",
    "EDF+, fractions": "edf/subsecond_starttime.edf",
    "EDF+, overlaps": "edf/test_edf_overlapping_annotations.edf",
    "EDF+, annotations alone": "edf/SC4001EC-Hypnogram.edf",
    "EDF, Nihon Kohden": "nihon/MB0400FU.EDF",
    "EEGLAB": "eeglab/eeglab_data.set",
    "EGI": "egi/test_egi_multiepoch_eprime.mff",
    "FIF, Neuromag-122": "fif/neuromag122_test_file-raw.fif",
    "FIF, TRIUX": "fif/triux_bmlhus_erm_raw_sss.fif",
    "FIF, VectorView": "fif/sample_audvis_trunc_raw_sss.fif",
    "FIF, shielded": "fif/test_move_anon_erm_raw.fif",
    "GDF": "gdf/kalunga_subject01_run1.gdf",
    "KIT": "kit/Example_PQA160C_1001-export_anonymyze.con",
    "KIT, Macquarie": "kit/MQKIT_125_2sec.con",
    "Neuroscan CNT": "cnt/scan41_short.cnt",
    "Nicolet": "nicolet/test_nicolet_raw.data",
    "Nihon Kohden": "nihon/MB0400FU.EEG",
    "Persyst": "persyst/sub-pt1_ses-02_task-monitor_acq-ecog_run-01_clip2.lay",
    "eXimia": "eximia/test_eximia.nxe",
}
UNSAID = ("BrainVision", "Persyst", "eXimia")
"""Formats that do not say how long a recording is: a cut between two samples leaves a whole file."""


class Hang(BaseException):
    """Not an Exception: what sets a file aside must not take it for the file's fault."""


@contextmanager
def within(seconds):
    def stop(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def copy(source, path, to):
    for file in source.files:
        target = to / Path(file).relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return to / path.name


def damage(path, folder, rng):
    """Write copies of a recording of which one file, of the four largest, is cut or flipped."""
    (source,) = find_sources([str(path)])
    made = {"cut": [], "flipped": []}
    for number, file in enumerate(sorted(source.files, key=os.path.getsize)[-4:]):
        size = os.path.getsize(file)
        places = sorted({0, 1, size // 3, size - 1, *map(int, rng.integers(0, size + 1, 6))})
        for place in places if size else []:
            to = folder / f"{number} cut at {place}"
            made["cut"].append(str(copy(source, path, to)))
            os.truncate(to / Path(file).relative_to(path.parent), place)
        for again in range(6 if size else 0):
            to = folder / f"{number} flipped {again}"
            made["flipped"].append(str(copy(source, path, to)))
            flip(to / Path(file).relative_to(path.parent), rng)
    return made


def flip(file, rng):
    data = bytearray(file.read_bytes())
    for place in rng.integers(0, min(len(data), 2000), 3):
        data[place] ^= int(rng.integers(1, 256))
    file.write_bytes(data)


def check_damaged(name, path, tmp_path):
    store, recipe = tmp_path / "s.zarr", tmp_path / "recipe.yaml"
    scale = UNITS.get(name, 1.0)
    recipe.write_text(f"{RECIPE}unit_scale: {scale}\nunit_reason: as the amplitudes tell\n")
    good = str(SAMPLE / "Subject07_2.edf")
    made = damage(path, tmp_path / "damaged", np.random.default_rng(len(name)))
    with within(100):
        summary = ingest(
            [good, str(path), *made["cut"], *made["flipped"]], store=store, recipe=recipe
        )
    verify(store)
    opened = open_store(store)
    came = dict(zip(opened.table["source"], opened.table["id"], strict=True))
    came.pop(good, None)
    # Every one is in one of the two lists; a copy may lose the file that made it a recording.
    assert set(summary.quarantined).isdisjoint(came)
    given = {str(path), *made["cut"], *made["flipped"]}
    assert given - set(came) - set(summary.quarantined) == set()
    if str(path) not in came:
        assert came == {}
        return
    for id in came.values():
        entry = opened.entry(id)
        assert np.isfinite(opened.read(id, 0, entry.n_times)).all()
    whole = came[str(path)]
    for source in set(made["cut"]) & set(came):
        if opened.entry(came[source]).checksum != opened.entry(whole).checksum:
            assert name in UNSAID, source
            assert_begins(opened, whole, came[source])


def assert_begins(opened, whole, part):
    """The shorter recording is the beginning of the whole one, but for the resampling of its end."""
    n_times = opened.entry(part).n_times
    assert n_times < opened.entry(whole).n_times
    wanted, got = opened.read(whole, 0, n_times), opened.read(part, 0, n_times)
    last = max(0, n_times - 40)
    assert np.abs(wanted - got)[:, :last].max(initial=0) <= 0.05 * wanted.std()


def test_the_sample_cut_and_flipped_is_refused_or_right(tmp_path):
    check_damaged("EDF", SAMPLE / "Subject00_1.edf", tmp_path)


@pytest.mark.data
def test_every_real_file_is_damaged():
    folder = DATA / "formats"
    found = {s.path for s in find_sources([str(folder)]) if Path(s.path).suffix not in UNREADABLE}
    assert found == {str(folder / file) for file in REAL.values()}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_a_real_file_cut_and_flipped_is_refused_or_right(name, tmp_path):
    pytest.importorskip("antio")
    check_damaged(name, DATA / "formats" / REAL[name], tmp_path)


# Sources that change, two at once, and odd names


def changing(monkeypatch, name, change):
    """Let something happen to a source when its first block has been read."""

    def read(source, recipe, read=jobs.read_recording, **how):
        recording = read(source, recipe, **how)

        def blocks():
            stream = recording.blocks()
            yield next(stream)
            if source.path.endswith(name):
                change(Path(source.path))
            return (yield from stream)

        return replace(recording, blocks=blocks)

    monkeypatch.setattr(jobs, "read_recording", read)


def test_a_source_that_changes_while_it_is_read_comes_in_later(raw, store, monkeypatch):
    path = raw / "Subject01_1.edf"
    other = (raw / "Subject02_1.edf").read_bytes()
    with monkeypatch.context() as patch:
        changing(patch, path.name, lambda p: p.write_bytes(other))
        summary = ingest([str(raw)], store=store)
    assert summary.quarantined == {str(path): "changed_while_read"}
    assert len(open_store(store)) == 5
    summary = ingest([str(raw)], store=store)
    assert (summary.added, summary.quarantined) == ((str(path),), {})


def test_a_source_that_is_only_touched_while_it_is_read_comes_in(raw, store, monkeypatch):
    changing(monkeypatch, "Subject01_1.edf", os.utime)
    assert len(ingest([str(raw)], store=store).added) == 6


def test_a_source_that_vanishes_while_it_is_read_is_missing(raw, store, monkeypatch):
    path = raw / "Subject01_1.edf"
    changing(monkeypatch, path.name, Path.unlink)
    assert ingest([str(raw)], store=store).quarantined == {str(path): "missing"}


def test_what_the_store_has_stays_when_its_source_changes_while_it_is_read(raw, store, monkeypatch):
    ingest([str(raw)], store=store)
    path, before = raw / "Subject01_1.edf", tree(store)
    path.write_bytes((raw / "Subject00_1.edf").read_bytes())
    with monkeypatch.context() as patch:
        changing(patch, path.name, lambda p: p.write_bytes((raw / "Subject02_1.edf").read_bytes()))
        with pytest.raises(WorkError, match=r"changed_while_read.*keeps them"):
            ingest([str(raw)], store=store)
    arrays = {k: v for k, v in before.items() if "signal" in k}
    assert arrays.items() <= tree(store).items()
    assert ingest([str(raw)], store=store).added == (str(path),)


def test_the_second_of_two_ingests_says_so_and_takes_nothing(raw, store, capsys):
    ingest([str(raw)], store=store)
    before = tree(store)
    with writing(store):
        held = tree(store)
        assert main(["ingest", str(raw), "--store", str(store)]) == 1
        assert "Another ingest is writing" in capsys.readouterr().err
        assert tree(store) == held
    assert tree(store) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from brainfm.recordings import state
from brainfm.stages.ingest import ingest

state.SETTLED_SECONDS = 0
raw, store, at, where = sys.argv[1:]

def die(event, arguments):
    if event == at and any(where in str(argument) for argument in arguments[:2]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
ingest([raw], store=Path(store))
"""


def kill_at(event, where, raw, store):
    done = subprocess.run([sys.executable, "-c", KILLED, raw, store, event, where], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_kill_before_a_mended_file_leaves_quarantine_leaves_it_in_one_list(raw, store):
    path = raw / "Subject01_1.edf"
    good = path.read_bytes()
    path.write_bytes(good[:-1000])
    ingest([str(raw)], store=store)
    path.write_bytes(good)
    kill_at("os.remove", "quarantine", path, store)
    assert str(path) in set(open_store(store).table.source)
    ingest([str(raw / "Subject00_1.edf")], store=store)
    assert len(open_store(store)) == 6
    assert len(open_store(store).quarantined) == 0


def test_a_kill_while_new_times_are_noted_leaves_nothing(raw, store):
    ingest([str(raw)], store=store)
    os.utime(raw / "Subject01_1.edf")
    kill_at("os.rename", "recordings", raw, store)
    ingest([str(raw / "Subject00_1.edf")], store=store)
    assert list(store.rglob(".*")) == []
    assert len(ingest([str(raw)], store=store).unchanged) == 6


def test_the_second_of_two_first_ingests_goes_on_with_the_store_that_is_there(
    raw, store, monkeypatch
):
    rename = Path.rename

    def first(path, target):
        if target == store:
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", rename)
                ingest([str(raw / "Subject00_1.edf")], store=store)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", first)
    summary = ingest([str(raw)], store=store)
    assert (len(summary.added), len(summary.unchanged)) == (5, 1)
    assert sorted(os.listdir(raw.parent)) == ["raw", "s.zarr"]


def test_a_recording_that_is_taken_out_while_it_is_verified_is_not_damaged(raw, store, tmp_path):
    ingest([str(raw)], store=store)
    (tmp_path / "recipe.yaml").write_text("drop: [Fp1]\n")
    checks = verify_store(opened := open_store(store))
    seen = [next(checks)]
    shutil.rmtree(store / "recordings" / opened.table["id"][3])
    ingest([str(raw / "*1.edf")], store=store, recipe=tmp_path / "recipe.yaml")
    seen += checks
    assert sorted(check.id for check in seen) == list(opened.table["id"])
    assert [check.problem for check in seen] == [None] * 6


def test_what_vanishes_while_a_store_is_told_is_passed_over(raw, store, monkeypatch):
    """An ingest takes folders out, and puts others in their places."""
    ingest([str(raw)], store=store)
    size = open_store(store).n_bytes
    assert size == sum(f.stat().st_size for f in store.rglob("*") if f.is_file())

    failed = []

    def read(self, key, read=LocalFiles.read):
        if key.startswith("recordings/") and key not in failed:
            failed.append(key)
            raise FileNotFoundError
        return read(self, key)

    def names(self, folder, names=LocalFiles.names):
        gone = ["sub-gone_0123abcd"] if folder == "recordings" else []
        return sorted(names(self, folder) + gone)

    def walk(root, walk=os.walk):
        for folder, folders, files in walk(root):
            yield folder, folders, [*files, "gone"]

    with writing(store):
        (store / ".partial" / "half").write_bytes(bytes(size))
        monkeypatch.setattr(LocalFiles, "read", read)
        monkeypatch.setattr(LocalFiles, "names", names)
        monkeypatch.setattr(os, "walk", walk)
        opened = open_store(store)
        assert len(opened.table) == 6
        assert 0 < opened.n_bytes < size  # the root has no table now


def test_a_loop_of_links_ends(raw, store):
    (raw / "loop").symlink_to(raw)
    (raw / "deep").mkdir()
    (raw / "deep" / "up").symlink_to("..")
    (raw / "self").symlink_to("self")
    (raw / "gone.edf").symlink_to("nowhere.edf")
    summary = ingest([str(raw)], store=store)
    assert len(summary.added) == 6
    assert list(summary.quarantined.items()) == [(str(raw / "gone.edf"), "missing")]


def test_a_pipe_is_not_waited_for(raw, store):
    os.mkfifo(raw / "pipe.cnt")
    os.mkfifo(raw / "pipe.edf")
    with within(60):
        assert len(ingest([str(raw)], store=store).added) == 6
        assert len(ingest([str(raw / "*")], store=store).unchanged) == 6
        with pytest.raises(UsageError, match="is a pipe or a device"):
            ingest([str(raw / "pipe.edf")], store=store)


NOBODY = """
import os, sys
from pathlib import Path
from brainfm.errors import UsageError
from brainfm.stages.ingest import ingest

if os.getuid() == 0:  # whom nothing is forbidden
    os.setgid(65534)
    os.setuid(65534)
os.chdir(sys.argv[1])
for given in (["raw"], ["raw/*"]):
    summary = ingest(given, store=Path("s.zarr"))
    assert len(summary.added) + len(summary.unchanged) == 6, summary
    assert summary.quarantined == {"raw/closed": "unreadable", "raw/closed.edf": "unreadable"}
    for source in ("raw/closed", "raw/closed/**"):
        try:
            ingest([source], store=Path("s.zarr"))
        except UsageError as error:
            assert "raw/closed" in str(error), error
        else:
            sys.exit("nothing was said")
"""


def test_a_folder_that_may_not_be_read_costs_nothing_but_itself(raw):
    with tempfile.TemporaryDirectory() as place:  # pytest's own is closed to others
        folder = Path(place)
        shutil.copytree(raw, folder / "raw")
        (folder / "raw" / "closed").mkdir()
        shutil.copy(raw / "Subject00_1.edf", folder / "raw" / "closed.edf")
        for closed in ("closed", "closed.edf"):
            (folder / "raw" / closed).chmod(0)
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 65534, 65534)
        environment = {**os.environ, "HOME": place}
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, place], capture_output=True, text=True, env=environment
        )
        (folder / "raw" / "closed").chmod(0o700)
        assert done.returncode == 0, done.stderr


ODD = ("two words", "Zoë Müller", "line\nbreak", "per%cent [x] *", "-rf", "$(id)", "ключ")


@pytest.mark.parametrize("name", [*map(os.fsencode, ODD), b"undecodable\xff\xfe"])
def test_odd_names_come_in_and_are_told(raw, store, name, capsys):
    folder = raw.parent / os.fsdecode(name)
    folder.mkdir()
    shutil.move(raw / "Subject00_1.edf", folder / os.fsdecode(name + b".edf"))
    (folder / os.fsdecode(b"empty" + name + b".edf")).write_bytes(b"")
    ingest([str(folder)], store=store)
    (row,) = summarise(open_store(store))["recordings"]
    assert os.fsencode(row["source"]) == os.path.join(os.fsencode(folder), name + b".edf")
    assert (store / "recordings" / row["id"]).is_dir()
    assert ingest([str(folder)], store=store).unchanged == (row["source"],)
    status(store)
    capsys.readouterr()
    status(store, json=True)
    assert json.loads(capsys.readouterr().out)["recordings"][0]["source"] == row["source"]
    verify(store)


def test_no_name_leaves_the_store(raw, store, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("pattern: '(?P<subject>.*)edf[.]edf$'\n")
    for folder in ("sub-..", "sub-..%2f..", "..."):
        (tmp_path / "odd" / folder).mkdir(parents=True)
        shutil.copy(raw / "Subject00_1.edf", tmp_path / "odd" / folder / "sub-.._ses-..edf.edf")
    before = set(tmp_path.rglob("*"))
    for how in (None, recipe):
        ingest([str(tmp_path / "odd")], store=store, recipe=how)
        for id in open_store(store).table["id"]:
            assert Path(id).name == id
            assert not id.startswith(".")
            assert (store / "recordings" / id).is_dir()
    assert all(subject.startswith("/") for subject in open_store(store).table.subject)
    assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(store)} == before
