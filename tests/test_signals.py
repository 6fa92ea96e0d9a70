"""Signals on the disk: what integers lose, what damage does, and reading them from elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import mmap
import os
import shutil
import struct
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import fsspec
import google_crc32c
import mne
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numcodecs import blosc

from brainfm.errors import UsageError, WorkError
from brainfm.recordings.files import read_recording
from brainfm.recordings.quarantine import Reason, Refused
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Findings, Recording, Sensors, join_annotations
from brainfm.stages.status import status, summarise
from brainfm.stages.verify import verify
from brainfm.store import open_store
from brainfm.store.decoding import Stretch, decode
from brainfm.store.decoding_compiled import decoder
from brainfm.store.encoding import Float32s, Int16, TooCoarse, robust_amplitude
from brainfm.store.files import LocalFiles, Span
from brainfm.store.fingerprint import Fingerprint, fingerprint
from brainfm.store.hold import create_store, writing
from brainfm.store.schema import Entry, hash_of_description
from brainfm.store.shards import Damaged
from brainfm.store.signals import Signals, Wanted
from brainfm.store.verify import verify_store
from brainfm.store.write import note_stat, write_recording

RECIPE = Recipe(l_freq=None, h_freq=None, line_freq=None)


def recording(signal: np.ndarray, *, block: int = 700, bads: tuple[str, ...] = ()) -> Recording:
    """Return a recording at 100 Hz that comes in blocks, and counts how often it is read."""
    n = len(signal)

    def blocks():
        for start in range(0, signal.shape[1], block):
            yield signal[:, start : start + block]
        return Findings(bads=bads)

    return Recording(
        n_times=signal.shape[1],
        sensors=Sensors(
            names=tuple(f"c{i}" for i in range(n)),
            kind=("eeg",) * n,
            position=np.full((n, 3), np.nan),
            orientation=np.full((n, 3), np.nan),
            position_source=("none",) * n,
        ),
        sfreq=100.0,
        annotations=join_annotations(),
        subject="1",
        session=None,
        run=None,
        task=None,
        source=f"{signal.shape}-{float(signal.sum())}.edf",
        provenance={},
        blocks=blocks,
    )


def noise(n_channels: int = 3, n_times: int = 5000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (1e-5 * rng.standard_normal((n_channels, n_times))).astype(np.float32)


def fill(path: Path, *recordings: Recording, encoding: str = "int16") -> list[Entry]:
    create_store(path, RECIPE.preprocessing, RECIPE.preprocessing_hash)
    with writing(path):
        return [write_recording(path, r, "0" * 64, encoding=encoding) for r in recordings]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let three channels at 100 Hz have shards of three chunks of four seconds."""
    monkeypatch.setattr("brainfm.store.stream.SHARD_BYTES", 3 * 3 * 4 * 400)


# ------------------------------------------------------------------ encoding


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 50)),
        elements=st.floats(-1.0, 1.0, width=32),
    ),
    st.integers(-36, 30),
)
def test_an_integer_is_within_half_a_step(values: np.ndarray, exponent: int) -> None:
    signal = values * np.float32(10.0**exponent)
    try:
        encoded = Int16().encode(signal)
    except TooCoarse:
        step = np.maximum(np.abs(signal).max(axis=1) / 32767, np.finfo(np.float32).tiny)
        assert (64 * step > 0.999 * robust_amplitude(signal)).any()
        return
    assert encoded.values.dtype == np.int16
    assert encoded.values.min() >= -32767  # the fill value never occurs
    scale = encoded.scale[:, None]
    error = np.abs(signal.astype(float) - (encoded.values * scale).astype(float))
    assert (error <= scale.astype(float) / 2 + np.abs(signal) * 2.0**-22).all()
    tiny = np.finfo(np.float32).tiny
    assert (
        scale <= np.maximum(np.abs(signal).max(axis=1, keepdims=True) / 32767, tiny) * 1.0001
    ).all()


@pytest.mark.parametrize("freq", [10, 20])
@pytest.mark.parametrize("seconds", [105, 300, 1200])
def test_a_steady_rhythm_is_kept_as_integers(freq: int, seconds: int) -> None:
    """Every so many periods it would be met at one phase, and look flat."""
    times = np.arange(200 * seconds) / 200
    signal = 5e-5 * np.sin(2 * np.pi * freq * times) + noise(1, len(times)) / 100
    assert Int16().encode(signal.astype(np.float32)).values.dtype == np.int16


