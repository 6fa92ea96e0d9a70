"""What the project promises of itself: light imports, a small repository, one version."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import brainfm

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "mne", "lightning", "zarr", "pandas", "sklearn", "pyriemann", "matplotlib")
# Written so that the patterns do not find themselves.
MACHINES = r"/hom[e]/\w|/roo[t]/|/Use[r]s/\w|/wor[k]/|/far[m]|[A-Z]:\\Use[r]s|/tmp/(data|w)\b"


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git keeps."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files are kept")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def imported(code: str) -> set[str]:
    """Return the packages that a fresh process has imported after ``code``."""
    end = "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code + end], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import brainfm",
        "from brainfm.cli import main; assert main(['--help']) == 0",
        "from brainfm.cli import main; assert main(['pretain']) == 2",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    assert not imported(code) & set(HEAVY)


def test_what_python_users_need_is_at_the_top():
    assert set(brainfm.__all__) >= {"Finetuned", "baselines", "load", "open_store"}
    for name in brainfm.__all__:
        assert getattr(brainfm, name) is not None
    with pytest.raises(AttributeError, match="Finetund"):
        _ = brainfm.Finetund


def test_the_repository_is_small(tracked):
    sample = [path for path in tracked if path.is_relative_to(ROOT / "sample")]
    assert sum(path.stat().st_size for path in sample) <= 16e6
    assert [p for p in tracked if p not in sample and p.stat().st_size > 2e6] == []


def test_no_path_of_a_developer_s_machine_is_kept(tracked):
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked
        if path.suffix != ".edf"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(MACHINES, line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name
)
def test_what_a_benchmark_imports_of_brainfm_is_there(path):
    """Also what it imports late, where nobody sees that a name has moved until it is run again."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("brainfm"):
            module = importlib.import_module(str(node.module))
            missing = [n.name for n in node.names if not hasattr(module, n.name)]
            parts = {m.name for m in pkgutil.iter_modules(getattr(module, "__path__", []))}
            assert set(missing) <= parts, (node.module, missing)


def test_the_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entries = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project["version"] == brainfm.__version__ == citation["version"] == entries[0]
    assert project["license"] == citation["license"]


@pytest.mark.parametrize("script", [".ci/run", "pipelines/quickstart.sh"])
def test_a_script_is_executable_and_parses(script):
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


def test_every_verb_of_the_pipelines_exists():
    from brainfm.cli import VERBS

    for pipeline in (ROOT / "pipelines").glob("*.sh"):
        called = re.findall(r"^\s*brainfm (\w+)", pipeline.read_text(), re.MULTILINE)
        assert called
        assert set(called) <= set(VERBS)


def test_the_image_copies_what_is_there():
    wanted = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    kept = (ROOT / ".dockerignore").read_text().split()
    for name in " ".join(wanted).split():
        assert (ROOT / name).exists()
        assert f"!{name}" in kept


def test_every_target_that_is_promised_is_there():
    helped = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {"help", "quickstart", "test", "check"} <= {
        line.split()[0] for line in helped.splitlines()
    }
