"""Every tokenizer × backbone × objective that fits by type trains on the real sample; the rest says why not.

The matrix is docs/interchange.md, which this test writes anew with ``BRAINFM_REWRITE=1 pytest
tests/test_interchange.py`` and finds stale otherwise. Classes are found by walking the contracts; one that is
not among the sizes below is built from its defaults.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from test_contracts import ELSEWHERE
from test_finetuned import CARD, FULL

from brainfm.cli import main
from brainfm.contracts import Backbone, Features, Objective, Tokenizer
from brainfm.errors import UsageError
from brainfm.heads import LinearHead
from brainfm.learning import Finetuned, Train
from brainfm.objectives import LabelledBatch, Supervised
from brainfm.stages.catalog import components
from brainfm.stages.model import load_model
from brainfm.store import open_store
from brainfm.tokenizers import MotifTokenizer
from brainfm.weights import count_parameters, load, save
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.sampler import sequential

PAGE = ROOT / "docs" / "interchange.md"
FILES = [ROOT / "sample" / "eegmat" / f"Subject0{i}_{j}.edf" for i in (0, 1) for j in (1, 2)]
NAMES = (
    *("Fp1", "Fp2", "F3", "F4", "F7", "F8", "T7", "T8", "C3", "C4"),
    *("P7", "P8", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz"),
)
SECONDS, SFREQ = 2.0, 200.0
CODES = 16
STEPS = 80  # at most; most take a few

Parts = tuple[Tokenizer, Backbone | None]


def motif() -> MotifTokenizer:
    small = {"frequency_depth": 1, "temporal_depth": 1, "decoder_depth": 1, "dropout": 0.0}
    return MotifTokenizer(n_codes=CODES, dim=64, **small)


SIZES = {
    "MotifTokenizer": {"n_codes": CODES, "frequency_depth": 1, "temporal_depth": 1, "decoder_depth": 1},
    "Frozen": {"tokenizer": motif},
    "Patches": {"dim": 48, "n_samples": 50},
    "MuLawPatches": {"patch": 40},
    "MontagePatches": {
        "width": 8, "ch_names": NAMES, "n_times": 400, "sfreq": SFREQ, "patch": (1, 40),
    },
    "MotifEncoder": {"vocabulary": CODES, "n_channels": 19, "depth": 1},
    "BiMamba": {"depth": 1, "d_state": 4, "expand": 1},
    "PatchTransformer": {"depth": 1, "heads": 2},
    "StateSpaceDenoiser": {
        "width": 16, "depth": 2, "state": 8, "condition": 16, "code": 8, "n_channels": 19,
    },
    "Diffusion": {"start": 0, "every": 1, "decay": 0.5, "power": None},
}  # fmt: skip


@cache
def classes(folder: str) -> dict[str, type]:
    """Return brainfm's own classes; one that is saved as another is that other."""
    every = components(folder).items()
    own = {n: k for n, k in every if k.__module__.startswith("brainfm.") and not k.saved_as}
    return {n: k for n, k in own.items() if n not in ELSEWHERE}


def make(kind: type, *given: object, **more: object) -> object:
    options = {k: v() if k == "tokenizer" else v for k, v in SIZES.get(kind.__name__, {}).items()}
    return kind(*given, **(options | more))


def variants() -> dict[str, Callable[[Tokenizer, Backbone | None], Objective]]:
    """Return objectives by name, those that take a mask once a mask."""

    def of(kind: type, **more: Callable[..., object]) -> Callable[..., Objective]:
        def build(tokenizer: Tokenizer, backbone: Backbone | None) -> Objective:
            made = {
                k: f(backbone.dim if backbone else 1, 2) if k == "head" else f()
                for k, f in more.items()
            }
            return make(kind, tokenizer, backbone, **made)

        return build

    found = {}
    for name, kind in classes("objectives").items():
        if name == "MaskedSignal":
            found |= {f"{name}, {m}": of(kind, mask=mask) for m, mask in classes("masks").items()}
        else:
            found[name] = of(kind, head=LinearHead) if issubclass(kind, Supervised) else of(kind)
    return found


OBJECTIVES = variants()
TOKENIZERS = list(classes("tokenizers"))
BACKBONES = [*classes("backbones"), None]


def join(tokenizer: str, backbone: str | None, objective: str) -> Objective:
    """Build three parts, as `brainfm pretrain` does."""
    torch.manual_seed(0)
    first = make(classes("tokenizers")[tokenizer])
    second = None if backbone is None else make(classes("backbones")[backbone], first.dim)
    return OBJECTIVES[objective](first, second)


