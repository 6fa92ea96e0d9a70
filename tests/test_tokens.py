"""The token store: codes come back, its health is a recount, and a killed one goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st
from test_finetuned import CARD
from test_tokenizers import spread

from brainfm.errors import UsageError
from brainfm.objectives import MotifReconstruction
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.synthetic import synthesise
from brainfm.stages.tokenize import tokenize, vocabulary_hash
from brainfm.store import open_store
from brainfm.store.hold import create_store, writing
from brainfm.store.tokens import TokenWriter, codebook_health, header, open_tokens
from brainfm.store.write import write_recording
from brainfm.tokenizers import MotifTokenizer
from brainfm.weights import load, save

HEADER = header(vocabulary=7, vocabulary_hash="abc", seconds=5.0, step=0.5, span=1.0, sfreq=200.0)


def codes(seed: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 6, (n, 2, 4)).astype(np.int32)


def onsets(n: int = 3) -> np.ndarray:
    return 5.0 * np.arange(n)


# ------------------------------------------------------------------ the store


def test_codes_come_back_with_a_recount_of_them(tmp_path: Path) -> None:
    writer = TokenWriter(tmp_path / "t.zarr", HEADER)
    assert writer.begin() == set()
    given_codes = {"b": codes(0), "a": codes(1, n=5)}
    for name, value in given_codes.items():
        writer.write(name, value, onsets(len(value)))
        assert not writer.path.exists()
    writer.finish()
    found = open_tokens(tmp_path / "t.zarr")
    assert found.ids == ["a", "b"]
    for name, value in given_codes.items():
        np.testing.assert_array_equal(found.codes(name), value)
        assert found.codes(name).dtype == np.int32
        np.testing.assert_array_equal(found.onsets(name), onsets(len(value)))
    counts = np.bincount(np.concatenate([v.ravel() for v in given_codes.values()]), minlength=7)
    np.testing.assert_array_equal(found.usage, counts)
    share = counts[counts > 0] / counts.sum()
    assert found.attributes["perplexity"] == pytest.approx(np.prod(share**-share))
    assert found.attributes["used"] == np.count_nonzero(counts) == 6
    assert found.attributes["dead"] == 1
    assert HEADER.items() <= found.attributes.items()
    assert [p.name for p in tmp_path.iterdir()] == ["t.zarr"]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any))
def test_perplexity_lies_between_one_and_the_codes_used(counts: list[int]) -> None:
    health = codebook_health(np.array(counts, np.int64))
    assert health["used"] + health["dead"] == len(counts)
    assert 1 - 1e-9 <= health["perplexity"] <= health["used"] + 1e-9
    even = codebook_health(np.full(len(counts), 3, np.int64))
    assert even["perplexity"] == pytest.approx(len(counts))


def test_a_partial_store_is_gone_on_with_if_it_is_of_the_same_tokens(tmp_path: Path) -> None:
    path = tmp_path / "t.zarr"
    writer = TokenWriter(path, HEADER)
    writer.begin()
    writer.write("a", codes(0), onsets())
    zarr.open_group(writer.partial, mode="r+").create_group("b")  # killed while it was written
    again = TokenWriter(path, HEADER)
    assert again.begin() == {"a"}
    again.write("b", codes(1), onsets())
    np.testing.assert_array_equal(again.finish().codes("b"), codes(1))


@pytest.mark.parametrize("damage", ["header", "cut", "empty"])
def test_a_partial_store_of_other_tokens_is_begun_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.zarr"
    writer = TokenWriter(path, HEADER)
    writer.begin()
    writer.write("a", codes(0), onsets())
    root = writer.partial / "zarr.json"
    changed = {"header": root.read_text(), "cut": root.read_text()[:20], "empty": ""}[damage]
    root.write_text(changed)
    facts = HEADER | {"vocabulary_hash": "other"} if damage == "header" else HEADER
    again = TokenWriter(path, facts)
    assert again.begin() == set()
    again.write("c", codes(2), onsets())
    assert again.finish().ids == ["c"]


def test_what_is_no_token_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no token store"):
        open_tokens(tmp_path / "nowhere.zarr")
    zarr.create_group(tmp_path / "newer.zarr", attributes=HEADER | {"tokens_version": 2})
    with pytest.raises(UsageError, match=r"of version 1 .it says 2"):
        open_tokens(tmp_path / "newer.zarr")


# ------------------------------------------------------------------ the stage


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of two subjects and a tokenizer trained on recordings of that making."""
    folder = tmp_path_factory.mktemp("tokens")
    recipe = Recipe()
    create_store(folder / "s.zarr", recipe.preprocessing, recipe.preprocessing_hash)
    with writing(folder / "s.zarr"):
        for recording in synthesise(2, seconds=12.0):
            write_recording(folder / "s.zarr", recording, "0" * 64)
    card = CARD | {"seconds": 5.0, "preprocessing_hash": recipe.preprocessing_hash}
    save(MotifReconstruction(spread()), folder / "run" / "model", card)
    return folder / "s.zarr", folder / "run"