def test_a_spike_far_above_the_signal_makes_it_floats(tmp_path: Path) -> None:
    quiet, loud = noise(), noise(seed=1)
    loud[1, 77] = 1.0  # a hundred thousand times the rest
    entries = fill(tmp_path / "s.zarr", recording(quiet), recording(loud))
    assert [e.dtype for e in entries] == ["int16", "float32"]
    store = open_store(tmp_path / "s.zarr")
    assert set(store.table["dtype"]) == {"int16", "float32"}
    np.testing.assert_array_equal(store.read(entries[1].id, 0, 5000), loud)
    assert [check.problem for check in verify_store(store)] == [None, None]
    # The fallback leaves nothing of the first pass.
    assert not list((tmp_path / "s.zarr").rglob(f"{entries[1].id}/scale"))


def test_a_constant_channel_stays_exact(tmp_path: Path) -> None:
    signal = noise()
    signal[0], signal[1] = 0.0, 3e-5
    signal[2, 10:] = 0  # mostly silent, with no amplitude to compare with
    (entry,) = fill(tmp_path / "s.zarr", recording(signal))
    assert entry.dtype == "int16"
    read = open_store(tmp_path / "s.zarr").read(entry.id, 0, 5000)
    assert not read[0].any()
    np.testing.assert_allclose(read[1], 3e-5, rtol=1e-6)


def test_floats_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    (entry,) = fill(tmp_path / "s.zarr", recording(noise()), encoding="float32")
    assert entry.dtype == "float32"
    assert Float32s().encode(noise()).scale is None
    read = open_store(tmp_path / "s.zarr").read(entry.id, 123, 4567)
    np.testing.assert_array_equal(read, noise()[:, 123:4567])


# ------------------------------------------------------------------ writing a stream


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("encoding", ["int16", "float32"])
def test_blocks_of_any_length_make_the_same_store(tmp_path: Path, encoding: str) -> None:
    stores = []
    for block in (1, 399, 1200, 5000):
        path = tmp_path / f"{block}.zarr"
        n_times = 20 if block == 1 else 5000
        (entry,) = fill(path, recording(noise(n_times=n_times), block=block), encoding=encoding)
        if n_times == 5000:
            stores.append(
                (entry.checksum, entry.fingerprint, open_store(path).read(entry.id, 0, 5000))
            )
    for checksum, found, values in stores[1:]:
        assert (checksum, found) == stores[0][:2]
        np.testing.assert_array_equal(values, stores[0][2])


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("encoding", ["int16", "float32"])
def test_zarr_and_tensorstore_read_the_same(tmp_path: Path, encoding: str) -> None:
    (entry,) = fill(tmp_path / "s.zarr", recording(noise()), encoding=encoding)
    ours = open_store(tmp_path / "s.zarr").read(entry.id, 0, 5000)
    folder = tmp_path / "s.zarr" / "recordings" / entry.id
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder / "signal")}}
    others = [
        np.asarray(zarr.open_group(tmp_path / "s.zarr")[f"recordings/{entry.id}/signal"][:]),
        tensorstore.open(spec, read=True, open=True).result()[...].read().result(),
    ]
    if encoding == "int16":
        scale = np.asarray(zarr.open_array(folder / "scale")[:])
        assert scale.shape == (5, 3)
        of = np.arange(5000) // 1200
        others = [other * scale[of].T for other in others]
    for other in others:
        np.testing.assert_array_equal(other, ours)


def as_of_version_2(metadata: bytearray) -> bytes:
    """Return the metadata of an array as they were before the layout changed."""
    before = metadata.replace(b'"separator": "."', b'"separator": "/"')
    return bytes(before.replace(b'"shuffle": "shuffle"', b'"shuffle": "bitshuffle"'))


def as_of_version_3(signals: Signals):
    """Return a change of a recording's attributes to the checksum that it had up to version 3."""

    def change(attributes: dict) -> None:
        signal, whole = signals.signal(attributes["id"]), hashlib.sha256()
        for shard in signal.shards:
            whole.update(signal.scale[shard].tobytes())
            whole.update(signals.stored(attributes["id"], shard).tobytes())
        attributes["checksum"] = whole.hexdigest()
        attributes["described"] = hash_of_description(attributes)

    return change


