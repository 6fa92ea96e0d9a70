"""Windows: which are drawn, what they hold, and how unlike ones come together."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import DataLoader

from brainfm.contracts import Kind
from brainfm.errors import UsageError
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.recording import Annotations, Recording, Sensors, hold
from brainfm.store import open_store
from brainfm.store.hold import create_store, writing
from brainfm.store.write import write_recording
from brainfm.windows.collate import Window, batch_of, collate
from brainfm.windows.dataset import ListedBatches, RandomBatches
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.sampler import (
    Place,
    RandomWindows,
    Windows,
    by_channels,
    n_samples,
    sequential,
)


def table(n_times: list[int], sfreq: float | list[float] = 100.0) -> pd.DataFrame:
    made = pd.DataFrame({"id": [f"r{i}" for i in range(len(n_times))], "n_times": n_times})
    made["sfreq"] = sfreq
    return made.assign(seconds=made["n_times"] / made["sfreq"])


def sensors(*kinds: str) -> Sensors:
    n = len(kinds)
    return Sensors(
        names=tuple(f"{kind}{i}" for i, kind in enumerate(kinds)),
        kind=kinds,
        position=np.arange(3.0 * n).reshape(n, 3) / 100,
        orientation=np.full((n, 3), np.nan),
        position_source=("file",) * n,
    )


def recording(subject: str, kinds: tuple[str, ...], n_times: int, seed: int) -> Recording:
    rng = np.random.default_rng(seed)
    return Recording(
        n_times=n_times,
        sensors=sensors(*kinds),
        sfreq=100.0,
        annotations=Annotations(np.zeros(0), np.zeros(0), ()),
        subject=subject,
        session=None,
        run="1",
        task=None,
        source=f"{subject}-{seed}.edf",
        provenance={},
        blocks=hold(rng.standard_normal((len(kinds), n_times)).astype(np.float32)),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects with unlike sensors, and a copy of the first's recording under another name."""
    path, recipe = tmp_path_factory.mktemp("windows") / "s.zarr", Recipe()
    create_store(path, recipe.preprocessing, recipe.preprocessing_hash)
    with writing(path):
        for subject, kinds, n_times, seed in (
            ("1", ("eeg", "eog", "eeg"), 1000, 1),
            ("2", ("mag", "eeg", "grad_planar"), 730, 2),
            ("3", ("eog",), 500, 3),
            ("4", ("eeg", "eog", "eeg"), 1000, 1),
        ):
            write_recording(path, recording(subject, kinds, n_times, seed), "0" * 64)
    return path


# ------------------------------------------------------------------ random windows


@given(
    n_times=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    seconds=st.sampled_from([0.01, 0.5, 1.0]),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10_000),
)
@settings(max_examples=60)
def test_random_windows_depend_on_seed_and_step_and_lie_within(
    n_times: list[int], seconds: float, seed: int, step: int
) -> None:
    rows, length = table(n_times), round(seconds * 100)
    if max(n_times) < length:
        with pytest.raises(UsageError, match="ask for shorter windows"):
            RandomWindows(rows, seconds, 8, seed)
        return
    made = RandomWindows(rows, seconds, 8, seed)
    made.at(step + 1)
    places = made.at(step)
    assert places == RandomWindows(rows.copy(), seconds, 8, seed).at(step)
    assert len(places) == 8
    for place in places:
        assert place.start >= 0
        assert place.stop == place.start + length <= n_times[int(place.recording[1:])]


def test_other_steps_and_seeds_draw_other_windows() -> None:
    rows = table([100_000])
    drawn = {tuple(RandomWindows(rows, 1.0, 2, s).at(n)) for s in range(5) for n in range(5)}
    assert len(drawn) == 25


def local(rows: pd.DataFrame, *, batch_size: int = 100, seed: int = 0) -> RandomWindows:
    return RandomWindows(rows, 0.1, batch_size, seed, 5)


def bucketed(rows: pd.DataFrame, *, batch_size: int = 100, seed: int = 0) -> Windows:
    def sampler(part: pd.DataFrame) -> Windows:
        return RandomWindows(part, 0.1, batch_size, seed)

    return by_channels(rows, [2, 2, 3, 3], sampler, seconds=0.1, seed=seed)


@pytest.mark.parametrize("make", [lambda t: RandomWindows(t, 0.1, 100, 0), local, bucketed])
def test_every_window_of_a_recording_is_drawn_as_often(
    make: Callable[[pd.DataFrame], Windows],
) -> None:
    made = make(table([13, 9, 10, 40]))  # 4, 0, 1 and 31 possible windows of ten samples
    assert made.n_windows == 1 + 0 + 1 + 3
    counts = Counter(place for step in range(300) for place in made.at(step))
    for id, possible, n in (("r0", 4, 1), ("r1", 0, 0), ("r2", 1, 1), ("r3", 31, 3)):
        mine = [count for place, count in counts.items() if place.recording == id]
        assert len(mine) == possible
        assert sum(mine) == pytest.approx(30_000 * n / 5, abs=300)
        # Windows of a pass are drawn together, which makes counts more even than independent draws.
        assert len(mine) < 2 or chisquare(mine).pvalue > 1e-3


