"""The README's commands and programs work.

What stands under the headings of `RUN` is really run, in its order, in an empty folder with a few small
synthetic recordings; trainings are cut to two steps and nothing else is changed. All other commands are
parsed.
"""

import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr

from brainfm.cli import VERBS, build_parser, main, name_files
from brainfm.recordings.synthetic import synthesise, write_edf

ROOT = Path(__file__).parents[1]
RUN = ("Your own recordings", "What there is, and what it costs", "From Python")
SHORTER = ("--train.steps", "2", "--train.batch_size", "2", "--train.warmup", "1")


@dataclass(frozen=True)
class Block:
    """A block of code, and the heading that it stands under."""

    heading: str
    language: str
    text: str


def blocks(name: str) -> list[Block]:
    """Return the blocks of code of a Markdown file."""
    text, found, heading, language, lines = (ROOT / name).read_text(), [], "", None, []
    for line in text.splitlines():
        if line.startswith("```"):
            if language is None:
                language, lines = line[3:], []
            else:
                found.append(Block(heading, language, "\n".join(lines)))
                language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("## "):
            heading = line[3:]
    return found


def commands(block: Block) -> list[list[str]]:
    """Return the commands of a block as lists of words."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


README = blocks("README.md")
COMMANDS = [
    pytest.param(words, id=" ".join(words)[:60])
    for block in README + blocks("CONTRIBUTING.md")
    if block.language == "bash"
    for words in commands(block)
]


def test_there_are_blocks_to_test():
    assert {b.heading for b in README} >= set(RUN)
    assert {b.language for b in README} == {"", "bash", "yaml", "python"}
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_is_one_that_exists(words, monkeypatch, tmp_path):
    assert words[0] in ("brainfm", "make")
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    monkeypatch.chdir(yours(tmp_path))
    verb = VERBS[words[1]]
    module, function = verb.stage.split(":")
    stage = getattr(importlib.import_module(f"brainfm.stages.{module}"), function)
    arguments = [word for word in words[2:] if word != "--print_config"]
    build_parser(f"brainfm {words[1]}", verb, stage).parse_args(name_files(arguments))


def yours(folder: Path) -> Path:
    """Lay the README's YAML and our configs/ into a folder, as a reader would have them."""
    (folder / "configs").symlink_to(ROOT / "configs")
    (folder / "my").mkdir()
    for block in README:
        if block.language == "yaml":
            name = block.text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(block.text + "\n")
    return folder


def record(folder: Path) -> None:
    """Write recordings of five subjects, named as the README's are."""
    for recording in synthesise(5, seconds=10.0):
        task = {"1": "rest", "2": "arithmetic"}[recording.run]
        name = f"sub-{int(recording.subject) + 1:02d}_task-{task}_eeg.edf"
        write_edf(recording, folder).rename(folder / name)


def test_what_is_written_there_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(yours(tmp_path))
    record(tmp_path / "recordings")
    for block in README:
        if block.heading not in RUN:
            continue
        if block.language == "python":
            exec(compile(block.text, "README.md", "exec"), {"__name__": "readme"})
        for words in commands(block) if block.language == "bash" else ():
            shown = "--print_config" in words
            short = SHORTER if words[1] == "pretrain" and not shown else ()
            try:
                code = main([*words[1:], *short])
            except SystemExit as stop:  # how jsonargparse ends after --print_config
                code = stop.code or 0
            assert code == 0, (words, capsys.readouterr().err)
    assert (tmp_path / "my" / "benchmark" / "report.html").stat().st_size > 0
    assert "sub-01" in capsys.readouterr().out


def test_what_the_page_of_the_store_says_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "recordings")
    assert main(["ingest", "recordings", "--store", "my/store.zarr"]) == 0
    (python,) = [block for block in blocks("docs/store.md") if block.language == "python"]
    exec(compile(python.text, "store.md", "exec"), seen := {"__name__": "page"})
    entry = seen["store"].entry(seen["first"])
    array = zarr.open_group("my/store.zarr")[f"recordings/{seen['first']}"]
    counts, scale = array["signal"][:, :400], array["scale"][0]
    np.testing.assert_allclose(
        counts * scale[:, None], seen["store"].read(entry.id, 0, 400), rtol=1e-6
    )


def test_every_link_leads_to_a_file():
    docs = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
    for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", *docs):
        path = ROOT / name
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
            assert target.startswith("https://") or (path.parent / target).exists(), target


def test_the_tree_is_the_real_one():
    tree = next(block.text for block in README if block.text.startswith("brainfm/\n"))
    inside = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")}
    there = {p.name for p in (ROOT / "brainfm").iterdir() if p.is_dir() or p.suffix == ".py"}
    there -= {"__init__.py", "__pycache__"}
    assert inside == there
    for line in tree.splitlines():
        if not line.startswith("  "):
            assert (ROOT / line.split()[0]).exists()