Triple = tuple[str, str | None, str]


@cache
def outcomes() -> dict[Triple, UsageError | None]:
    """Return why each triple is refused, None where it is not."""
    found = {}
    for triple in product(TOKENIZERS, BACKBONES, OBJECTIVES):
        try:
            join(*triple)
            found[triple] = None
        except UsageError as error:
            found[triple] = error
    return found


FITS = [triple for triple, refusal in outcomes().items() if refusal is None]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of the sample."""
    path = tmp_path_factory.mktemp("interchange") / "store.zarr"
    call = ["ingest", *map(str, FILES), "--store", str(path), "--recipe", "eegmat"]
    assert main(call) == 0
    return path


@pytest.fixture(scope="session")
def given(store: Path) -> LabelledBatch:
    """Four windows of it, rest and arithmetic."""
    table = Selection(store).table(open_store(store))
    places = [p for _, row in table.groupby("id") for p in sequential(row, SECONDS)[5:6]]
    batch = WindowReader(store, ("eeg",)).read(places, SFREQ)
    assert batch.signal.shape == (4, 19, 400)
    return LabelledBatch(**vars(batch), label=torch.arange(4) % 2)


def loss(objective: Objective, batch: LabelledBatch) -> float:
    with torch.no_grad():
        return float(objective.eval()(batch, torch.Generator().manual_seed(0))["loss"])


@pytest.mark.parametrize("triple", FITS, ids=lambda t: "-".join(map(str, t)))
def test_what_fits_trains_on_the_sample(triple: Triple, given: LabelledBatch) -> None:
    objective = join(*triple)
    objective.begin(given)
    optimizer = Train(lr=2e-3).optimizer(objective)
    before, step = loss(objective, given), 0
    while loss(objective, given) > 0.97 * before:
        assert step < STEPS
        objective.train().advance()
        terms = objective(given, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        step += 1


def test_what_does_not_fit_is_refused_in_a_sentence_before_there_is_data() -> None:
    refused = {triple: str(error) for triple, error in outcomes().items() if error is not None}
    assert len(refused) > len(FITS) > 40
    for sentence in refused.values():
        assert sentence.count("\n") == 0
        assert sentence.endswith(".")
        assert "; " in sentence  # what was met and wanted; what to do


def test_every_class_fits_somewhere() -> None:
    for place, names in enumerate((TOKENIZERS, BACKBONES, list(OBJECTIVES))):
        assert {triple[place] for triple in FITS} == set(names)


# ------------------------------------------------------------------ heads

# What each backbone reads in its paper.
READS = {
    "MotifEncoder": "Frozen",
    "BiMamba": "MontagePatches",
    "StateSpaceDenoiser": "MuLawPatches",
}


def head_options(name: str, features: Features, n_layers: int) -> dict[str, object]:
    """Return what a head has to be told of the tokens that it gets."""
    times = features.time.unique()
    n_channels = len(features.channel.unique())
    steps = {"n_steps": len(times), "seconds": float(times[1] - times[0])}
    return {
        "LatentFusionHead": {"n_layers": n_layers, "n_pools": 2, "n_tokens": 2, "depth": 1},
        "StampHead": {"n_channels": n_channels, **steps, "width": 16, "depth": 1},
    }.get(name, {})


@pytest.mark.parametrize(
    ("backbone", "head"), list(product(classes("backbones"), classes("heads"))), ids=str
)
def test_every_backbone_feeds_every_head(backbone: str, head: str, given: LabelledBatch) -> None:
    torch.manual_seed(0)
    reads = READS.get(backbone, "Patches")
    odd = {"width": 35} if reads == "MontagePatches" else {}
    tokenizer = make(classes("tokenizers")[reads], **odd)
    body = make(classes("backbones")[backbone], tokenizer.dim)
    features = body(tokenizer(given))
    options = head_options(head, features, body.depth if "Denoiser" in backbone else 1)
    built_head = classes("heads")[head](body.dim, 2, **options)
    scores = built_head(features)
    assert scores.shape == (4, 2)
    scores.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in built_head.parameters())
    moved = [p.grad for p in body.parameters() if p.grad is not None]
    assert moved
    assert all(bool(g.isfinite().all()) for g in moved)


PRETRAINED = {
    "MotifEncoder": "MaskedCodes",
    "BiMamba": "MaskedRectangles",
    "PatchTransformer": "MaskedSignal, RandomMask",
    "StateSpaceDenoiser": "Diffusion",
}
"""What each backbone is pretrained by in its paper."""


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of every backbone, in its family's tokenizer and objective."""
    assert PRETRAINED.keys() == classes("backbones").keys()
    root = tmp_path_factory.mktemp("checkpoints")
    for backbone, objective in PRETRAINED.items():
        made = join(READS.get(backbone, "Patches"), backbone, objective)
        save(made, root / backbone / "model", CARD)
    return root