@pytest.mark.usefixtures("small_shards")
def test_a_store_of_version_2_is_read_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    (entry,) = fill(path, recording(noise()))
    wanted = open_store(path).read(entry.id, 0, 5000)
    folder = path / "recordings" / entry.id
    counts = zarr.open_array(folder / "signal", mode="r")[:]
    for name in ("signal", "scale"):
        edit(folder / name / "zarr.json", as_of_version_2)
        (folder / name / "c" / "0").mkdir(parents=True)
    (folder / "scale" / "c.0.0").rename(folder / "scale" / "c" / "0" / "0")
    for shard in (folder / "signal").glob("c.*"):
        shard.unlink()
    zarr.open_array(folder / "signal", mode="r+")[:] = counts
    described(as_of_version_3(open_store(path).signals))(folder)
    edit(path / "zarr.json", lambda d: d.replace(b'"version": 4', b'"version": 2'))
    old = open_store(path)
    assert old.attributes["version"] == 2
    np.testing.assert_array_equal(old.read(entry.id, 0, 5000), wanted)
    fill(path, recording(noise(seed=1)))
    assert open_store(path).attributes["version"] == 4
    assert [check.problem for check in verify_store(open_store(path))] == [None, None]


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("old", [False, True])
def test_shards_that_changed_places_are_damage(tmp_path: Path, old: bool) -> None:
    """Each chunk has its crc32c and each index its own: only the checksum of all can tell."""
    (entry,) = fill(tmp_path / "s.zarr", recording(noise()))
    folder, store = tmp_path / "s.zarr" / "recordings" / entry.id, open_store(tmp_path / "s.zarr")
    if old:
        described(as_of_version_3(store.signals))(folder)
    assert store.entry(entry.id).checksum.startswith("crc32c:") != old
    assert [check.problem for check in verify_store(store)] == [None]
    first, second, other = (folder / "signal" / name for name in ("c.0.0", "c.0.1", "other"))
    first.rename(other), second.rename(first), other.rename(second)
    (check,) = verify_store(open_store(tmp_path / "s.zarr"))
    assert check.problem == "does not have its checksum"


