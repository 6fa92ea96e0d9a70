"""What lies on disk, read so that a part that is missing is a sentence and not a failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from brainfm.errors import UsageError, WorkError

UNREADABLE = (OSError, ValueError, LookupError, TypeError, yaml.YAMLError, UsageError, WorkError)
"""What reading a missing, truncated or foreign file raises; pandas' and JSON's errors are ValueErrors."""


@dataclass(frozen=True)
class Absent:
    """A part that the page cannot show, and the sentence that says so.

    Attributes
    ----------
    sentence
        shown in its place.
    given
        False where nobody asked for the part, so that the page does without.
    """

    sentence: str
    given: bool = True


@dataclass(frozen=True, eq=False)
class RunFolder:
    """What a training left behind; each part may be empty.

    Attributes
    ----------
    name
        what the training is called on the page.
    path
        of the folder.
    metrics
        metrics.csv.
    config
        config.yaml, as it stands in the file.
    manifest
        manifest.json.
    card
        model/config.json.
    missing
        one sentence a file that could not be read.
    generated
        generated.csv, which only a diffusion leaves.
    """

    name: str
    path: Path
    metrics: pd.DataFrame
    config: str
    manifest: dict[str, Any]
    card: dict[str, Any]
    missing: tuple[str, ...] = ()
    generated: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True, eq=False)
class Results:
    """What an evaluation left behind; each part may be empty.

    Attributes
    ----------
    results, statistics, predictions
        the three CSV files; of the first, the rows of fits on all labels.
    few
        its other rows, of fits on few labels.
    config
        config.yaml, as it stands in the file.
    manifest
        manifest.json.
    missing
        one sentence a file that could not be read.
    """

    results: pd.DataFrame
    statistics: pd.DataFrame
    predictions: pd.DataFrame
    config: str
    manifest: dict[str, Any]
    missing: tuple[str, ...] = ()
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    few: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def leakage(self) -> dict[str, Any]:
        """Why leakage was allowed (reason) and what was found; empty where there was none to allow."""
        said = self.manifest.get("leakage")
        return said if isinstance(said, dict) and said.get("reason") else {}


@dataclass
class _Reader:
    """Reads the files of one folder and remembers which it could not read."""

    folder: Path
    missing: list[str] = field(default_factory=list)

    def table(self, name: str) -> pd.DataFrame:
        return self._read(name, _table, pd.DataFrame())

    def text(self, name: str) -> str:
        return self._read(name, lambda path: path.read_text(encoding="utf-8"), "")

    def json(self, name: str) -> dict[str, Any]:
        return self._read(name, _object, {})

    def _read(self, name: str, read: Callable[[Path], Any], empty: Any) -> Any:
        path = self.folder / name
        place = f"{self.folder.name}/{name}"
        if not path.is_file():
            self.missing.append(f"There is no {place}.")
            return empty
        try:
            return read(path)
        except UNREADABLE as error:
            self.missing.append(f"{place} cannot be read ({type(error).__name__}).")
            return empty


TEXT = (
    *("task", "estimator", "metric", "subject", "test_subjects", "recording", "y_true"),
    *("measure", "quantity", "proba", "before", "after", "locked"),
    *("reference", "overlap", "error", "complete", "leakage", "shots_of", "paired_by"),
)
"""Columns that are text even where they look like numbers or like no value: subject ``01``, class ``NA``."""


def _table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = [name for name in table.columns if name not in TEXT]
    return table.assign(**{n: pd.to_numeric(table[n], errors="coerce") for n in numbers})


def _object(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


MEASURED = ("measures", "calibration", "events", "hypnograms", "transitions", "identity")
"""Tables that only some tasks leave."""


def read_results(out: Path) -> Results:
    """Read the folder of an evaluation."""
    reader = _Reader(out)
    results = reader.table("results.csv")
    few = results["shots"].notna() if "shots" in results else pd.Series(False, index=results.index)
    return Results(
        results=results[~few],
        few=results[few],
        tables={n: reader.table(f"{n}.csv") for n in MEASURED if (out / f"{n}.csv").is_file()},
        statistics=reader.table("statistics.csv"),
        predictions=reader.table("predictions.csv"),
        config=reader.text("config.yaml"),
        manifest=reader.json("manifest.json"),
        missing=tuple(reader.missing),
    )


def read_run(name: str, folder: Path | None) -> RunFolder | Absent:
    """Read the folder of a training."""
    if folder is None:
        return Absent(f"No run folder of the {name} was given.", given=False)
    if not folder.is_dir():
        return Absent(f"The run folder of the {name} ({folder.name}) is not there.")
    reader = _Reader(folder)
    made_up = folder / "generated.csv"
    return RunFolder(
        generated=reader.table(made_up.name) if made_up.is_file() else pd.DataFrame(),
        name=name,
        path=folder,
        metrics=reader.table("metrics.csv"),
        config=reader.text("config.yaml"),
        manifest=reader.json("manifest.json"),
        card=reader.json("model/config.json"),
        missing=tuple(reader.missing),
    )


def parsed(config: str) -> dict[str, Any]:
    """Return what a YAML text says, or nothing where it is no mapping."""
    try:
        value = yaml.safe_load(config)
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}