@pytest.mark.parametrize(
    ("backbone", "head"), list(product(classes("backbones"), classes("heads"))), ids=str
)
def test_every_checkpoint_is_fine_tuned_with_every_head_and_kept(
    backbone: str,
    head: str,
    given: LabelledBatch,
    store: Path,
    checkpoints: Path,
    tmp_path: Path,
) -> None:
    before = load(checkpoints / backbone)[0]
    with torch.no_grad():
        features = before.backbone(before.tokenizer(given))
    n_layers = before.backbone.depth if "Denoiser" in backbone else 1
    options = head_options(head, features, n_layers)
    X, y = given.signal.numpy(), np.array(["arithmetic", "rest"])[given.label]
    tuned = Finetuned(
        checkpoints / backbone,
        "full",
        head=partial(classes("heads")[head], **options),
        train=replace(FULL, steps=2, warmup=1, validate_every=0),
        sensors=WindowReader(store, ("eeg",)).sensors(given.recording[0]).sensors,
        sfreq=SFREQ,
    ).fit(X, y)
    weights = [dict(m.backbone.named_parameters()) for m in (before, tuned.model_)]
    same = [torch.equal(value, weights[1][name]) for name, value in weights[0].items()]
    assert not all(same)
    proba = tuned.predict_proba(X)
    assert proba.shape == (4, 2)
    tuned.save(tmp_path / "model")
    kept = load(tmp_path)[0]
    assert type(kept.head).__name__ == head
    with torch.no_grad():
        scores = kept.eval().scores(given).double().softmax(-1).numpy()
    np.testing.assert_allclose(scores, proba, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ the page


def reasons() -> dict[tuple[str, int], tuple[str, str]]:
    """Return a letter and an example for every place in the code that refuses."""
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for error in filter(None, outcomes().values()):
        if raised_at(error) not in found:
            found[raised_at(error)] = (string.ascii_lowercase[len(found)], str(error))
    return found


def raised_at(error: UsageError) -> tuple[str, int]:
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


INTRODUCTION = """\
# What can be joined

A model is a tokenizer, a backbone and an objective. This is every combination of brainfm's own, but for
`SeriesBackbone`, which wraps a frozen model of another package ([heads.md](heads.md)): **yes** is trained
on the sample recordings by `tests/test_interchange.py` and lowers its loss; a letter is refused when the
model is built, before any data is read, and says why below. The test writes this page
(`BRAINFM_REWRITE=1 pytest tests/test_interchange.py`) and fails where it is stale.

`MaskedSignal` is trained with each of {masks}. `Cached` and `Pretrained`
are `Frozen`, here around a `MotifTokenizer`. `Classification` and `Regression` are what `brainfm finetune`,
`Finetuned` and `FinetunedRegressor` train, here with a `LinearHead`."""


HEADS = """\
## Heads

Each of {0} feeds each of
{1}: scores and gradients on the sample recordings are finite,
with `BiMamba` at an odd width as FEMBA's. `StampHead` is built for the tokens there are, one a step where a
token is of all channels."""


def page() -> str:
    letters = reasons()
    masked = [name for name in OBJECTIVES if name.startswith("MaskedSignal, ")]
    named = ", ".join(f"`{name.split(', ')[1]}`" for name in masked)
    columns = [name for name in OBJECTIVES if name not in masked[1:]]
    lines = [
        *INTRODUCTION.format(masks=named).splitlines(),
        "",
        f"| tokenizer | backbone | {' | '.join(c.split(',')[0] for c in columns)} |",
        f"|{'---|' * (len(columns) + 2)}",
    ]
    for tokenizer, backbone in product(TOKENIZERS, BACKBONES):
        cells = [cell(outcomes()[tokenizer, backbone, name], letters) for name in columns]
        lines.append(f"| {tokenizer} | {backbone or '–'} | {' | '.join(cells)} |")
    lines += ["", "Why not, with the first that each meets as an example:", ""]
    lines += [f"- {letter}: {sentence}" for letter, sentence in letters.values()]
    both = [", ".join(f"`{name}`" for name in classes(c)) for c in ("backbones", "heads")]
    lines += ["", *HEADS.format(*both).splitlines()]
    return "\n".join([*lines, ""])


def cell(refusal: UsageError | None, letters: dict[tuple[str, int], tuple[str, str]]) -> str:
    return "**yes**" if refusal is None else letters[raised_at(refusal)][0]


def test_a_mask_changes_nothing_about_what_fits() -> None:
    for (tokenizer, backbone, name), refusal in outcomes().items():
        if name.startswith("MaskedSignal, "):
            others = [outcomes()[tokenizer, backbone, n] for n in OBJECTIVES if n[:13] == name[:13]]
            assert {o is None for o in others} == {refusal is None}


def test_the_page_is_what_the_code_says() -> None:
    if os.environ.get("BRAINFM_REWRITE"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "stale: BRAINFM_REWRITE=1 pytest tests/test_interchange.py"
    )


# ------------------------------------------------------------------ the page about the models

MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


@cache
def built(name: str) -> Objective:
    return load_model(ROOT / "configs" / "models" / f"{name}.yaml").build(0)


@pytest.mark.parametrize("name", ["tfm", "tfm-encoder", "femba-tiny", "eegdm", "patch-transformer"])
def test_the_page_has_each_model_s_parts_and_size(name: str) -> None:
    objective = built(name)
    row = next(line for line in MODELS.splitlines() if line.startswith(f"| `{name}`"))
    n = count_parameters(objective)
    assert f" {n:,} " in row or f" {n / 1e6:.2f}," in row
    parts = (objective.tokenizer, objective.backbone, objective)
    assert all(f"`{type(part).__name__}`" in row for part in parts if part is not None)


FAMILY = {"motif tokenizer": "tfm", "FEMBA": "femba-tiny", "EEGDM": "eegdm"}


def test_the_page_s_defaults_are_the_code_s() -> None:
    text = MODELS.split("## Where code and paper differ")[1].split("\n## ")[0]
    model, checked = "", 0
    for cells in (re.split(r" ?\| ?", line) for line in text.splitlines() if line.startswith("|")):
        model = cells[1] or model
        options = re.findall(r"`((?:tokenizer|backbone|objective)\.\w+)`", cells[2])
        for path, value in zip(options, re.findall(r"\*\*`(.+?)`\*\*", cells[3]), strict=True):
            part, _, option = path.partition(".")
            objective = built(FAMILY[model])
            holder = objective if part == "objective" else getattr(objective, part)
            default = getattr(holder, option)
            assert value == default or float(Fraction(value)) == default, path
            checked += 1
    assert checked > 8


# ------------------------------------------------------------------ what is not ours

HYENA = '''
import torch
from brainfm.contracts import Backbone, Features

class Hyena(Backbone):
    """A backbone of somebody else's: a long convolution."""

    def __init__(self, dim: int, reach: int = 5):
        super().__init__()
        self.dim, self.reach = dim, reach
        self.mix = torch.nn.Conv1d(dim, dim, reach, padding="same")

    def forward(self, tokens, *, layers=False):
        mixed = self.mix(tokens.value.transpose(1, 2)).transpose(1, 2)
        return Features(tokens.value + mixed, tokens.mask, time=tokens.time)
'''


def test_a_backbone_of_another_package_is_pretrained_by_its_path_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebodys_lab.py").write_text(HYENA)
    monkeypatch.syspath_prepend(tmp_path)
    model = {
        "tokenizer": {"class_path": "Patches", "init_args": SIZES["Patches"]},
        "backbone": {"class_path": "somebodys_lab.Hyena", "init_args": {"reach": 3}},
        "objective": {"class_path": "MaskedSignal", "init_args": {"mask": "ChannelMask"}},
    }
    train = {"steps": 2, "batch_size": 2, "warmup": 1, "validate_every": 2, "accelerator": "cpu"}
    data = {"store": str(store), "seconds": SECONDS, "validation": 0.5}
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({"model": model, "data": data, "train": train})
    )
    out = tmp_path / "out"
    assert main(["pretrain", "--config", str(tmp_path / "run.yaml"), "--out", str(out)]) == 0
    loaded, card = load(out)
    assert (type(loaded.backbone).__module__, loaded.backbone.reach) == ("somebodys_lab", 3)
    assert card["sfreq"] == SFREQ
