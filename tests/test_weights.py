"""A checkpoint: it comes back whole, or it is refused in one sentence and nothing runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import windows
from test_contracts import EXAMPLES, tokens
from torch import nn

from brainfm.contracts import Component, Features, Head
from brainfm.errors import UsageError
from brainfm.heads import LinearHead
from brainfm.stages.model import load_model
from brainfm.tokenizers import Frozen, MotifTokenizer, Pretrained
from brainfm.weights import build, count_parameters, describe, load, load_card, save

HYENA = '''
import torch
from brainfm.contracts import Backbone, Features

class Hyena(Backbone):
    """A backbone that brainfm has never heard of."""

    def __init__(self, dim: int, width: int = 7):
        super().__init__()
        self.dim, self.width = dim, width
        self.layer = torch.nn.Linear(dim, dim)

    def forward(self, tokens, *, layers=False):
        return Features(self.layer(tokens.value), tokens.mask)
'''


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(LinearHead(4, 2), tmp_path / "model", {"sfreq": 200.0})
    return tmp_path


@pytest.fixture
def mylab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody else's; its name is new, so that no other test has imported it."""
    name = f"mylab_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(HYENA)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_is_saved_comes_back(tmp_path: Path, name: str) -> None:
    component = EXAMPLES[name]()
    save(component, tmp_path / "model", {"sfreq": 200.0, "kinds": ["eeg"]})
    for folder in (tmp_path, tmp_path / "model"):  # of the run, or of the model itself
        again, card = load(folder)
        assert (card["sfreq"], card["kinds"]) == (200.0, ["eeg"])
        assert not again.training
        assert again.state_dict().keys() == component.state_dict().keys()
        for key, value in component.state_dict().items():
            assert torch.equal(again.state_dict()[key], value), key
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.safetensors", "config.json"}


def test_the_folder_may_be_moved(saved: Path, tmp_path: Path) -> None:
    text = (saved / "model" / "config.json").read_text()
    assert str(tmp_path) not in text


def test_a_pretrained_tokenizer_is_saved_without_its_folder(tmp_path: Path) -> None:
    tokenizer = EXAMPLES["MotifTokenizer"]()
    card = {"sfreq": 200.0, "kinds": ["eeg"], "data": {"subjects": ["1"]}, "seed": 3}
    save(tokenizer, tmp_path / "first" / "model", card)
    frozen = Pretrained(tmp_path / "first")
    save(frozen, tmp_path / "second", {})
    (tmp_path / "first" / "model" / "model.safetensors").unlink()
    again, _ = load(tmp_path / "second")
    assert type(again) is Frozen
    assert again.card == {k: card[k] for k in ("sfreq", "kinds", "data", "seed")}
    assert torch.equal(again(windows()).code, tokenizer.eval()(windows()).code)


def test_a_card_is_data_in_which_nothing_is_built(tmp_path: Path) -> None:
    card = {"view": {"class_path": "os.system", "init_args": {"command": "true"}}}
    save(Frozen(EXAMPLES["MotifTokenizer"](), card=card), tmp_path, {})
    assert load(tmp_path)[0].card == card


def test_a_head_is_no_tokenizer(saved: Path) -> None:
    with pytest.raises(UsageError, match="no tokenizer"):
        Pretrained(saved)


def test_changed_weights_are_refused(saved: Path) -> None:
    path = saved / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match="damaged or was replaced"):
        load(saved)


@pytest.mark.parametrize("length", [0, 7, 40, -1])
def test_cut_weights_are_refused(saved: Path, length: int) -> None:
    path = saved / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UsageError, match="damaged or was replaced"):
        load(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_half_a_checkpoint_is_none(saved: Path, name: str) -> None:
    (saved / "model" / name).unlink()
    with pytest.raises(UsageError, match="holds no model"):
        load(saved)


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no model"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"format": 1}', "\x00\xff"])
def test_a_card_that_is_none_is_refused(saved: Path, text: str) -> None:
    (saved / "model" / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError):
        load(saved)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_format_is_refused(saved: Path, version: Any) -> None:
    rewrite(saved, format=version)
    with pytest.raises(UsageError, match="load it with the version that wrote it"):
        load_card(saved)


@pytest.mark.parametrize(
    "class_path",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.dict",
        "torch.load",
        "torch.nn.Linear",
        "brainfm.weights.load",
        "brainfm.learning.Train",
    ],
)
def test_nothing_but_a_component_is_ever_called(
    saved: Path, monkeypatch: pytest.MonkeyPatch, class_path: str
) -> None:
    def alarm(*args: object, **kwargs: object) -> None:
        raise AssertionError("it was called")

    marker = saved / "marker"
    monkeypatch.setattr(os, "system", alarm)
    monkeypatch.setattr(subprocess.Popen, "__init__", alarm)
    spec = {"class_path": class_path, "init_args": {"args": f"touch {marker}"}}
    rewrite(saved, architecture=spec)
    with pytest.raises(UsageError, match="is no brainfm component"):
        load(saved)
    frozen = {"class_path": "brainfm.tokenizers.frozen.Frozen", "init_args": {"tokenizer": spec}}
    rewrite(saved, architecture=frozen)
    with pytest.raises(UsageError, match="is no brainfm component"):
        load(saved)
    assert not marker.exists()


