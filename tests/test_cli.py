"""The command line as a user meets it: exit codes, one sentence, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from test_watching import Terminal

from brainfm.cli import main
from brainfm.learning.callbacks import SPEED
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.synthetic import synthesise
from brainfm.store.hold import create_store, writing
from brainfm.store.write import write_recording
from brainfm.weights import load

MODEL = {
    "tokenizer": {
        "class_path": "MotifTokenizer",
        "init_args": {"n_codes": 16, "frequency_depth": 1, "temporal_depth": 1, "decoder_depth": 1},
    },
    "objective": "MotifReconstruction",
}
TRAIN = {
    "steps": 6,
    "batch_size": 2,
    "warmup": 2,
    "validate_every": 4,
    "log_every": 3,
    "checkpoint_every": 2,
    "accelerator": "cpu",
}


def make_store(path: Path, recipe: Recipe, sfreq: float = 200.0) -> Path:
    create_store(path, recipe.preprocessing, recipe.preprocessing_hash)
    with writing(path):
        for recording in synthesise(3, seconds=6.0, sfreq=sfreq):
            write_recording(path, recording, "0" * 64)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small store and the configuration of a small training."""
    folder = tmp_path_factory.mktemp("cli")
    make_store(folder / "s.zarr", Recipe())
    data = {"store": str(folder / "s.zarr"), "seconds": 2.0, "validation": 0.3}
    config = {"model": MODEL, "data": data, "train": TRAIN, "seed": 3}
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    assert main(["pretrain", "--config", str(place / "run.yaml"), "--out", str(place / "run")]) == 0
    return place / "run"


def pretrain(place: Path, out: Path, *more: str) -> list[str]:
    return ["pretrain", "--config", str(place / "run.yaml"), "--out", str(out), *more]


def refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str, code: int = 2
) -> str:
    """Check that a call ends with one sentence that holds these words."""
    capsys.readouterr()
    assert main(arguments) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("brainfm: ")
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    for word in words:
        assert word in told.err, (word, told.err)
    return told.err


# ------------------------------------------------------------------ wrong calls


def test_an_unknown_verb_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["pretrian"], "'pretrian'", "pretrain", "evaluate")


def test_no_verb_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: brainfm VERB" in capsys.readouterr().out
    assert main(["--help"]) == 0


WRONG = {
    "misspelt option": (["--train.stepz", "3"], ["stepz"]),
    "abbreviated option": (["--train.step", "3"], ["step"]),
    "wrong type": (["--train.steps", "many"], ["train.steps is 'many'; wanted is a whole number."]),
    "wrong type of what may be null": (
        ["--train.average", "much"],
        ["wanted is a number or null."],
    ),
    "wrong type inside": (
        ["--slurm.nodes", "x"],
        ["slurm.nodes is 'x'; wanted is a whole number."],
    ),
    "misspelt option inside": (
        ["--slurm.bad", "2"],
        ["slurm: ", "has no option 'bad'", "partition"],
    ),
    "missing inside": (["--data.beside", "[{weight: 2}]"], ["data.beside: Missing: store;"]),
    "no list": (["--data.kinds", "eeg"], ["data.kinds is 'eeg'; wanted is a list such as [a, b]."]),
    "impossible value": (["--train.steps", "0"], ["train.steps is 0"]),
    "wrong choice": (
        ["--train.precision", "8"],
        ["train.precision is '8'; wanted is one of '32-true'"],
    ),
    "misspelt component": (
        ["--model.tokenizer", "MotivTokenizer"],
        ["MotivTokenizer", "MotifTokenizer"],
    ),
    "misspelt argument of a component": (
        ["--model.tokenizer.init_args.n_kodes", "3"],
        ["n_kodes"],
    ),
    "foreign combination": (
        ["--model.objective", "MaskedCodes"],
        ["MaskedCodes predicts discrete codes"],
    ),
    "no such store": (["--data.store", "nowhere.zarr"], ["nowhere.zarr", "brainfm ingest"]),
    "unknown subject": (["--data.exclude_subjects", "[nobody]"], ["nobody", "'00'"]),
    "missing kind": (["--data.kinds", "[mag]"], ["mag", "eeg"]),
    "too long windows": (["--data.seconds", "60"], ["60 s", "6 s"]),
    "odd windows": (["--data.seconds", "0.0012345"], ["whole number"]),
    "no such tokenizer": (["--tokenizer", "nowhere"], ["nowhere"]),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_call_leaves_one_sentence_and_nothing_else(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    more, words = WRONG[name]
    refused(capsys, pretrain(place, tmp_path / "out", *more), *words)
    assert not (tmp_path / "out").exists()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    refused(capsys, pretrain(place, kept, *more))
    assert [p.name for p in kept.iterdir()] == ["notes.txt"]


def test_a_missing_configuration_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, ["pretrain", "--config", str(tmp_path / "none.yaml")], "none.yaml")


def test_a_misspelt_key_in_the_configuration_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((place / "run.yaml").read_text())
    config["data"]["sekonds"] = 3
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    refused(capsys, pretrain(tmp_path, tmp_path / "out"), "sekonds")
    (tmp_path / "run.yaml").write_text("model: [")
    refused(capsys, pretrain(tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_missing_option_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, ["pretrain", "--config", str(place / "run.yaml")])
    assert told.strip() == (
        "brainfm: Missing: out; give each on the command line or in a file that --config names, see --help."
    )
    refused(capsys, ["finetune"], "task.name", "checkpoint", "--task NAME gives what begins so")


def test_a_misspelt_adaptation_lists_the_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        capsys, ["finetune", "--adaptation", "prob"], "'prob'", "probe, ridge, full, lora", "LoRA"
    )


def test_the_traceback_comes_with_debug(place: Path) -> None:
    with pytest.raises(ValueError, match="There is no verb"):
        main(["nothing", "--debug"])


# ------------------------------------------------------------------ show and list


def test_show_suggests_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["show", "tmf"], "did you mean 'tfm'?", "tfm-encoder")


