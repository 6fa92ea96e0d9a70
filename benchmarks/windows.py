"""Random windows a second and bytes on the disk: brainfm's store beside what others read.

Real EEG of the sample in this repository is strung together to recordings of a quarter of an hour, or of
`--length` (19 channels, 200 Hz), which are written as a store, as flat arrays, and as the EDF and FIF
files that braindecode reads. Windows begin at any sample. Everything is warm from the file cache and read
by one process; each row is the best of several rounds, taken in turns, since machines are noisy.
brainfm's rows are of a process that has read enough to have compiled its decoder, except for the one that
says so. A row of `--many` recordings, which are links to the others, says what their number costs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from unittest import mock

import mne
import numpy as np
import tensorstore
import zarr

from brainfm.recordings.recording import Recording, Sensors, hold
from brainfm.recordings.synthetic import synthesise
from brainfm.stages.ingest import ingest
from brainfm.store import decoding_compiled, open_store
from brainfm.store.hold import create_store, writing
from brainfm.store.read import Store
from brainfm.store.write import write_recording
from brainfm.windows.reader import WindowReader
from brainfm.windows.sampler import Place, RandomWindows

ROOT = Path(__file__).parents[1]
SFREQ = 200.0


def make_signals(folder: Path, n: int, seconds: float) -> Iterator[tuple[Sensors, np.ndarray]]:
    """String real EEG together, each recording in another order."""
    path, sample, recipe = folder / "sample.zarr", ROOT / "sample" / "eegmat", "eegmat.yaml"
    with redirect_stdout(StringIO()):
        ingest([str(sample)], store=path, recipe=ROOT / "configs" / "datasets" / recipe)
    store = open_store(path)
    parts = [store.read(row.id, 0, row.n_times) for row in store.table.itertuples()]
    rng, n_times = np.random.default_rng(0), round(seconds * SFREQ)
    for _ in range(n):
        rounds = -(-n_times // sum(part.shape[1] for part in parts))
        order = [parts[i] for i in rng.permutation(np.tile(np.arange(len(parts)), rounds))]
        yield store.sensors(store.table.id[0]), np.concatenate(order, axis=1)[:, :n_times]


def write_all(folder: Path, n: int, seconds: float) -> dict[str, Path]:
    """Write the recordings in every form; return the forms' folders."""
    places = {name: folder / name for name in ("int16.zarr", "float32.zarr", "npy", "edf", "fif")}
    for path in places.values():
        if path.suffix == ".zarr":
            create_store(path, {}, "")
        else:
            path.mkdir()
    like = synthesise(1, seconds=1.0)[0]
    for i, (sensors, signal) in enumerate(make_signals(folder, n, seconds)):
        made = replace(like, sensors=sensors, n_times=signal.shape[1], source=f"{i:02}.edf")
        made = replace(made, subject=f"{i:02}", blocks=hold(signal), sfreq=SFREQ)
        for path in places.values():
            if path.suffix == ".zarr":
                with writing(path):
                    write_recording(path, made, "0" * 64, encoding=path.stem)
        write_peers(made, signal, places)
    return places


def write_peers(made: Recording, signal: np.ndarray, places: dict[str, Path]) -> None:
    store = open_store(places["int16.zarr"])
    id = store.table.id[store.table.subject == made.subject].item()
    np.save(places["npy"] / f"{id}.float32.npy", signal)
    np.save(places["npy"] / f"{id}.int16.npy", np.concatenate(list(counts(store, id)), axis=1))
    info = mne.create_info(list(made.sensors.names), SFREQ, "eeg")
    raw = mne.io.RawArray(signal.astype(float), info, verbose="ERROR")
    raw.save(places["fif"] / f"{made.subject}_raw.fif", verbose="ERROR")
    mne.export.export_raw(places["edf"] / f"{made.subject}.edf", raw, verbose="ERROR")


def counts(store: Store, id: str) -> Iterator[np.ndarray]:
    for shard in store.signals.signal(id).shards:
        yield store.signals.stored(id, shard)