# ------------------------------------------------------------------ decoding


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Stretch, int]:
    """Return a few compressed chunks, some rows of them, and how many samples are wanted."""
    n_channels, chunk, n_chunks = draw(st.tuples(*[st.integers(1, n) for n in (5, 60, 4)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["<i2", "<f4"]))
    parts = [
        (3000 * rng.standard_normal((n_channels, chunk))).astype(dtype) for _ in range(n_chunks)
    ]
    shuffle = draw(st.sampled_from([blosc.SHUFFLE, blosc.BITSHUFFLE]))
    chunks = [blosc.compress(part, b"lz4", 3, shuffle) + b"-crc" for part in parts]
    ends = np.cumsum([len(data) for data in chunks])
    rows = draw(
        st.lists(st.integers(0, n_channels - 1), min_size=1)
        | st.builds(slice, st.integers(0, n_channels - 1), st.just(n_channels))
    )
    n_rows = len(np.arange(n_channels)[rows])
    scale = rng.random((n_rows, 1)).astype(np.float32) if dtype == "<i2" else None
    first = draw(st.integers(0, chunk - 1))
    spans = np.stack([np.r_[0, ends[:-1]], ends], axis=1) + draw(st.integers(0, 99))
    block = np.empty((n_channels, chunk), dtype)
    # The window ends somewhere in the last chunk.
    last = (n_chunks - 1) * chunk - first
    length = draw(st.integers(max(1, last + 1), last + chunk))
    return Stretch(b"".join(chunks), spans, block, first, rows, scale), length


@given(given=stretches())
@settings(max_examples=60)
def test_the_compiled_way_gives_the_same_bits(given: tuple[Stretch, int]) -> None:
    pytest.importorskip("numba")
    from brainfm.store.decoding_compiled import compiled

    stretch, length = given
    outs = np.full(
        (2, len(np.arange(len(stretch.block))[stretch.rows]), length), np.nan, np.float32
    )
    fast = compiled()
    assert fast is not None
    for way, out in zip((decode, fast), outs, strict=True):
        way(stretch, out)
    np.testing.assert_array_equal(outs[0], outs[1])
    data = stretch.data
    longer, more = bytearray(data), bytearray(data)
    longer[6] ^= 0x10  # says that it holds a million more bytes
    more[14] ^= 0x10  # says that it is as much longer itself
    for broken in (bytes(longer), bytes(more), data[:-1], data[:3]):
        for way, out in zip((decode, fast), outs, strict=True):
            with pytest.raises(Damaged, match="cannot be decompressed"):
                way(stretch._replace(data=broken), out)


def test_a_process_that_reads_much_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    assert decoder(1) is decode
    assert decoder(10**9) is not decode
    (entry,) = fill(tmp_path / "s.zarr", recording(noise()))
    plain = open_store(tmp_path / "s.zarr").read(entry.id, 7, 4999)
    monkeypatch.setattr("brainfm.store.decoding_compiled.WORTH_COMPILING", 0)
    np.testing.assert_array_equal(open_store(tmp_path / "s.zarr").read(entry.id, 7, 4999), plain)


def test_without_numba_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from brainfm.store import decoding_compiled

    decoding_compiled.compiled.cache_clear()
    monkeypatch.setattr(decoding_compiled, "find_spec", lambda name: None)
    assert decoder(10**9) is decode
    decoding_compiled.compiled.cache_clear()


@pytest.mark.usefixtures("small_shards")
@given(start=st.integers(0, 5000), stop=st.integers(0, 5000))
@settings(max_examples=50)
def test_a_window_is_a_slice(
    tmp_path_factory: pytest.TempPathFactory, start: int, stop: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "slices.zarr"
    if not path.exists():
        fill(path, recording(noise()))
    store = open_store(path)
    id = store.table["id"][0]
    if start > stop:
        with pytest.raises(UsageError, match="it has 5000"):
            store.read(id, start, stop)
        return
    np.testing.assert_array_equal(
        store.read(id, start, stop), store.read(id, 0, 5000)[:, start:stop]
    )


def test_a_stream_that_breaks_its_word_leaves_nothing(tmp_path: Path) -> None:
    path, whole = tmp_path / "s.zarr", recording(noise())
    broken = noise()
    broken[1, 4000] = np.nan
    for made, reason in (
        (dataclasses.replace(whole, n_times=4999), Reason.damaged),
        (dataclasses.replace(whole, n_times=5001), Reason.damaged),
        (recording(broken), Reason.not_finite),
    ):
        with pytest.raises(Refused) as caught:
            fill(path, made)
        assert caught.value.reason == reason
        assert not list((path / "recordings").glob("*/"))
        assert not [f for f in (path / ".partial").rglob("*") if f.is_file()]


def test_found_bad_channels_are_marked(tmp_path: Path) -> None:
    (entry,) = fill(tmp_path / "s.zarr", recording(noise(), bads=("c1",)))
    assert open_store(tmp_path / "s.zarr").sensors(entry.id).bad == (False, True, False)


def test_memory_does_not_grow_with_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brainfm.store.stream.SHARD_BYTES", 1_000_000)
    peaks = []
    for n_shards in (4, 16):
        part = noise(5, 50_000)

        def blocks(part=part, n=n_shards):
            for _ in range(n):
                yield part
            return Findings()

        made = dataclasses.replace(recording(part), n_times=n_shards * 50_000, blocks=blocks)
        tracemalloc.start()
        fill(tmp_path / f"{n_shards}.zarr", made)
        peaks.append(tracemalloc.get_traced_memory()[1])
        store = open_store(tmp_path / f"{n_shards}.zarr")
        assert next(verify_store(store)).problem is None
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 8_000_000


# ------------------------------------------------------------------ damage


def damaged(path: Path, change) -> tuple[list[str], list[str]]:
    """Make a store of two recordings, change the first's files; return ids, ids said to be damaged."""
    entries = fill(path, recording(noise()), recording(noise(seed=1)))
    change(path / "recordings" / entries[0].id)
    problems = {c.id: c.problem for c in verify_store(open_store(path))}
    return [e.id for e in entries], [id for id, problem in problems.items() if problem]


def edit(file: Path, change) -> None:
    data = bytearray(file.read_bytes())
    changed = change(data)
    file.write_bytes(data if changed is None else changed)


def lose_chunk(data: bytearray) -> None:
    """Mark the second chunk of a shard of three as missing, with a checksum that agrees."""
    data[-52 + 16 : -52 + 32] = b"\xff" * 16
    data[-4:] = struct.pack("<I", google_crc32c.value(bytes(data[-52:-4])))


def flip(at: int):
    def change(data: bytearray) -> None:
        data[at] ^= 0x10

    return change


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    "change",
    [
        lambda r: (r / "signal" / "c.0.0").unlink(),
        lambda r: edit(r / "signal" / "c.0.0", lambda d: d[:-1]),
        lambda r: edit(r / "signal" / "c.0.0", lambda d: d[:30]),
        lambda r: edit(r / "signal" / "c.0.0", lambda d: b""),
        lambda r: edit(r / "signal" / "c.0.0", flip(-10)),
        lambda r: edit(r / "signal" / "c.0.0", flip(200)),
        lambda r: edit(r / "signal" / "c.0.0", flip(4)),
        lambda r: edit(r / "signal" / "c.0.0", lose_chunk),
        lambda r: edit(r / "scale" / "c.0.0", flip(3)),
        lambda r: (r / "scale" / "c.0.0").unlink(),
        lambda r: (r / "signal" / "zarr.json").unlink(),
        lambda r: (r / "signal" / "zarr.json").write_text("{}"),
        lambda r: edit(r / "signal" / "zarr.json", lambda d: d.replace(b"lz4", b"zst")),
    ],
)
def test_damage_is_an_error_that_names_the_recording(tmp_path: Path, change) -> None:
    ids, found = damaged(tmp_path / "s.zarr", change)
    assert found == [ids[0]]
    store = open_store(tmp_path / "s.zarr")
    with pytest.raises(WorkError, match=f"{ids[0]} of the store is damaged.*brainfm verify"):
        store.read(ids[0], 0, 1000)
    assert np.isfinite(store.read(ids[1], 0, 5000)).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: (r / "scale" / "zarr.json").unlink(),
        lambda r: (r / "scale" / "zarr.json").write_text("junk"),
        lambda r: edit(r / "scale" / "zarr.json", lambda d: d.replace(b"float32", b"float64")),
    ],
)
def test_a_scale_that_zarr_cannot_read_is_damage(tmp_path: Path, change) -> None:
    ids, found = damaged(tmp_path / "s.zarr", change)
    assert found == [ids[0]]


