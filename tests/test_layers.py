"""Who may import whom, and that the check would notice."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "brainfm"
MODULES = sorted(PACKAGE.rglob("*.py"))
CONTRACTS = (
    "Data flows one way",
    "Models know no files",
    "Files know no models",
    "mne lives in recordings, zarr in store, lightning in learning, pyriemann in baselines",
)


def lint(folder: Path) -> tuple[int, str]:
    """Check the package in ``folder`` against the contracts of its pyproject.toml."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()",
         "--config", str(folder / "pyproject.toml"), "--no-cache", "--no-logo"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the package, in which rules may be broken."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "brainfm", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_contract_is_kept():
    code, report = lint(ROOT)
    assert code == 0, report
    for name in CONTRACTS:
        assert f"{name} KEPT" in report


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("backbones/motif_encoder.py", "import brainfm.windows", CONTRACTS[1:2]),
        ("evaluation/metrics.py", "import brainfm.learning", CONTRACTS[:1]),
        ("objectives/masks.py", "import zarr", CONTRACTS[1:2]),
        ("store/read.py", "import torch", CONTRACTS[2:3]),
        ("stages/tokenize.py", "import mne", CONTRACTS[3:]),
        ("utils/__init__.py", "", CONTRACTS[:1]),
    ],
)
def test_a_broken_rule_is_caught_by_name(copied, module, line, broken):
    path = copied / "brainfm" / module
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        code, report = lint(copied)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)
    assert code == 1, report
    if before is None:  # a folder without a place is refused before the contracts are looked at
        assert "utils" in report
        return
    for name in CONTRACTS:
        assert f"{name} {'BROKEN' if name in broken else 'KEPT'}" in report, report


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_named_for_its_idea_says_it_and_is_short(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert path.stem not in ("utils", "util", "helpers", "common", "misc", "tools")
    assert len(text.splitlines()) <= 350
