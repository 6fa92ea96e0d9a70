"""The recordings of this repository as a store, for what is timed on real EEG."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from brainfm.cli import main as brainfm

ROOT = Path(__file__).parents[1]


def ingest_sample(store: Path) -> None:
    """Bring the sample into a store, without a word."""
    with redirect_stdout(StringIO()):
        if brainfm(
            ["ingest", str(ROOT / "sample/eegmat"), "--store", str(store), "--recipe", "eegmat"]
        ):
            raise SystemExit("the sample was not ingested")