def described(change):
    """Return a change of the attributes in a recording's ``zarr.json``."""

    def write(folder: Path) -> None:
        group = json.loads((folder / "zarr.json").read_text())
        change(group["attributes"])
        (folder / "zarr.json").write_text(json.dumps(group))

    return write


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["sensors"]["names"].reverse(),
        lambda a: a["sensors"]["bad"].__setitem__(0, True),
        lambda a: a["annotations"].update(
            onset=[1.0], duration=[1.0], description=["seizure"], channels=[[]]
        ),
        lambda a: a.update(subject="2"),
        lambda a: a.update(sfreq=200.0),
        lambda a: a.update(fingerprint="0" * 16),
        lambda a: a.pop("task"),
        lambda a: a["provenance"].update(more=1),
    ],
)
def test_a_changed_description_is_damage(tmp_path: Path, change) -> None:
    ids, found = damaged(tmp_path / "s.zarr", described(change))
    assert found == [ids[0]]


def test_new_times_of_the_source_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"

    def renew(folder: Path) -> None:
        with writing(path):
            note_stat(path, folder.name, "other")

    _, found = damaged(path, renew)
    assert found == []


def as_of_before(attributes: dict) -> None:
    """Leave what a brainfm wrote that knew no checksum of the description."""
    attributes["sensors"]["names"].reverse()
    del attributes["described"]


def test_a_description_without_a_checksum_is_held_against_the_table(tmp_path: Path) -> None:
    _, found = damaged(tmp_path / "a.zarr", described(as_of_before))
    assert found == []

    def other_subject(attributes: dict) -> None:
        as_of_before(attributes)
        attributes["subject"] = "2"

    ids, found = damaged(tmp_path / "b.zarr", described(other_subject))
    assert found == [ids[0]]


def test_a_changed_row_of_the_table_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    edited = described(lambda a: a["table"]["sfreq"].__setitem__(0, 50.0))
    _, found = damaged(path, lambda r: edited(path))
    assert found == open_store(path).table["id"][:1].tolist()


# ------------------------------------------------------------------ many recordings


@pytest.mark.usefixtures("small_shards")
def test_files_beyond_those_that_stay_mapped_are_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, maps = tmp_path / "s.zarr", []
    ids = [e.id for e in fill(path, *(recording(noise(seed=seed)) for seed in range(3)))]
    wanted = [open_store(path).read(id, 77, 4321) for id in ids]
    real = mmap.mmap
    monkeypatch.setattr(mmap, "mmap", lambda *a, **k: maps.append(a) or real(*a, **k))
    monkeypatch.setattr("brainfm.store.files.OPEN_FILES", 2)
    store = open_store(path)
    for _ in range(5):
        for id, signal in zip(ids, wanted, strict=True):
            np.testing.assert_array_equal(store.read(id, 77, 4321), signal)
    assert len(maps) == 2
    monkeypatch.setattr("brainfm.store.files.OPEN_FILES", 0)
    for end in (-1, 30, 0):
        edit(path / "recordings" / ids[0] / "signal" / "c.0.0", lambda d, end=end: d[:end])
        with pytest.raises(WorkError, match=f"{ids[0]} of the store is damaged"):
            open_store(path).read(ids[0], 0, 1000)


