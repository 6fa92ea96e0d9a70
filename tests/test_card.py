"""A model card is checked in full, and everything that differs is said at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_finetuned import CARD, checkpoint

from brainfm.card import ENTRIES, Use, check_card, seen
from brainfm.errors import UsageError
from brainfm.learning import Finetuned
from brainfm.weights import load, save

USE = Use("the recordings of s.zarr", (200.0,), ("eeg",), "0123", CARD["view"])
TCP = {"class": "brainfm.windows.views.Tcp", "arguments": {"names": ("a", "b")}}
OTHER = {
    "sfreq": (replace(USE, rates=(256.0,)), "trained at 200 Hz, not 256 Hz"),
    "rates": (replace(USE, rates=(200.0, 256.0)), "not 200, 256 Hz"),
    "unit": (replace(USE, unit="µV"), "reads the unit 'SI: V, T, T/m', not 'µV'"),
    "kinds": (replace(USE, kinds=("eeg", "mag")), r"of the kinds \['eeg'\], not \['mag'\]"),
    "view": (replace(USE, view=TCP), r"the view .*Native.*, not .*Tcp"),
    "preprocessing": (replace(USE, preprocessing_hash="4567"), r"otherwise \(0123: .* as 4567"),
}


def test_a_card_that_fits_passes():
    check_card(CARD, USE)
    check_card(CARD, replace(USE, preprocessing_hash=None, view=None))  # arrays do not say


def test_a_view_is_the_same_before_and_after_json():
    listed = TCP | {"arguments": {"names": ["a", "b"]}}
    check_card(CARD | {"view": listed}, replace(USE, view=TCP))


@pytest.mark.parametrize("what", OTHER)
def test_each_difference_is_said(what):
    use, words = OTHER[what]
    with pytest.raises(UsageError, match=rf"does not fit the recordings of s.zarr: .*{words}"):
        check_card(CARD, use)


def test_all_differences_are_said_in_one_line():
    with pytest.raises(UsageError) as refusal:
        check_card(CARD, Use("the trials", (250.0,), ("mag",), "4567", TCP, "µV"))
    said = str(refusal.value)
    assert said.count("\n") == 0
    for words in ("200 Hz, not 250 Hz", "unit", "kinds", "view", "preprocessed otherwise"):
        assert words in said


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_card_says_everything_in_its_own_type(entry):
    without = {k: v for k, v in CARD.items() if k != entry}
    for card in (without, without | {entry: object()}):
        with pytest.raises(UsageError, match=f"says nothing of {entry};"):
            check_card(card, USE)


def test_all_that_is_missing_is_said():
    with pytest.raises(UsageError, match=r"nothing of sfreq, .*kinds.*, data, seed, licence;"):
        check_card({}, USE)
    with pytest.raises(UsageError, match=r"nothing of data.fingerprints, data.subjects;"):
        check_card(CARD | {"data": {}}, USE)


def test_recordings_are_known_by_their_content():
    assert seen(CARD, {"f", "g"}) == 1
    assert seen(CARD, {"g"}) == 0


def test_the_estimator_asks_the_card_too(tmp_path):
    folder = checkpoint(tmp_path, unit="µV", kinds=["mag"])
    X, y = np.zeros((4, 2, 400), np.float32), np.array(["a", "b", "a", "b"])
    with pytest.raises(UsageError, match=r"the trials: .*unit 'µV'.*; it knows .*\['mag'\]"):
        Finetuned(folder, sfreq=200.0).fit(X, y)


@pytest.mark.gpu
def test_a_checkpoint_goes_to_a_gpu_and_back(tmp_path: Path):
    component, card = load(checkpoint(tmp_path))
    save(component.cuda(), tmp_path / "again", card)
    again, _ = load(tmp_path / "again")
    assert {p.device.type for p in again.parameters()} == {"cpu"}
    for name, value in component.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.cpu())