@pytest.mark.parametrize("make", [local, bucketed])
def test_other_samplers_depend_on_seed_and_step_alone_too(make: Callable[..., Windows]) -> None:
    rows = table([300, 200, 500, 40])
    made = make(rows)
    made.at(8)
    assert made.at(7) == make(rows.copy()).at(7)
    assert made.at(7) != made.at(8)
    assert made.at(7) != make(rows, seed=1).at(7)


def test_a_step_of_buckets_has_one_number_of_channels() -> None:
    made = bucketed(table([13, 9, 10, 40]), batch_size=8)
    of = [{p.recording for p in made.at(step)} for step in range(100)]
    assert all(ids <= {"r0"} or ids <= {"r2", "r3"} for ids in of)
    assert {"r0"} in of
    alike = by_channels(
        table([20, 30]),
        [2, 2],
        lambda part: RandomWindows(part, 0.1, 8, 0),
        seconds=0.1,
        seed=0,
    )
    assert alike.at(3) == RandomWindows(table([20, 30]), 0.1, 8, 0).at(3)


def test_mixed_rates_and_broken_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="2 sampling rates"):
        RandomWindows(table([900, 900], [100.0, 200.0]), 1.0, 2, 0)
    with pytest.raises(UsageError, match="2 sampling rates"):
        sequential(table([900, 900], [100.0, 200.0]), 1.0)
    for seconds in (0.001, 0.123456, 0.0, -1.0):
        with pytest.raises(UsageError, match="choose another length"):
            n_samples(table([900]), seconds)
    assert n_samples(table([900], 250.0), 0.7) == 175


# ------------------------------------------------------------------ sequential windows


@given(
    n_times=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    length=st.integers(1, 50),
    hop=st.integers(1, 50) | st.none(),
)
@settings(max_examples=100)
def test_sequential_windows_cover_and_never_pass_the_end(
    n_times: list[int], length: int, hop: int | None
) -> None:
    step = None if hop is None else hop / 100
    places = sequential(table(n_times), length / 100, step=step)
    for i, total in enumerate(n_times):
        mine = [p for p in places if p.recording == f"r{i}"]
        assert [p.start for p in mine] == [n * (hop or length) for n in range(len(mine))]
        assert all(p.stop - p.start == length and p.stop <= total for p in mine)
        assert len(mine) * (hop or length) + length > total  # there was no room for another
    assert places == sorted(places, key=lambda p: (p.recording, p.start))


# ------------------------------------------------------------------ collate


def test_collate_pads_and_marks() -> None:
    rng = np.random.default_rng(0)
    kinds = [("eeg", "mag", "seeg"), ("grad_planar",)]
    signals = [rng.standard_normal((len(k), 7)).astype(np.float32) for k in kinds]
    given = [
        Window(s, sensors(*k), 200.0, f"r{i}", 1.5 * i)
        for i, (s, k) in enumerate(zip(signals, kinds, strict=True))
    ]
    batch = collate(given)
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    np.testing.assert_array_equal(batch.signal[0], signals[0])
    np.testing.assert_array_equal(batch.signal[1, :1], signals[1])
    assert not batch.signal[1, 1:].any()
    assert batch.kind[0].tolist() == [Kind.eeg, Kind.mag, Kind.seeg]
    assert int(batch.kind[1, 0]) == Kind.grad_planar
    assert torch.isfinite(batch.position[batch.mask]).all()
    assert torch.isnan(batch.position[~batch.mask]).all()
    assert torch.isnan(batch.orientation).all()
    np.testing.assert_allclose(batch.position[0], given[0].sensors.position, rtol=1e-6)
    assert (batch.sfreq, batch.recording) == (200.0, ("r0", "r1"))
    assert batch.onset.tolist() == [0.0, 1.5]


def test_collate_refuses_unlike_lengths_and_rates() -> None:
    def window(n_times: int, sfreq: float) -> Window:
        return Window(np.zeros((1, n_times), np.float32), sensors("eeg"), sfreq, "r", 0.0)

    with pytest.raises(ValueError, match="one length and rate"):
        collate([window(5, 100.0), window(6, 100.0)])
    with pytest.raises(ValueError, match="one length and rate"):
        collate([window(5, 100.0), window(5, 200.0)])


def test_an_array_becomes_a_batch() -> None:
    signal = np.random.default_rng(0).standard_normal((4, 2, 9))
    batch = batch_of(signal, sensors("eeg", "eog"), 100.0)
    assert batch.signal.dtype == torch.float32
    np.testing.assert_array_equal(batch.signal.numpy(), signal.astype(np.float32))
    assert batch.mask.all()


# ------------------------------------------------------------------ reading


def by_subject(path: Path) -> dict[str, str]:
    rows = open_store(path).table
    return dict(zip(rows["subject"], rows["id"], strict=True))