def test_show_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "tfm", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"] == 1_166_100
    assert told["tokens"] == [144, 64]
    assert main(["show", "tfm-encoder", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parts"]["tokenizer"] == 0
    assert told["parts"]["backbone"] == 724_998 - 6 * 65
    assert told["features"] == [144, 64]
    assert told["parameters"] == sum(told["parts"].values())


def test_list_names_every_component(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    for name in ("tfm", "MotifEncoder", "MotifTokenizer", "MaskedCodes", "LinearHead", "eegmat"):
        assert f"  {name} " in told
    refused(capsys, ["list", "modles"], "modles", "models")


# ------------------------------------------------------------------ runs


def test_a_run_leaves_what_is_promised(trained: Path) -> None:
    left = {p.name for p in trained.iterdir()}
    assert left == {
        *("config.yaml", "last.ckpt", "manifest.json", "metrics.csv", "model", "tensorboard")
    }
    model, card = load(trained)
    assert card["sfreq"] == 200.0
    assert card["unit"] == "SI: V, T, T/m"
    assert card["kinds"] == ["eeg"]
    assert card["seed"] == 3
    assert card["data"]["subjects"] == ["00", "01", "02"]
    assert len(card["data"]["fingerprints"]) == 6
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["seed"] == 3
    assert {"torch", "zarr"} <= set(manifest["versions"])
    assert model.tokenizer.n_codes == 16


def test_a_finished_run_is_left_alone(
    place: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in trained.rglob("*")}
    assert main(pretrain(place, trained)) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in trained.rglob("*")} == before


def test_a_folder_with_another_run_is_refused(
    place: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "config.yaml").read_bytes()
    words = ("seed is 3 there and 4 now", "choose another --out")
    refused(capsys, pretrain(place, trained, "--seed", "4"), *words)
    assert (trained / "config.yaml").read_bytes() == before


def same_run(first: Path, other: Path) -> None:
    ours, theirs = (load(folder)[0].state_dict() for folder in (first, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(v, theirs[k]) for k, v in ours.items())
    tables = [
        pd.read_csv(folder / "metrics.csv").drop(columns=list(SPEED)) for folder in (first, other)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_the_resolved_configuration_gives_the_run_again(
    place: Path, trained: Path, tmp_path: Path
) -> None:
    config = str(trained / "config.yaml")
    assert main(["pretrain", "--config", config, "--out", str(tmp_path / "again")]) == 0
    same_run(trained, tmp_path / "again")


def test_the_printed_configuration_gives_the_run_again(
    place: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(pretrain(place, tmp_path / "again", "--print_config"))
    assert not done.value.code
    assert not (tmp_path / "again").exists()
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert main(["pretrain", "--config", str(tmp_path / "printed.yaml")]) == 0
    same_run(trained, tmp_path / "again")


MAIN = "import sys; from brainfm.cli import main; sys.exit(main())"


def test_a_killed_training_goes_on(place: Path, tmp_path: Path) -> None:
    def command(name: str) -> list[str]:
        return pretrain(place, tmp_path / name, "--train.steps", "60")

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", MAIN, *command("killed")], env=environment)
    started = time.monotonic()
    while not (tmp_path / "killed" / "last.ckpt").exists():
        assert process.poll() is None
        assert time.monotonic() - started < 60
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "model").exists()
    for name in ("killed", "whole"):
        assert main(command(name)) == 0
    same_run(tmp_path / "killed", tmp_path / "whole")


def test_ctrl_c_is_one_sentence_and_the_run_goes_on(place: Path, tmp_path: Path) -> None:
    command = pretrain(place, tmp_path / "run", "--train.steps", "100")
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    while not (tmp_path / "run" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.decode() == "brainfm: Interrupted; the same command goes on where it stopped.\n"
    assert main(command) == 0
    assert (tmp_path / "run" / "manifest.json").exists()


def test_a_named_configuration_needs_no_path(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "--model", "tfm", "--data.store", "s", "--out", "o", "--print_config"])
    assert end.value.code == 0
    assert "n_codes: 8192" in capsys.readouterr().out
    refused(capsys, ["pretrain", "--model", "tmf", "--out", "o"], "'tmf'", "did you mean 'tfm'")


def test_a_folder_of_the_name_of_a_configuration_is_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A data set unpacks into a folder of its name, and a run may be written to one of its model's."""
    monkeypatch.chdir(tmp_path)
    for name in ("tfm", "eegmat"):
        Path(name).mkdir()
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "--model", "tfm", "--data.store", "s", "--out", "tfm", "--print_config"])
    assert end.value.code == 0
    refused(
        capsys, ["ingest", "eegmat", "--recipe", "eegmat", "--store", "s.zarr"], "The folder eegmat"
    )


# ------------------------------------------------------------------ checkpoints and stores


def test_a_checkpoint_of_other_recordings_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = make_store(tmp_path / "slow.zarr", Recipe(sfreq=100.0, h_freq=40.0), sfreq=100.0)
    narrow = make_store(tmp_path / "narrow.zarr", Recipe(h_freq=30.0))
    for store, word in ((slow, "trained at 200 Hz"), (narrow, "preprocessed otherwise")):
        tokens = tmp_path / "t.zarr"
        call = ["tokenize", str(store), "--checkpoint", str(trained), "--tokens", str(tokens)]
        refused(capsys, call, word)
        assert not tokens.exists()
    config = {"model": MODEL, "data": {"store": str(slow), "seconds": 2.0}, "train": TRAIN}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    refused(capsys, pretrain(tmp_path, tmp_path / "out"), "200 Hz", "100 Hz", "recipe")
    encoder = {
        "tokenizer": {"class_path": "Frozen", "init_args": {"tokenizer": MODEL["tokenizer"]}},
        "backbone": {"class_path": "MotifEncoder", "init_args": {"vocabulary": 16}},
        "objective": "MaskedCodes",
    }
    config |= {"model": encoder, "data": {"store": str(narrow), "seconds": 2.0}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    refused(capsys, pretrain(tmp_path, tmp_path / "out"), "never trained", "--tokenizer")
    more = ("--tokenizer", str(trained))
    refused(capsys, pretrain(tmp_path, tmp_path / "out", *more), "preprocessed otherwise")
    assert not (tmp_path / "out").exists()


def test_a_montage_beyond_the_channel_table_is_refused_before_anything_is_written(
    place: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = {
        "tokenizer": {"class_path": "Frozen", "init_args": {"tokenizer": MODEL["tokenizer"]}},
        "backbone": {"class_path": "MotifEncoder", "init_args": {"vocabulary": 16}},
        "objective": "MaskedCodes",
    }
    data = {"store": str(place / "s.zarr"), "seconds": 2.0, "validation": 0.3}
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({"model": encoder, "data": data, "train": TRAIN, "tokenizer": str(trained)})
    )
    refused(capsys, pretrain(tmp_path, tmp_path / "out"), "19 channels", "n_channels")
    assert not (tmp_path / "out").exists()


def test_an_evaluation_that_is_refused_leaves_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {
        "name": "rhythm",
        "store": str(place / "nowhere.zarr"),
        "label": {
            "class_path": "RecordingLabels",
            "init_args": {"column": "run", "classes": {"1": "rhythm", "2": "none"}},
        },
        "seconds": 2.0,
    }
    estimators = {"mdm": {"class_path": "brainfm.baselines.mdm"}}
    config = {"task": task, "estimators": estimators, "folds": {"folds": 2}, "seeds": [0]}
    (tmp_path / "bench.yaml").write_text(yaml.safe_dump(config))
    call = ["evaluate", "--config", str(tmp_path / "bench.yaml"), "--out", str(tmp_path / "out")]
    refused(capsys, call, "no store")
    assert not (tmp_path / "out").exists()


def test_a_missing_store_ends_status_and_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("status", "verify"):
        refused(capsys, [verb, str(tmp_path / "none.zarr")], "none.zarr")


@pytest.mark.parametrize(("stream", "bar"), [(Terminal, True), (StringIO, False)])
def test_a_long_verb_shows_a_bar_on_a_terminal_and_nothing_elsewhere(
    place: Path, monkeypatch: pytest.MonkeyPatch, stream: type[StringIO], bar: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", told := stream())
    assert main(["verify", str(place / "s.zarr")]) == 0
    assert ("100%" in told.getvalue()) is bar
    assert bool(told.getvalue()) is bar