@pytest.mark.parametrize("class_path", ["nowhere.Model", "brainfm.Missing", "Model", "", "..a.B"])
def test_a_class_that_cannot_be_imported_is_named(class_path: str) -> None:
    with pytest.raises(UsageError, match="cannot be imported here"):
        build({"class_path": class_path, "init_args": {}})


def test_an_abstract_class_and_foreign_arguments_are_refused() -> None:
    for class_path, arguments in (
        ("brainfm.contracts.Backbone", {}),
        ("brainfm.heads.linear.LinearHead", {"dim": 3, "n_outputs": 2, "width": 5}),
    ):
        with pytest.raises(UsageError, match="does not take the arguments"):
            build({"class_path": class_path, "init_args": arguments})


def test_weights_of_another_shape_are_refused(saved: Path) -> None:
    rewrite(saved, architecture=describe(LinearHead(5, 2)))
    with pytest.raises(UsageError, match="not those of this brainfm's LinearHead"):
        load(saved)


class Forgetful(Head):
    def __init__(self, dim: int, n_outputs: int):
        super().__init__()
        self.dim = dim

    def forward(self, features: Features) -> torch.Tensor:
        return features.pooled()


class Plain(Head):
    """Takes no arguments and has no constructor of its own."""

    def forward(self, features: Features) -> torch.Tensor:
        return features.pooled()


class Stack(Component):
    """Holds components in a list and in a dict."""

    def __init__(self, parts: list[Component], named: dict[str, Component]):
        super().__init__()
        self.parts, self.named = nn.ModuleList(parts), nn.ModuleDict(named)


def test_a_constructor_that_forgets_an_argument_is_told_how_to_keep_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'n_outputs'.*add `self.n_outputs = n_outputs`"):
        save(Forgetful(3, 2), tmp_path / "model", {})
    assert not (tmp_path / "model").exists()


def test_a_component_may_have_no_constructor() -> None:
    assert describe(Plain())["init_args"] == {}
    assert type(build(describe(Plain()))) is Plain


def test_a_card_that_json_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(LinearHead(3, 2), tmp_path / "model", {"sfreq": torch.zeros(1)})
    assert not (tmp_path / "model").exists()


def test_a_class_of_another_package_works_by_its_path_alone(mylab: str, tmp_path: Path) -> None:
    text = f"""
    tokenizer:
      class_path: Frozen
      init_args: {{tokenizer: {{class_path: MotifTokenizer, init_args: {{n_codes: 16}}}}}}
    backbone: {{class_path: {mylab}.Hyena, init_args: {{width: 9}}}}
    objective: MaskedCodes
    """
    (tmp_path / "model.yaml").write_text(text)
    objective = load_model(tmp_path / "model.yaml").build(0)
    assert type(objective.backbone).__name__ == "Hyena"
    assert (objective.backbone.dim, objective.backbone.width) == (64, 9)
    save(objective, tmp_path / "run" / "model", {})
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\nfrom brainfm.weights import load\n"
        f"print(type(load(Path({str(tmp_path / 'run')!r}))[0].backbone).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mylab
    again, _ = load(tmp_path / "run")
    given = tokens()
    torch.testing.assert_close(
        again.backbone(given).value, objective.backbone(given).value, rtol=0, atol=0
    )


def test_parameters_are_counted_once_and_frozen_ones_never() -> None:
    tokenizer = MotifTokenizer(n_codes=16)
    learned = sum(p.numel() for p in tokenizer.parameters())
    assert count_parameters(tokenizer) == learned + 16 * 64  # the code book learns without gradient
    assert count_parameters(Frozen(tokenizer)) == 0
    head = LinearHead(4, 2)
    assert count_parameters(head) == 10
    head.linear.bias.requires_grad_(False)
    assert count_parameters(head) == 8
