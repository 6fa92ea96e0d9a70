"""The store: what is read is what was written, whole or not at all."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.files import read_recording
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import (
    KINDS,
    Annotations,
    Recording,
    Sensors,
    hold,
    join_annotations,
)
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.store import open_store
from brainfm.store.files import LocalFiles
from brainfm.store.fingerprint import fingerprint
from brainfm.store.hold import create_store, writing
from brainfm.store.schema import VERSION, recording_id
from brainfm.store.verify import verify_store
from brainfm.store.write import remove_recording, write_recording

RECIPE = Recipe()


def new_store(path):
    create_store(path, RECIPE.preprocessing, RECIPE.preprocessing_hash)
    return path


def fill(path, recordings):
    new_store(path)
    with writing(path):
        return [write_recording(path, recording, "0" * 64).id for recording in recordings]


places = arrays(float, 3, elements=st.floats(-0.2, 0.2)) | st.just(np.full(3, np.nan))


@st.composite
def recordings(draw):
    n = draw(st.integers(1, 5))
    shape = (n, draw(st.integers(1, 5000)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.standard_normal(shape).astype(np.float32) * 10.0 ** draw(st.integers(-13, 0))
    events = draw(st.integers(0, 3))
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    # As plain values: the type checker draws random numbers, which hypothesis forbids in here.
    return {
        "signal": values.astype(np.float32),
        "sensors": {
            "names": tuple(f"ch{i}" for i in range(n)),
            "kind": tuple(draw(st.sampled_from(KINDS)) for _ in range(n)),
            "position": np.stack([draw(places) for _ in range(n)]),
            "orientation": np.stack([draw(places) for _ in range(n)]),
            "position_source": tuple(
                draw(st.sampled_from(["file", "template", "none"])) for _ in range(n)
            ),
            "reference": tuple(draw(st.none() | text) for _ in range(n)),
            "bad": tuple(draw(st.booleans()) for _ in range(n)),
        },
        "sfreq": draw(st.sampled_from([50.0, 200.0, 256.5])),
        "annotations": {
            "onset": np.array([draw(st.floats(0, 1e5)) for _ in range(events)], dtype=float),
            "duration": np.array([draw(st.floats(0, 10)) for _ in range(events)], dtype=float),
            "description": tuple(draw(text) for _ in range(events)),
            "channels": tuple(tuple(draw(st.lists(text, max_size=2))) for _ in range(events)),
        },
        "subject": draw(text),
        "session": draw(st.none() | text),
        "run": draw(st.none() | text),
        "task": draw(st.none() | text),
        "source": draw(text),
        "provenance": {"recipe": "x", "recipe_hash": "y", "nested": {"a": [1, None]}},
    }


@given(values=recordings())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_is_what_was_written(tmp_path_factory, values):
    sensors, annotations = Sensors(**values["sensors"]), Annotations(**values["annotations"])
    signal = values.pop("signal")
    recording = Recording(
        **values
        | {
            "sensors": sensors,
            "annotations": annotations,
            "n_times": signal.shape[1],
            "blocks": hold(signal),
        }
    )
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    (id,) = fill(path, [recording])
    store = open_store(path)
    n_times = recording.n_times
    (row,) = store.table.to_dict("records")
    assert (row["id"], row["subject"], row["source"]) == (id, recording.subject, recording.source)
    assert [row[k] for k in ("session", "run", "task")] == [
        recording.session,
        recording.run,
        recording.task,
    ]
    assert (row["n_channels"], row["n_times"], row["sfreq"]) == (
        *signal.shape,
        recording.sfreq,
    )
    assert row["seconds"] == pytest.approx(n_times / recording.sfreq)
    read = store.read(id, 0, n_times)
    half_a_step = np.abs(signal).max(axis=1, keepdims=True) / 32767 / 2
    assert (np.abs(read - signal) <= half_a_step + np.abs(signal) * 2.0**-22).all()
    middle = n_times // 2
    assert np.array_equal(store.read(id, middle, n_times), read[:, middle:])
    for field in dataclasses.fields(Sensors):
        np.testing.assert_equal(
            getattr(store.sensors(id), field.name), getattr(recording.sensors, field.name)
        )
    for field in dataclasses.fields(Annotations):
        np.testing.assert_equal(
            getattr(store.annotations(id), field.name),
            getattr(join_annotations(annotations), field.name),
        )
    assert store.entry(id).provenance == recording.provenance
    assert [check.problem for check in verify_store(store)] == [None]


def test_a_store_is_plain_zarr_without_foreign_objects(tmp_path):
    (id,) = fill(tmp_path / "s.zarr", synthesise(1, seconds=25.0)[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(tmp_path / "s.zarr", mode="r")
        assert sorted(group) == ["quarantine", "recordings"]
        array = group[f"recordings/{id}/signal"]
    assert array.dtype == np.int16
    assert array.metadata.dimension_names == ("channel", "time")
    assert array.chunks == (19, 800)
    assert array.shards == (19, 5600)
    assert array.attrs.asdict() == {}


def test_opening_reads_one_file(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    fill(path, synthesise(2, seconds=2.0))
    opened = []
    read = LocalFiles.read

    def spy(self, key):
        opened.append(key)
        return read(self, key)

    monkeypatch.setattr(LocalFiles, "read", spy)
    assert len(open_store(path).table) == 4
    assert opened == ["zarr.json"]


def test_a_read_outside_is_refused_not_padded(tmp_path):
    (id,) = fill(tmp_path / "s.zarr", synthesise(1, seconds=2.0)[:1])
    store = open_store(tmp_path / "s.zarr")
    for start, stop in ((-1, 10), (0, 401), (300, 200)):
        with pytest.raises(UsageError, match="it has 400"):
            store.read(id, start, stop)
    for wrong in ("nobody", "../quarantine", "", "."):
        with pytest.raises(UsageError, match="has no recording"):
            store.read(wrong, 0, 1)


def test_a_store_goes_to_another_process(tmp_path):
    (id,) = fill(tmp_path / "s.zarr", synthesise(1, seconds=2.0)[:1])
    store = open_store(tmp_path / "s.zarr")
    first = store.read(id, 0, 10)
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.read(id, 0, 10), first)
    assert again.fingerprint == store.fingerprint


# Names


@given(
    subject=st.text(), session=st.none() | st.text(), source=st.binary(min_size=1).map(os.fsdecode)
)
def test_an_id_is_one_safe_folder(subject, session, source):
    id = recording_id(
        subject=subject,
        session=session,
        task=None,
        run="../..",
        source=source.replace("\0", ""),
        source_sha256="0",
    )
    assert Path(id).name == id
    assert id.startswith("sub-")
    assert id.isascii()
    assert len(id) < 255
    assert not set(id) & set('/\\:*?"<>| \n')


@given(lengths=st.lists(st.integers(1, 80), min_size=4, max_size=4))
def test_an_id_of_long_entities_is_a_name_that_file_systems_take(lengths):
    named = dict(zip(("subject", "session", "task", "run"), map("a".__mul__, lengths), strict=True))
    id = recording_id(**named, source="a.edf", source_sha256="0")
    assert len(id) <= 255
    kept = [part.partition("-")[2] for part in id.split("_")[:4]]
    if sum(min(n, 60) for n in lengths) <= 226:  # as it ever was
        assert [len(part) for part in kept] == [min(n, 60) for n in lengths]


def test_ids_differ_where_path_or_bytes_do():
    def name(source, sha):
        return recording_id(
            subject="1", session=None, task=None, run=None, source=source, source_sha256=sha
        )

    assert name("a.edf", "0") == name("./a.edf", "0")
    assert len({name("a.edf", "0"), name("b.edf", "0"), name("a.edf", "1")}) == 3


# Fingerprints


@given(
    factor=st.floats(1e-9, 1e9),
    seed=st.integers(0, 1000),
    order=st.permutations(range(4)),
)
@settings(max_examples=30)
def test_a_fingerprint_knows_no_unit_and_no_order(factor, seed, order):
    values = np.random.default_rng(seed).standard_normal((4, 3000)).astype(np.float32)
    moved = (values[list(order)] * factor).astype(np.float32)
    assert fingerprint(values) == fingerprint(moved)


def test_fingerprints_differ_between_recordings():
    rng = np.random.default_rng(0)
    found = {fingerprint(rng.standard_normal((4, 2000)).astype(np.float32)) for _ in range(500)}
    assert len(found) == 500
    for shape in ((1, 1), (2, 5), (1, 31)):
        assert fingerprint(np.ones(shape, np.float32))


def test_a_fingerprint_survives_a_change_of_format(tmp_path):
    recipe = Recipe(l_freq=None, h_freq=None, line_freq=None)
    same = 0
    for recording in synthesise(10, seconds=10.0):
        edf = read_recording(str(write_edf(recording, tmp_path)), recipe)
        info = mne.create_info(list(recording.sensors.names), 200.0, "eeg")
        fif = tmp_path / f"{recording.subject}_{recording.run}_raw.fif"
        mne.io.RawArray(recording.load(), info, verbose="ERROR").save(fif, verbose="ERROR")
        prints = {fingerprint(r.load()) for r in (recording, edf, read_recording(str(fif), recipe))}
        same += len(prints) == 1
    assert same >= 19


def test_the_same_recording_under_another_name_is_told(tmp_path):
    first, other = synthesise(1, seconds=5.0)
    again = dataclasses.replace(
        first, subject="99", source="elsewhere", blocks=hold(first.load() * np.float32(1e3))
    )
    ids = fill(tmp_path / "s.zarr", [again, first, other])
    table = open_store(tmp_path / "s.zarr").table.set_index("id")
    assert table.duplicate_of.to_dict() == {ids[0]: ids[1], ids[1]: None, ids[2]: None}


# Damage and kills


def test_a_flipped_byte_is_named(tmp_path):
    path = tmp_path / "s.zarr"
    ids = fill(path, synthesise(2, seconds=5.0))
    shard = max((path / "recordings" / ids[1]).rglob("c.*"), key=lambda f: f.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    (path / "recordings" / ids[2] / "signal" / "zarr.json").unlink()
    problems = {check.id: check.problem for check in verify_store(open_store(path))}
    assert {id for id, problem in problems.items() if problem} == {ids[1], ids[2]}


def test_a_lost_shard_is_not_read_as_zeros(tmp_path):
    path = tmp_path / "s.zarr"
    (id,) = fill(path, synthesise(1, seconds=5.0)[:1])
    next((path / "recordings" / id).rglob("c.*")).unlink()
    store = open_store(path)
    with pytest.raises(WorkError, match=f"recording {id} of the store is damaged"):
        store.read(id, 0, 1000)
    (check,) = verify_store(store)
    assert check.problem


KILLED = """
import os, signal, sys
from pathlib import Path
import brainfm.store.write as write
from brainfm.recordings.synthetic import synthesise
from brainfm.store.hold import writing
path = Path(sys.argv[1])
def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)
first, second = synthesise(1, seconds=5.0)
with writing(path):
    write.write_recording(path, first, "0")
    setattr(write, sys.argv[2], die)
    write.write_recording(path, second, "0")
