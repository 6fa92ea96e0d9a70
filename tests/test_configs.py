"""Every YAML under configs/ builds, is listed and shown; a wrong one is one sentence and exit code 2."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sklearn.base import is_regressor

from brainfm.cli import VERBS, build_parser, main
from brainfm.contracts import Objective
from brainfm.evaluation import NumberLabels, Task
from brainfm.recordings.recipe import load_recipe
from brainfm.stages.listing import describe_model
from brainfm.stages.model import load_model
from brainfm.windows.derivations import channel_key
from brainfm.windows.views import TCP

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
MODELS, DATASETS, TASKS, RUNS = (
    sorted((CONFIGS / kind).glob("*.yaml")) for kind in ("models", "datasets", "tasks", "runs")
)
EVERY = [*MODELS, *DATASETS, *TASKS, *RUNS]
# What a run is for stands at the end of its name.
VERB_OF = {
    "tokenizer": "pretrain", "pretrain": "pretrain", "finetune": "finetune", "evaluate": "evaluate",
}  # fmt: skip


def by_name(path: Path) -> str:
    return path.stem


def built(verb: str, *arguments: str):
    """Build the values of a command's arguments, as the command line does."""
    module, function = VERBS[verb].stage.split(":")
    stage = getattr(importlib.import_module(f"brainfm.stages.{module}"), function)
    parser = build_parser(f"brainfm {verb}", VERBS[verb], stage)
    return parser.instantiate(parser.parse_args(list(arguments)))


def complaint(capsys, *arguments: str) -> str:
    """Return the one sentence that a wrong call is answered with."""
    capsys.readouterr()
    code = main(arguments)
    err = capsys.readouterr().err
    assert code == 2, err
    assert len(err.splitlines()) == 1
    assert err.startswith("brainfm: ")
    assert "Traceback" not in err
    return err


# ------------------------------------------------------------------ what is there


def test_every_file_is_of_a_known_kind():
    assert sorted(EVERY) == sorted(p for p in CONFIGS.rglob("*") if p.is_file())
    assert len({p.stem for p in EVERY}) == len(EVERY), "`brainfm show NAME` needs unique names"


@pytest.mark.parametrize("path", MODELS, ids=by_name)
def test_a_model_builds(path):
    model = load_model(path)
    assert isinstance(model.build(0), Objective)
    facts = describe_model(path)
    assert facts["paper"]
    assert sum(facts["parts"].values()) == facts["parameters"] > 0


def test_the_motif_tokenizer_has_the_size_of_the_released_one():
    facts = describe_model(CONFIGS / "models" / "tfm.yaml")
    assert facts["parameters"] == 1_166_100
    assert facts["vocabulary"] == 8192
    assert facts["tokens"] == [16 * 9, 64]  # 1 s windows every half second of 5 s