class OneForAll(LocalFiles):
    """Files of a store of one recording, which it gives for every other; counts indices."""

    n_indices = 0

    @cached_property
    def only(self) -> str:
        """Name of the recording."""
        return next(iter(set(self.names("recordings")) - {"zarr.json"}))

    def _real(self, key: str) -> str:
        parts = key.split("/")
        return "/".join((parts[0], self.only, *parts[2:]))

    def read(self, key: str) -> bytes:
        return super().read(self._real(key))

    def fetch(self, spans: Sequence[Span]) -> list[bytes | memoryview]:
        self.n_indices += sum(span.start < 0 for span in spans)
        return super().fetch([span._replace(key=self._real(span.key)) for span in spans])


def test_the_indices_of_thousands_of_recordings_are_read_once(tmp_path: Path) -> None:
    fill(tmp_path / "s.zarr", recording(noise(1, 400)))
    files = OneForAll(tmp_path / "s.zarr")
    signals, out = Signals(files), np.empty((1, 9), np.float32)
    for _ in range(2):
        for id in range(5000):
            signals.read([Wanted(str(id), 0, 9, slice(None), out)])
    assert files.n_indices == 5000


# ------------------------------------------------------------------ elsewhere


class Ranges(SimpleHTTPRequestHandler):
    """Python's file server, taught to answer requests for some of a file's bytes."""

    ranged = True
    asked: list[str]

    def do_GET(self) -> None:
        said = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if not (self.ranged and said and path.is_file()):
            return super().do_GET()
        data = path.read_bytes()
        first, last = said.removeprefix("bytes=").split("-")
        start = int(first) if first else len(data) - int(last)
        stop = int(last) + 1 if first and last else len(data)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data[start:stop])))
        self.end_headers()
        self.wfile.write(data[start:stop])
        return None

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class NoRanges(Ranges):
    """Python's file server as it is: it sends whole files."""

    ranged = False


@contextmanager
def serving(handler: type[Ranges], folder: Path) -> Iterator[str]:
    """Serve the store in a folder; yield its URL."""
    made = partial(handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), made) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/s.zarr"
        running.shutdown()


@pytest.fixture(params=[Ranges, NoRanges])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, bool]]:
    with serving(request.param, tmp_path) as url:
        yield url, request.param.ranged


@pytest.mark.usefixtures("small_shards")
def test_a_store_is_read_over_http(tmp_path: Path, server: tuple[str, bool]) -> None:
    from brainfm.windows.reader import WindowReader
    from brainfm.windows.sampler import RandomWindows

    url, ranged = server
    entries = fill(tmp_path / "s.zarr", recording(noise()), recording(noise(seed=1)))
    local, far = open_store(tmp_path / "s.zarr"), open_store(url)
    assert far.table.equals(local.table)
    if not ranged:
        with pytest.raises(WorkError, match="range requests"):
            far.read(entries[0].id, 0, 100)
        with pytest.raises(WorkError, match="range requests"):  # no word of damage
            list(verify_store(far))
        return
    np.testing.assert_array_equal(
        far.read(entries[0].id, 9, 4321), local.read(entries[0].id, 9, 4321)
    )
    places = RandomWindows(local.table, 5.0, 8, 0).at(0)
    batches = [
        WindowReader(place, ("eeg",)).read(places, 100.0) for place in (url, tmp_path / "s.zarr")
    ]
    np.testing.assert_array_equal(batches[0].signal, batches[1].signal)
    assert [check.problem for check in verify_store(far)] == [None, None]
    with pytest.raises(UsageError, match="There is no store"):
        open_store(url + "x")