"""


@pytest.mark.parametrize("where", ["_write_signal", "_entry", "as_json", "flush"])
def test_a_kill_while_writing_leaves_no_half_recording(tmp_path, where):
    path = new_store(tmp_path / "s.zarr")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), where], check=False)
    assert done.returncode == -signal.SIGKILL
    store = open_store(path)
    assert len(store) == 1
    assert all(check.problem is None for check in verify_store(store))
    with writing(path):
        pass
    assert len(open_store(path)) == len(store)
    assert not (path / ".partial").exists()


def test_a_second_ingest_into_one_store_is_refused(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    with writing(path), pytest.raises(WorkError, match="Another ingest"), writing(path):
        pass
    with writing(path):
        pass


def test_removed_recordings_are_gone(tmp_path):
    path = tmp_path / "s.zarr"
    ids = fill(path, synthesise(1, seconds=2.0))
    with writing(path):
        remove_recording(path, ids[0])
    assert list(open_store(path).table["id"]) == ids[1:]


# What is no store


def test_what_is_no_store_is_a_wrong_call(tmp_path):
    with pytest.raises(UsageError, match="There is no store"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="There is no store"):
        open_store(tmp_path)
    for text in ("not json", "[]", "{}", '{"attributes": {}}', '{"attributes": {"version": 2}}'):
        (tmp_path / "zarr.json").write_text(text)
        with pytest.raises(UsageError, match=r"is no (brainfm )?store"):
            open_store(tmp_path)


def test_a_store_of_a_newer_version_is_a_wrong_call(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"]["version"] = VERSION + 1
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(UsageError, match="install a newer brainfm"):
        open_store(path)
    with pytest.raises(UsageError, match="install a newer brainfm"):
        new_store(path)
    root["attributes"]["version"] = 1
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(UsageError, match="version 1, this brainfm reads 2 to 4; ingest"):
        open_store(path)


def test_nothing_is_written_over_what_is_no_store(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="There is no store"):
        new_store(tmp_path)
    with pytest.raises(UsageError, match="There is no store"):
        new_store(tmp_path / "holiday.jpg")
    assert [f.name for f in tmp_path.iterdir()] == ["holiday.jpg"]


def test_another_preprocessing_wants_another_store(tmp_path):
    path = new_store(tmp_path / "s.zarr")
    other = Recipe(h_freq=45.0)
    with pytest.raises(UsageError, match=r"made with l_freq 0.1, h_freq 75.0.*h_freq 45.0"):
        create_store(path, other.preprocessing, other.preprocessing_hash)