@pytest.mark.parametrize(
    ("kinds", "channels"),
    [
        (("eeg",), {"1": [0, 2], "2": [1]}),
        (("eog",), {"1": [1], "3": [0]}),
        (("mag", "eog", "eeg"), {"1": [0, 1, 2], "2": [0, 1], "3": [0]}),
    ],
)
def test_windows_are_slices_of_the_store(
    store: Path, kinds: tuple[str, ...], channels: dict[str, list[int]]
) -> None:
    ids, opened = by_subject(store), open_store(store)
    reader = WindowReader(store, kinds)
    rows = Selection(store, kinds).table(opened)
    assert set(rows["id"]) == {ids[s] for s in channels}
    places = [Place(ids[s], start, start + 130) for s in channels for start in (0, 77, 370)]
    batch = reader.read(places, 100.0)
    for i, place in enumerate(places):
        subject = next(s for s, id in ids.items() if id == place.recording)
        picks = channels[subject]
        wanted = opened.read(place.recording, place.start, place.stop)[picks]
        np.testing.assert_array_equal(batch.signal[i, : len(picks)], wanted)
        assert batch.mask[i].tolist() == [c < len(picks) for c in range(batch.mask.shape[1])]
        known = opened.sensors(place.recording)
        assert [Kind(k).name for k in batch.kind[i, : len(picks)].tolist()] == [
            known.kind[p] for p in picks
        ]
        assert float(batch.onset[i]) == pytest.approx(place.start / 100)
    assert batch.recording == tuple(p.recording for p in places)


def test_a_reader_survives_pickling(store: Path) -> None:
    reader = WindowReader(store, ("eeg",))
    place = [Place(by_subject(store)["1"], 3, 40)]
    before = reader.read(place, 100.0)
    data = pickle.dumps(reader)
    assert len(data) < 1000  # no open files, no tables
    torch.testing.assert_close(pickle.loads(data).read(place, 100.0).signal, before.signal)


def test_batches_are_the_same_from_a_worker(store: Path) -> None:
    rows = Selection(store).table(open_store(store))
    batches = RandomBatches(WindowReader(store, ("eeg",)), RandomWindows(rows, 1.0, 3, seed=4))
    loader = DataLoader(
        batches, batch_size=None, sampler=[5, 0], num_workers=1, multiprocessing_context="spawn"
    )
    for step, batch in zip((5, 0), loader, strict=True):
        assert torch.equal(batch.signal, batches[step].signal)
        assert batch.recording == batches[step].recording


def test_listed_batches_hold_every_window_once(store: Path) -> None:
    rows = Selection(store).table(open_store(store))
    places = sequential(rows, 1.0)
    batches = ListedBatches(WindowReader(store, ("eeg",)), places, 100.0, batch_size=4)
    sizes = [len(batches[i].signal) for i in range(len(batches))]
    assert sum(sizes) == len(places) == 17
    assert sizes == [4, 4, 4, 4, 1]
    assert [r for i in range(len(batches)) for r in batches[i].recording] == [
        p.recording for p in places
    ]
    for index in (len(batches), -1):
        with pytest.raises(IndexError):
            batches[index]


# ------------------------------------------------------------------ selection


def test_copies_are_left_out(store: Path) -> None:
    opened = open_store(store)
    assert opened.table["duplicate_of"].notna().sum() == 1
    rows = Selection(store).table(opened)
    assert rows["subject"].tolist() == ["1", "2"]
    # A copy of what is excluded does not come in by its other name.
    rows = Selection(store, exclude_subjects=("1",)).table(opened)
    assert rows["subject"].tolist() == ["2"]


def test_subjects_are_chosen_and_left_out(store: Path) -> None:
    opened = open_store(store)
    assert Selection(store, subjects=("2",)).table(opened)["subject"].tolist() == ["2"]
    both = Selection(store, ("eog",), subjects=("1", "3"), exclude_subjects=("1",))
    assert both.table(opened)["subject"].tolist() == ["3"]
    with pytest.raises(UsageError, match="choose others"):
        Selection(store, subjects=()).table(opened)


def test_data_sets_are_chosen_by_the_recipe_that_made_them(store: Path) -> None:
    opened = open_store(store)
    opened.table.loc[opened.table["subject"] == "2", "dataset"] = "mine"
    assert Selection(store, datasets=("mine",)).table(opened)["subject"].tolist() == ["2"]
    with pytest.raises(UsageError, match=r"Data sets \['yours'\] are not in .*'mine'"):
        Selection(store, datasets=("mine", "yours")).table(opened)


@pytest.mark.parametrize("option", ["subjects", "exclude_subjects"])
def test_unknown_subjects_are_refused(store: Path, option: str) -> None:
    selection = Selection(store, **{option: ("1", "01", "9")})
    with pytest.raises(UsageError, match=r"\['01', '9'\] are not in .* \['1', '2', '3', '4'\]"):
        selection.table(open_store(store))


def test_missing_kinds_are_refused(store: Path) -> None:
    with pytest.raises(UsageError, match=r"kinds \['emg'\] \(it has \['eeg', 'eog', "):
        Selection(store, ("emg",)).table(open_store(store))
