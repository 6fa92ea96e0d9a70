"""The page: every section from its own file, one template, written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from brainfm.disk import write_whole
from brainfm.evaluation.journey import Journey
from brainfm.evaluation.report.comparison import Comparison, compare_estimators
from brainfm.evaluation.report.conditions import Conditions, find_conditions
from brainfm.evaluation.report.ingested import Ingested, describe_store, open_recordings
from brainfm.evaluation.report.inputs import (
    UNREADABLE,
    Absent,
    Results,
    parsed,
    read_results,
    read_run,
)
from brainfm.evaluation.report.motifs import Gallery, describe_motifs, open_motifs
from brainfm.evaluation.report.provenance import Provenance, trace
from brainfm.evaluation.report.training import Training, describe_training
from brainfm.store import Store
from brainfm.store.tokens import TokenStore

HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Page:
    """All that the template is given.

    Attributes
    ----------
    evaluation
        as read.
    comparisons
        one a task.
    ingested, gallery
        their sections, or why there is none.
    trainings
        of tokenizer, backbone and head, in that order, as far as they were given.
    provenance
        its section.
    """

    evaluation: Results
    comparisons: list[Comparison]
    ingested: Ingested | Absent
    gallery: Gallery | Absent
    trainings: tuple[Training | Absent, ...]
    provenance: Provenance


def write_report(out: Path, *, journey: Journey | None = None) -> Path:
    """Write ``out/report.html`` from what an evaluation and the stages before it left behind.

    The page needs no network and no other file. What is missing, it says is missing. The same files give the
    same bytes.

    Parameters
    ----------
    out
        folder of the evaluation, with results.csv, statistics.csv, predictions.csv, config.yaml and
        manifest.json, as far as they are there.
    journey
        folders of the stages before; None where there are none.

    Returns
    -------
    path
        of the page.
    """
    page = gather(out, journey or Journey())
    path = out / "report.html"
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, render(page).encode())
    return path


def gather(out: Path, journey: Journey) -> Page:
    """Read all that the page shows."""
    evaluation = read_results(out)
    runs = (
        read_run("tokenizer", journey.tokenizer),
        read_run("pretraining", journey.pretrain),
        read_run("fine-tuning", journey.finetune),
    )
    store = open_recordings(journey.store)
    tokens = open_motifs(journey.tokens, store)
    return Page(
        evaluation=evaluation,
        comparisons=compare_estimators(evaluation),
        ingested=_ingested(store, evaluation),
        gallery=_gallery(tokens, store, evaluation),
        trainings=tuple(
            describe_training(run) for run in runs if not isinstance(run, Absent) or run.given
        ),
        provenance=trace(evaluation, runs, store=store, tokens=tokens, out=out),
    )


def _ingested(store: Store | Absent, evaluation: Results) -> Ingested | Absent:
    if isinstance(store, Absent):
        return store
    try:
        return describe_store(store, _conditions(store, evaluation))
    except UNREADABLE as error:
        return _damaged(store.path, error)


def _gallery(
    tokens: TokenStore | Absent, store: Store | Absent, evaluation: Results
) -> Gallery | Absent:
    if isinstance(tokens, Absent):
        return tokens
    if isinstance(store, Absent):
        return Absent(store.sentence)
    try:
        return describe_motifs(tokens, store, _conditions(store, evaluation))
    except UNREADABLE as error:
        return _damaged(tokens.path, error)


def _damaged(path: Path | str, error: Exception) -> Absent:
    """Say that damage only showed while reading."""
    return Absent(f"{Path(path).name} is damaged and cannot be shown ({type(error).__name__}).")


def _conditions(store: Store, evaluation: Results) -> Conditions:
    task = parsed(evaluation.config).get("task")
    seconds = task.get("seconds") if isinstance(task, dict) else None
    number = float(seconds) if isinstance(seconds, int | float) else None
    return find_conditions(store, evaluation.predictions, number)


def render(page: Page) -> str:
    """Return the page as HTML; all text is escaped but what this package draws."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (
        Markup((HERE / name).read_text(encoding="utf-8")) for name in ("style.css", "theme.js")
    )
    template = environment.get_template("page.html.j2")
    return template.render(page=page, style=style, script=script)