@pytest.mark.parametrize("path", DATASETS, ids=by_name)
def test_a_recipe_builds_and_says_whom_to_cite(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.citation
    assert recipe.licence
    assert recipe.url.startswith("https://")


@pytest.mark.parametrize("path", TASKS, ids=by_name)
def test_a_task_builds(path):
    task = built("finetune", "--task", str(path), "--checkpoint", "any", "--out", "any").task
    assert isinstance(task, Task)
    assert task.name == path.stem
    assert len(task.classes) >= 2 or isinstance(task.label, NumberLabels)
    assert task.metrics


@pytest.mark.parametrize("path", RUNS, ids=by_name)
def test_a_run_builds(path):
    values = built(VERB_OF[path.stem.rsplit("-", maxsplit=1)[-1]], "--config", str(path))
    assert not values.out.is_absolute()
    if "model" in values:
        assert isinstance(values.model.build(values.seed), Objective)
    if "estimators" in values:
        assert values.reference in values.estimators
        for estimator in values.estimators.values():
            told = (
                hasattr(estimator, "predict_proba")
                if values.task.classes
                else is_regressor(estimator)
            )
            assert told


@pytest.mark.parametrize("path", EVERY, ids=by_name)
def test_a_configuration_is_shown(path, capsys):
    assert main(["show", path.stem, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["is"]) == (path.stem, path.parent.name)
    assert ("parameters" in shown) == (path in MODELS)


def test_every_configuration_is_listed(capsys):
    assert main(["list"]) == 0
    everything = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for path in EVERY:
        assert main(["list", path.parent.name]) == 0
        line = next(x for x in capsys.readouterr().out.splitlines() if x.split()[0] == path.stem)
        assert " ".join(line.split()) in everything
        if path in [*TASKS, *RUNS]:
            said = line.partition(path.stem)[2].strip()
            assert len(said) <= 100, f"the first line of {path.name} is what `list` says"
            assert said.endswith(".")


# ------------------------------------------------------------------ what is wrong


@pytest.fixture
def run_with(tmp_path):
    """Write the quickstart's tokenizer run with a change, and return its path."""

    def write(change) -> str:
        config = yaml.safe_load((CONFIGS / "runs" / "quickstart-tokenizer.yaml").read_text())
        config["model"] = yaml.safe_load((CONFIGS / "models" / "tfm.yaml").read_text())
        config["out"] = str(tmp_path / "out")
        change(config)
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


WRONG = {
    "misspelt key": (lambda c: c["train"].update(stepps=3), "stepps"),
    "misspelt key at the top": (lambda c: c.update(sead=3), "sead"),
    "misspelt option of a class": (
        lambda c: c["model"]["tokenizer"]["init_args"].update(n_kodes=8),
        "n_kodes",
    ),
    "wrong type": (lambda c: c["train"].update(steps="many"), "train.steps"),
    "wrong value": (lambda c: c["train"].update(steps=0), "train.steps is 0"),
    "unknown class": (
        lambda c: c["model"]["tokenizer"].update(class_path="MotivTokenizer"),
        "MotifTokenizer",
    ),
    "class of another kind": (
        lambda c: c["model"]["tokenizer"].update(class_path="MotifEncoder", init_args={}),
        "MotifEncoder",
    ),
    "missing key": (lambda c: c["data"].pop("store"), "store"),
    "no store there": (lambda c: c["data"].update(store="nowhere.zarr"), "no store at nowhere"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_run_is_refused_before_anything_is_written(wrong, run_with, tmp_path, capsys):
    change, named = WRONG[wrong]
    assert named in complaint(capsys, "pretrain", "--config", run_with(change))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title: x\n", "'title'"),
        ("sfreq: fast\n", "sfreq"),
        ("kinds: [eggs]\n", "eggs"),
        ("a: [1\n", "not YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_written(text, named, tmp_path, capsys):
    recipe, store = tmp_path / "recipe.yaml", tmp_path / "s.zarr"
    recipe.write_text(text)
    call = ("ingest", str(ROOT / "sample"), "--store", str(store), "--recipe", str(recipe))
    assert named in complaint(capsys, *call)
    assert not store.exists()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (("pretain",), "pretrain"),
        (("show", "tmf"), "tfm"),
        (("list", "modelz"), "models"),
        (("pretrain", "--config", "no-such-file.yaml"), "no-such-file.yaml"),
        (("status", "s.zarr", "--jsno"), "jsno"),
        (("evaluate", "--out", "x", "--estimators.a", "brainfm.baselines.mmd"), "mmd"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_refused(call, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named in complaint(capsys, *call)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verb", "key", "given"),
    [
        ("evaluate", "task", "tuab-abnormal"),
        ("finetune", "task", "../tasks/none.yaml"),
        ("pretrain", "model", "tfm"),
    ],
)
def test_a_bare_name_in_a_file_is_sent_to_the_command_line(verb, key, given, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({key: given}))
    said = complaint(capsys, verb, "--config", str(tmp_path / "run.yaml"))
    assert f"{key}: there is no file {given!r}" in said
    assert f"`brainfm list {key}s`" in said
    assert f"--{key} NAME" in said
    assert len(said) < 300


# ------------------------------------------------------------------ what is not ours

HYENA = '''
from brainfm.contracts import Backbone, Features

class Hyena(Backbone):
    """A backbone of somebody else's."""

    def __init__(self, dim: int, order: int = 2):
        super().__init__()
        self.dim, self.order = dim, order

    def forward(self, tokens, *, layers=False):
        return Features(tokens.value, tokens.mask)
'''


def test_a_class_of_another_package_is_named_by_its_path(tmp_path):
    (tmp_path / "mylab.py").write_text(HYENA)
    config = yaml.safe_load((CONFIGS / "models" / "tfm-encoder.yaml").read_text())
    config["backbone"] = {"class_path": "mylab.Hyena", "init_args": {"order": 3}}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(config))
    code = (
        "from pathlib import Path; from brainfm.stages.model import load_model; "
        "print(load_model(Path('model.yaml')).build(0).backbone.order)"
    )
    # In a process of its own: the walk over subclasses would put this class to the laws too.
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "3", done.stderr


# ------------------------------------------------------------------ the papers' recipes


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("femba-pretrain", {"algorithm": "lamb", "lr": 1e-3, "batch_size": 1024, "clip": 1.0}),
        ("eegdm-pretrain", {"lr": 1e-4, "final_lr": 1e-4, "weight_decay": 0.0, "clip": 1.0}),
        ("tfm-tokenizer", {"lr": 1e-3, "final_lr": 5e-3, "batch_size": 256, "betas": (0.9, 0.99)}),
        ("tfm-pretrain", {"lr": 1e-3, "batch_size": 512, "betas": (0.9, 0.999)}),
    ],
)
def test_a_paper_s_recipe_says_its_numbers(name, wanted):
    train = built("pretrain", "--config", str(CONFIGS / "runs" / f"{name}.yaml")).train
    assert {k: getattr(train, k) for k in wanted} == wanted


def test_eegdm_s_recipe_has_its_own_order_and_signs():
    published = (
        "FP1-F7, F7-T3, T3-T5, T5-O1, FP2-F8, F8-T4, T4-T6, T6-O2, A1-T3, T3-C3, C3-CZ, C4-CZ, T4-C4, A2-T4, "
        "FP1-F3, F3-C3, C3-P3, P3-O1, FP2-F4, F4-C4, C4-P4, P4-O2"
    )
    pairs = built(
        "pretrain", "--config", str(CONFIGS / "runs" / "eegdm-pretrain.yaml")
    ).data.view.pairs
    ours, femba = [channel_key(p) for p in pairs], [channel_key(p) for p in TCP[22]]
    assert ours == [channel_key(p) for p in published.split(", ")]
    turned = [p for p, key in zip(pairs, ours, strict=True) if key not in femba]
    assert turned == ["C4-Cz", "T8-C4", "A2-T8"]
    assert all(key[::-1] in femba for key in ours if key not in femba)


def test_eegdm_s_recipe_can_be_made_fit_for_what_lacks_derivations():
    options = ("--data.view.min_coverage", "0.7", "--model.backbone.segment", "5")
    run = built("pretrain", "--config", str(CONFIGS / "runs" / "eegdm-pretrain.yaml"), *options)
    assert (run.data.view.min_coverage, len(run.data.view.pairs)) == (0.7, 22)
    assert run.model.build(0).backbone.segment == 5


@pytest.mark.parametrize(
    "options",
    [
        line.split("`")[1]
        for line in (ROOT / "docs" / "training.md").read_text().splitlines()
        if line.startswith("|") and "--train.lr" in line and "the same head" not in line
    ],
)
def test_a_documented_fine_tuning_is_a_call(options):
    call = ("--task", str(TASKS[0]), "--checkpoint", "any", "--out", "any", *options.split())
    assert built("finetune", *call).train.lr > 0