def unlisted(code: int) -> type[Ranges]:
    """Return a server that answers so where a folder is wanted, and notes which; 200 is a page."""

    class Unlisting(Ranges):
        folders: ClassVar[list[str]] = []

        def list_directory(self, path: str) -> BytesIO | None:  # ty: ignore[invalid-method-override]
            self.folders.append(path)
            if code != 200:
                self.send_error(code)
                return None
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            return BytesIO(b"<a href='/about'>Nothing to see</a>")

    return Unlisting


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("code", [200, 403, 404, 405])
def test_a_server_may_list_no_folders(
    tmp_path: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from brainfm.evaluation.report.ingested import _quarantined
    from brainfm.windows.reader import WindowReader
    from brainfm.windows.sampler import RandomWindows

    path, handler = tmp_path / "s.zarr", unlisted(code)
    entries = fill(path, recording(noise()), recording(noise(seed=1)))
    local, places = open_store(path), RandomWindows(open_store(path).table, 5.0, 8, 0).at(0)
    with serving(handler, tmp_path) as url:
        batches = [WindowReader(place, ("eeg",)).read(places, 100.0) for place in (url, path)]
        np.testing.assert_array_equal(batches[0].signal, batches[1].signal)
        far = open_store(url)
        assert far.sensors(entries[0].id).names == local.sensors(entries[0].id).names
        assert handler.folders == []  # nothing that is there needs one
        for wrong in ("nobody", "", ".", "../recordings"):
            with pytest.raises(UsageError, match="has no recording"):
                far.read(wrong, 0, 1)
            with pytest.raises(UsageError, match="has no recording"):
                far.sensors(wrong)
        for unknown in (lambda: far.n_bytes, lambda: far.quarantined):
            with pytest.raises(WorkError, match="lists no folders"):
                unknown()
        assert _quarantined(far) == (("–", "unknown", "the store's server lists no folders"),)
        verify(Path(url))
        assert "quarantine was not looked at" in capsys.readouterr().out
        status(Path(url))
        assert capsys.readouterr().out.count("unknown") == 2
        said = summarise(far)
        assert said["quarantined"] is said["lost"] is None
        (path / "recordings" / entries[0].id / "signal" / "c.0.0").unlink()
        shutil.rmtree(path / "recordings" / entries[1].id)
        assert None not in [check.problem for check in verify_store(open_store(url))]
        with pytest.raises(WorkError, match=f"{entries[0].id} of the store is damaged"):
            far.read(entries[0].id, 0, 5000)


@pytest.mark.usefixtures("small_shards")
def test_a_server_that_fails_says_nothing_of_the_store(tmp_path: Path) -> None:
    class Failing(Ranges):
        def do_GET(self) -> None:
            if "signal" not in self.path:
                return super().do_GET()
            return self.send_error(503)

    class Forbidding(Ranges):
        def do_GET(self) -> None:
            self.send_error(403)

    (entry,) = fill(tmp_path / "s.zarr", recording(noise()))
    with serving(Failing, tmp_path) as url:
        far = open_store(url)
        for reading in (lambda: far.read(entry.id, 0, 9), lambda: list(verify_store(far))):
            with pytest.raises(WorkError, match=r"cannot be reached.*503"):
                reading()
    with pytest.raises(WorkError, match=r"cannot be reached.*Connect"):
        open_store(url)
    with (
        serving(Forbidding, tmp_path) as url,
        pytest.raises(UsageError, match=r"no store at.*403"),
    ):
        open_store(url)


@pytest.mark.usefixtures("small_shards")
def test_a_store_is_read_from_an_object_store(tmp_path: Path) -> None:
    (entry,) = fill(tmp_path / "s.zarr", recording(noise()))
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "s.zarr"), "/far/s.zarr", recursive=True)
    local = open_store(tmp_path / "s.zarr")
    for name in ("memory://far/s.zarr", Path("memory://far/s.zarr")):  # a Path loses a slash
        far = open_store(name)
        assert far.table.equals(local.table)
        np.testing.assert_array_equal(far.read(entry.id, 1, 4999), local.read(entry.id, 1, 4999))
        assert far.quarantined.empty
        assert far.n_bytes == local.n_bytes
    memory.rm(f"/far/s.zarr/recordings/{entry.id}/signal/c.0.0")
    with pytest.raises(WorkError, match=f"{entry.id} of the store is damaged"):
        open_store(name).read(entry.id, 0, 10)
    with pytest.raises(UsageError, match="has no recording"):
        far.read("nobody", 0, 10)


def test_an_unknown_kind_of_url_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"brainfm\[remote\]"):
        open_store("nowhere://s.zarr")


# ------------------------------------------------------------------ fingerprints


@given(cut=st.integers(1, 9999), extra=st.integers(0, 60))
@settings(max_examples=30)
def test_a_fingerprint_knows_no_blocks_and_no_last_record(cut: int, extra: int) -> None:
    signal = noise(n_times=10_000)
    whole = Fingerprint(3, 10_000)
    whole.take(signal[:, :cut])
    whole.take(signal[:, cut:])
    assert whole.digest("") == fingerprint(signal)
    padded = np.concatenate([signal, np.zeros((3, extra), np.float32)], axis=1)
    assert fingerprint(padded) == fingerprint(signal)
    assert fingerprint(signal[:, 2500:]) != fingerprint(signal)