@dataclass(frozen=True)
class Program:
    """One way to read batches of windows."""

    name: str
    read: Callable[[list[Place]], object]
    batches: list[list[Place]]

    def speed(self, limit: float) -> float:
        """Return windows a second, over as many batches as ``limit`` seconds allow."""
        self.read(self.batches[0])
        start, count = time.perf_counter(), 0
        for batch in self.batches:
            self.read(batch)
            count += len(batch)
            if time.perf_counter() - start > limit:
                break
        return count / (time.perf_counter() - start)


def ours(places: dict[str, Path], windows: RandomWindows, n: int) -> Iterator[Program]:
    batches = [windows.at(step) for step in range(n)]
    together = replace(windows, run=windows.batch_size // 4)
    near = [together.at(step) for step in range(n)]
    for encoding in ("int16", "float32"):
        store = open_store(places[f"{encoding}.zarr"])
        reader = WindowReader(store.path, ("eeg",))
        yield Program(
            f"brainfm {encoding}: Store.read",
            lambda b, s=store: [s.read(p.recording, p.start, p.stop) for p in b],
            batches,
        )
        yield Program(f"brainfm {encoding}: Batch", lambda b, r=reader: r.read(b, SFREQ), batches)
        yield Program(
            f"brainfm {encoding}: Batch, nothing compiled",
            lambda b, r=reader: uncompiled(r, b),
            batches,
        )
        yield Program(
            f"brainfm {encoding}: Batch, of few stretches",
            lambda b, r=reader: r.read(b, SFREQ),
            near,
        )


def many(path: Path, n: int, like: RandomWindows) -> Program:
    """Read a store of many recordings, each a link to one of the store's."""
    root, made = json.loads((path / "zarr.json").read_text()), path.with_name("many.zarr")
    table = root["attributes"]["table"]
    which = [i % len(table["id"]) for i in range(n)]
    names = [f"{i:06}_{table['id'][j]}" for i, j in enumerate(which)]
    for name, j in zip(names, which, strict=True):
        folder = path / "recordings" / table["id"][j]
        shutil.copytree(folder, made / "recordings" / name, copy_function=os.link)
    columns = {column: [values[j] for j in which] for column, values in table.items()}
    root["attributes"]["table"] = columns | {"id": names}
    (made / "zarr.json").write_text(json.dumps(root))
    windows, reader = replace(like, table=open_store(made).table), WindowReader(made, ("eeg",))
    reader.plans(names)
    batches = [windows.at(step) for step in range(1000)]
    name = f"brainfm int16: Batch, of {n:,} recordings"
    return Program(name, lambda b: reader.read(b, SFREQ), batches)


def uncompiled(reader: WindowReader, batch: list[Place]) -> object:
    with mock.patch.object(decoding_compiled, "WORTH_COMPILING", np.inf):
        return reader.read(batch, SFREQ)


def memmaps(places: dict[str, Path], batches: list[list[Place]]) -> Iterator[Program]:
    store = open_store(places["int16.zarr"])
    for dtype in ("int16", "float32"):
        maps = {
            id: np.load(places["npy"] / f"{id}.{dtype}.npy", mmap_mode="r") for id in store.table.id
        }

        def read(batch: list[Place], maps=maps, scaled=dtype == "int16") -> np.ndarray:
            out = np.empty((len(batch), 19, batch[0].stop - batch[0].start), np.float32)
            for row, p in zip(out, batch, strict=True):
                row[:] = maps[p.recording][:, p.start : p.stop]
                if scaled:
                    row *= store.signals.signal(p.recording).scale[0]
            return out

        yield Program(f"memmap {dtype}", read, batches)


def others(path: Path, batches: list[list[Place]]) -> Iterator[Program]:
    """Read the same store by zarr-python and by tensorstore, and scale what they give."""
    store = open_store(path)
    folders = {id: path / "recordings" / id / "signal" for id in store.table.id}
    scale = {id: store.signals.signal(id).scale[0] for id in folders}
    arrays = {id: zarr.open_array(folder, mode="r") for id, folder in folders.items()}
    yield Program(
        "zarr-python",
        lambda b: [arrays[p.recording][:, p.start : p.stop] * scale[p.recording] for p in b],
        batches,
    )
    spec = {"driver": "zarr3", "context": {"cache_pool": {"total_bytes_limit": 0}}}
    opened = {
        id: tensorstore.open({**spec, "kvstore": {"driver": "file", "path": str(f)}}).result()
        for id, f in folders.items()
    }
    yield Program(
        "tensorstore, one by one",
        lambda b: [
            opened[p.recording][:, p.start : p.stop].read().result() * scale[p.recording] for p in b
        ],
        batches,
    )

    def together(batch: list[Place]) -> list[np.ndarray]:
        futures = [opened[p.recording][:, p.start : p.stop].read() for p in batch]
        return [f.result() * scale[p.recording] for f, p in zip(futures, batch, strict=True)]

    yield Program("tensorstore, a batch at a time", together, batches)


def braindecode(
    python: str, places: dict[str, Path], given: argparse.Namespace
) -> dict[str, float]:
    """Return braindecode's windows a second, measured by its own interpreter."""
    script = Path(__file__).with_name("windows_braindecode.py")
    command = [python, str(script), str(places["fif"]), str(places["edf"]), str(given.seconds)]
    command += [str(given.batch_size), str(given.limit), str(given.rounds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def size(path: Path, pattern: str = "**/*") -> float:
    """Return MB."""
    return sum(f.stat().st_size for f in path.glob(pattern) if f.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a window")
    parser.add_argument("--batch-size", type=int, default=32, help="windows a batch")
    parser.add_argument("--recordings", type=int, default=12)
    parser.add_argument("--many", type=int, default=2000, help="recordings of the row of many")
    parser.add_argument("--length", type=float, default=1000.0, help="seconds a recording")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds a row and round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--braindecode", help="an interpreter that can import braindecode")
    given = parser.parse_args()
    decoding_compiled.WORTH_COMPILING = 0
    with tempfile.TemporaryDirectory() as name:
        places = write_all(Path(name), given.recordings, given.length)
        table = open_store(places["int16.zarr"]).table
        windows = RandomWindows(table, given.seconds, given.batch_size, seed=0)
        batches = [windows.at(step) for step in range(1000)]
        programs = [
            *ours(places, windows, 1000),
            many(places["int16.zarr"], given.many, windows),
            *memmaps(places, batches),
            *others(places["int16.zarr"], batches),
        ]
        best = dict.fromkeys(range(len(programs)), 0.0)
        peer: dict[str, float] = {}
        for turn in range(given.rounds):
            for i, program in enumerate(programs):
                best[i] = max(best[i], program.speed(given.limit))
            if turn == 0 and given.braindecode:
                peer = braindecode(given.braindecode, places, given)
        report([(programs[i].name, speed) for i, speed in best.items()] + list(peer.items()))
        sizes(places)


def report(rows: list[tuple[str, float]]) -> None:
    mine = dict(rows)["brainfm int16: Batch"]
    print(f"{'windows a second':44} {'windows/s':>10} {'Batch is':>10}")
    for name, speed in rows:
        print(f"{name:44} {speed:10,.0f} {mine / speed:8.2f} ×")


def sizes(places: dict[str, Path]) -> None:
    edf = size(places["edf"])
    print(f"{'on the disk':44} {'MB':>10} {'of EDF':>10}")
    for name, value in {
        "brainfm int16": size(places["int16.zarr"]),
        "brainfm float32": size(places["float32.zarr"]),
        "EDF": edf,
        "FIF": size(places["fif"]),
        "flat float32": size(places["npy"], "*.float32.npy"),
    }.items():
        print(f"{name:44} {value:10,.1f} {value / edf:10.2f}")


if __name__ == "__main__":
    main()