def test_the_batch_size_changes_no_code(ready: tuple[Path, Path], tmp_path: Path) -> None:
    store, run = ready
    made = [
        tokenize(store, checkpoint=run, tokens=tmp_path / f"{n}.zarr", batch_size=n)
        for n in (1, 2, 16)
    ]
    ids = open_store(store).table["id"].tolist()
    for tokens in made:
        assert tokens.ids == ids
        for id in ids:
            assert tokens.codes(id).shape == (2, 19, 9)
            assert tokens.onsets(id).tolist() == [0.0, 5.0]
            np.testing.assert_array_equal(tokens.codes(id), made[0].codes(id))
    assert made[0].attributes["used"] > 3
    assert made[0].attributes["store_fingerprint"] == open_store(store).fingerprint
    assert (made[0].attributes["step"], made[0].attributes["span"]) == (0.5, 1.0)


def test_codes_are_the_tokenizer_s(ready: tuple[Path, Path], tmp_path: Path) -> None:
    from brainfm.windows.collate import batch_of

    store, run = ready
    tokens = tokenize(store, checkpoint=run, tokens=tmp_path / "t.zarr")
    opened, (model, _) = open_store(store), load(run)
    id = opened.table["id"][1]
    batch = batch_of(opened.read(id, 1000, 2000)[None], opened.sensors(id), 200.0)
    wanted = model.tokenizer(batch).code.view(19, 9).numpy()
    np.testing.assert_array_equal(tokens.codes(id)[1], wanted)
    assert tokens.attributes["vocabulary_hash"] == vocabulary_hash(model.tokenizer)


def test_an_interrupted_tokenization_goes_on(
    ready: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = ready
    whole = tokenize(store, checkpoint=run, tokens=tmp_path / "whole.zarr")
    write, written = TokenWriter.write, []

    def failing(self, recording, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(recording)
        write(self, recording, *rest)

    monkeypatch.setattr(TokenWriter, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        tokenize(store, checkpoint=run, tokens=tmp_path / "t.zarr")
    assert not (tmp_path / "t.zarr").exists()
    monkeypatch.undo()
    again = []
    monkeypatch.setattr(
        TokenWriter, "write", lambda self, r, *rest: (again.append(r), write(self, r, *rest))
    )
    tokens = tokenize(store, checkpoint=run, tokens=tmp_path / "t.zarr")
    assert written + again == whole.ids
    assert tokens.attributes == whole.attributes
    for id in whole.ids:
        np.testing.assert_array_equal(tokens.codes(id), whole.codes(id))


def test_a_finished_token_store_is_kept_and_another_s_refused(
    ready: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = ready
    path = tmp_path / "t.zarr"
    tokenize(store, checkpoint=run, tokens=path)
    before = (path / "zarr.json").stat().st_mtime_ns
    tokenize(store, checkpoint=run, tokens=path)
    assert "nothing to do" in capsys.readouterr().out
    assert (path / "zarr.json").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"other tokens \(seconds is 5.0 there and 3.0 now\)"):
        tokenize(store, checkpoint=run, tokens=path, seconds=3.0)


def test_windows_that_no_recording_has_are_refused(
    ready: tuple[Path, Path], tmp_path: Path
) -> None:
    store, run = ready
    with pytest.raises(UsageError, match=r"No recording of .* has 60 s"):
        tokenize(store, checkpoint=run, tokens=tmp_path / "t.zarr", seconds=60.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kinds": ["mag"]}, "mag"), ({"preprocessing_hash": "x"}, "preprocessed otherwise")],
)
def test_a_checkpoint_that_does_not_fit_the_store_is_refused(
    ready: tuple[Path, Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    store, run = ready
    shutil.copytree(run, tmp_path / "run")
    card = tmp_path / "run" / "model" / "config.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(UsageError, match=message):
        tokenize(store, checkpoint=tmp_path / "run", tokens=tmp_path / "t.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_the_vocabulary_s_hash_tells_tokenizers_apart() -> None:
    first, other = (MotifTokenizer(n_codes=16) for _ in range(2))
    assert vocabulary_hash(first) != vocabulary_hash(other)
    other.load_state_dict(first.state_dict())
    assert vocabulary_hash(first) == vocabulary_hash(other)
    with torch.no_grad():
        other.codebook[3, 2] += 1e-3
    assert vocabulary_hash(first) != vocabulary_hash(other)
