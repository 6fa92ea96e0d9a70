"""Mixtures: shares, what a block is made of, and a resumed run that goes on with the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pipeline import RECIPE
from test_resume import FAMILIES, SHORT

from brainfm.cli import main
from brainfm.errors import UsageError
from brainfm.learning.callbacks import SPEED
from brainfm.learning.loop import Loop
from brainfm.learning.shares import choose_parts
from brainfm.recordings.synthetic import synthesise, write_edf
from brainfm.stages.batches import training_batches, validation_batches
from brainfm.stages.sources import Beside, Data, divide, sources_of
from brainfm.weights import load
from brainfm.windows.mixture import MixedBatches, shares
from brainfm.windows.splits import hold_out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores: 19 channels at 200 Hz, and fewer channels at 100 Hz."""
    folder = tmp_path_factory.mktemp("mixture")
    for name, seed, more in (("wide", 1, {}), ("narrow", 2, {"drop": ["Fp1", "Fp2", "O1"]})):
        for recording in synthesise(4, seconds=12.0, seed=seed):
            write_edf(recording, folder / name)
        recipe = RECIPE | more | {"name": name, "sfreq": 200.0 if name == "wide" else 100.0}
        recipe |= {"h_freq": 40.0}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
        raw, store = str(folder / name), f"--store={folder / name}.zarr"
        assert main(["ingest", raw, store, f"--recipe={folder / name}.yaml"]) == 0
    return folder


def data(place: Path, **more: object) -> Data:
    beside = (Beside(place / "narrow.zarr", weight=3.0),)
    return Data(place / "wide.zarr", seconds=2.0, validation=0.25, **{"beside": beside} | more)


def batches(given: Data, batch: int = 8, seed: int = 3) -> MixedBatches:
    sources = sources_of(given)
    made = training_batches(
        sources, divide(sources, given.validation, seed).training, given, batch=batch, seed=seed
    )
    assert isinstance(made, MixedBatches)
    return made


# ------------------------------------------------------------------ shares


def test_shares_are_the_formula_s() -> None:
    even = [1.0, 1.0]
    np.testing.assert_allclose(shares([1.0, 3.0], even, 1.0), [0.25, 0.75])
    np.testing.assert_allclose(shares([1.0, 3.0], [3.0, 1.0], 1.0), [0.5, 0.5])
    np.testing.assert_allclose(shares([1.0, 4.0], even, 2.0), [1 / 3, 2 / 3])
    np.testing.assert_allclose(shares([1.0, 9.0], even, 1e9), [0.5, 0.5])
    for weights, temperature in (([1.0, 0.0], 1.0), (even, 0.0)):
        with pytest.raises(UsageError, match="must be above 0"):
            shares(even, weights, temperature)


@given(share=st.floats(0.02, 0.98), steps=st.integers(1, 10**9), seed=st.integers(0, 2**31))
@settings(max_examples=60)
def test_every_data_set_has_its_share_at_any_time(share: float, steps: int, seed: int) -> None:
    class Fixed(MixedBatches):
        shares = np.array([share, 1 - share])

    first, second = Fixed((), 1.0, 1, seed).turns.counts(steps)
    assert first + second == steps
    assert abs(first - share * steps) < 2


# ------------------------------------------------------------------ batches


def test_a_block_has_one_rate_and_one_number_of_channels_and_no_padding(place: Path) -> None:
    made, met = batches(data(place, blocks=2)), set()
    for step in range(12):
        for part in range(2):
            block = made.part(step, part, 2)
            assert bool(block.mask.all())
            assert block.signal.shape[-1] == 2 * block.sfreq
            met.add((block.sfreq, block.signal.shape[1], len(block.signal)))
    assert met == {(200.0, 19, 4), (100.0, 16, 4)}


def test_a_step_is_the_same_in_any_number_of_parts_and_after_any_other(place: Path) -> None:
    made = batches(data(place, blocks=2))
    for step in (5, 2):
        whole = [p for i in range(2) for p in _places(made.part(step, i, 2))]
        cut = [p for i in range(4) for p in _places(made.part(step, i, 4))]
        assert sorted(whole) == sorted(cut)
    other = batches(data(place, blocks=2))
    assert _places(other.part(5, 1, 2)) == _places(made.part(5, 1, 2))
    assert _places(batches(data(place, blocks=2), seed=4).part(5, 1, 2)) != _places(
        made.part(5, 1, 2)
    )


def _places(batch: object) -> list[tuple[str, float]]:
    return list(zip(batch.recording, batch.onset.tolist(), strict=True))


def test_what_was_read_is_told(place: Path) -> None:
    made = batches(data(place))
    told = made.read(40)
    np.testing.assert_allclose([told["share/wide"], told["share/narrow"]], [0.25, 0.75], atol=0.05)
    hours = sum(told[f"epoch/{m.name}"] * m.hours for m in made.members)
    assert hours == pytest.approx(40 * 8 * 2.0 / 3600)