def test_fingerprints_of_earlier_stores_are_those_of_today() -> None:
    assert fingerprint(noise()) == "b1011bd2a7749d6d"


def test_steady_signals_are_told_apart_by_their_samples(tmp_path: Path) -> None:
    """Sines of three phases have no course of energy, whatever their frequency and length."""
    phases = np.pi / 3 * np.arange(3)[:, None]
    sines = [
        (3e-5 * np.sin(2 * np.pi * hz * np.arange(n) / 100 + phases)).astype(np.float32)
        for hz in (5, 10, 20)
        for n in (6400, 12_800)
    ]
    found = [fill(tmp_path / f"{i}.zarr", recording(x))[0].fingerprint for i, x in enumerate(sines)]
    assert len(set(found)) == len(sines)
    (again,) = fill(tmp_path / "again.zarr", recording(sines[0], block=999))
    assert again.fingerprint == found[0]
    assert len({fingerprint(x) for x in sines}) == len(sines)


@pytest.mark.data
def test_a_real_recording_is_known_in_every_format(tmp_path: Path) -> None:
    """EEGMAT's EDF files, saved again as FIF, EDF and BDF, ingested with the default recipe."""
    root, same = Path(os.environ["BRAINFM_DATA"]), 0
    files = sorted(root.rglob("Subject0*_2.edf"))[:4]
    for file in files:
        raw = mne.io.read_raw_edf(file, preload=True, verbose="ERROR")
        raw.crop(0, 40, include_tmax=False)
        # An EDF file's labels say so; FIF has to be told.
        raw.set_channel_types({"ECG ECG": "ecg", "EEG A2-A1": "misc"}, on_unit_change="ignore")
        copies = [tmp_path / f"{file.stem}_{end}" for end in ("raw.fif", "a.edf", "b.bdf")]
        raw.save(copies[0], verbose="ERROR")
        for copy in copies[1:]:
            mne.export.export_raw(copy, raw, physical_range="channelwise", verbose="ERROR")
        prints = {fingerprint(read_recording(str(copy), Recipe()).load()) for copy in copies}
        same += len(prints) == 1
    assert len(files) == 4
    assert same == 4


@pytest.mark.data
def test_a_store_takes_no_more_room_than_the_edf_file(tmp_path: Path) -> None:
    """At the file's own sampling rate; a higher one has more samples to keep."""
    root = Path(os.environ["BRAINFM_DATA"])
    names = ["eegmat_arithmetic/**/Subject00_1.edf", "formats/nihon/MB0400FU.EDF"]
    names += [f"eegmmidb/**/{name}.edf" for name in ("S001R01", "S002R04", "S088R04")]
    for file in [next(iter(sorted(root.glob(name)))) for name in names]:
        sfreq = mne.io.read_raw_edf(file, encoding="latin1", verbose="ERROR").info["sfreq"]
        path = tmp_path / f"{file.stem}.zarr"
        fill(path, read_recording(str(file), dataclasses.replace(RECIPE, sfreq=sfreq)))
        assert open_store(path).n_bytes <= file.stat().st_size


@pytest.mark.data
def test_real_recordings_stay_within_half_a_step(tmp_path: Path) -> None:
    root = Path(os.environ["BRAINFM_DATA"])
    names = ["eegmat_arithmetic/**/Subject00_2.edf", "formats/fif/triux_bmlhus_erm_raw_sss.fif"]
    files = [next(iter(sorted(root.glob(name)))) for name in names]
    create_store(tmp_path / "s.zarr", RECIPE.preprocessing, RECIPE.preprocessing_hash)
    for file in files:
        made = read_recording(str(file), RECIPE)
        with writing(tmp_path / "s.zarr"):
            entry = write_recording(tmp_path / "s.zarr", made, "0" * 64)
        signal = made.load()
        read = open_store(tmp_path / "s.zarr").read(entry.id, 0, entry.n_times)
        step = np.abs(signal).max(axis=1, keepdims=True) / 32767
        assert (np.abs(read - signal) <= step / 2 + np.abs(signal) * 2.0**-22).all()
        if entry.dtype == "int16":
            assert (step <= robust_amplitude(signal)[:, None] / 64).all()