def test_parts_are_a_multiple_of_the_blocks() -> None:
    assert choose_parts(None, 12, 2, 3) == 6
    with pytest.raises(UsageError, match="3 blocks"):
        choose_parts(4, 12, 2, 3)


# ------------------------------------------------------------------ sources


def test_nobody_is_on_both_sides_even_in_two_data_sets(place: Path) -> None:
    """The second data set holds the same people, at another rate."""
    given = data(place)
    sources = sources_of(given)
    names = [set(divide((s,), 0.25, 5).validation[0]["subject"]) for s in sources]
    assert all(names)
    for source, held in zip(sources, names, strict=True):
        assert held == set(hold_out(source.table, 0.25, 5).validation)
    for source in sources:  # as if one data set had been ingested twice
        source.table["dataset"] = "one"
    both = divide(sources, 0.25, 5)
    trained, held = (
        {s for table in side for s in table["subject"]} for side in (both.training, both.validation)
    )
    assert not trained & held
    assert trained | held == {s for source in sources for s in source.table["subject"]}


def test_a_recording_in_two_data_sets_and_equal_names_are_refused(place: Path) -> None:
    again = Beside(place / "wide.zarr")
    with pytest.raises(UsageError, match="Two data sets of the mixture are called 'wide'"):
        sources_of(data(place, beside=(again,)))
    with pytest.raises(UsageError, match="is also in wide"):
        sources_of(data(place, beside=(Beside(place / "wide.zarr", name="other"),)))
    with pytest.raises(UsageError, match="3 equal blocks"):
        batches(data(place, blocks=3))


def test_validation_counts_every_data_set(place: Path) -> None:
    given = data(place)
    sources = sources_of(given)
    held = validation_batches(sources, divide(sources, 0.25, 0).validation, given, 4)
    assert held is not None
    assert {held[i].sfreq for i in range(len(held))} == {100.0, 200.0}
    with pytest.raises(IndexError):
        _ = held[len(held)]


# ------------------------------------------------------------------ the whole run


def command(place: Path, name: str, *more: str, family: str = "patch transformer") -> list[str]:
    beside = [{"store": str(place / "narrow.zarr"), "weight": 3.0}]
    chosen = {"store": str(place / "wide.zarr"), "seconds": 2.0, "validation": 0.25}
    chosen |= {"beside": beside, "temperature": 2.0}
    config = {"model": FAMILIES[family], "data": chosen, "train": SHORT, "seed": 3}
    path = place / f"{family}-mixed.yaml"
    path.write_text(yaml.safe_dump(config))
    return ["pretrain", "--config", str(path), f"--out={place / name}", *more]


def test_a_mixture_is_trained_and_goes_on_to_the_bit(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command(place, "whole")) == 0
    plain = Loop.training_step

    def broken(loop: Loop, *arguments: object) -> object:
        if loop.global_step == 11:
            raise KeyboardInterrupt
        return plain(loop, *arguments)

    monkeypatch.setattr(Loop, "training_step", broken)
    assert main(command(place, "cut")) == 1
    monkeypatch.setattr(Loop, "training_step", plain)
    assert main(command(place, "cut")) == 0
    whole, cut = (
        pd.read_csv(place / n / "metrics.csv").drop(columns=list(SPEED)) for n in ("whole", "cut")
    )
    pd.testing.assert_frame_equal(whole, cut, check_exact=True)
    ours, theirs = (
        (place / n / "model" / "model.safetensors").read_bytes() for n in ("whole", "cut")
    )
    assert ours == theirs
    last = whole.iloc[-1]
    assert last["share/narrow"] == pytest.approx(0.75, abs=0.08)
    assert last["padding"] == 0
    card = load(place / "whole")[1]
    assert card["sfreq"] == [200.0, 100.0]
    assert len(card["preprocessing_hash"]) == 2


def test_an_epoch_reads_all_the_hours_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(place, "epochs", "--train.epochs=2", "--train.validate_every=0")) == 0
    # Three of four people train in each store, of two times 12 s each: 144 s are 36 steps of 4 s.
    assert "trained for 72 steps" in capsys.readouterr().out
    last = pd.read_csv(place / "epochs" / "metrics.csv").iloc[-1]
    assert last["step"] == 72
    assert last["epoch/wide"] + last["epoch/narrow"] == pytest.approx(4)


def test_a_tokenizer_of_one_rate_refuses_the_other_before_anything_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(command(place, "refused", family="motif tokenizer")) == 2
    assert "have 100 Hz" in capsys.readouterr().err
    assert not (place / "refused").exists()
