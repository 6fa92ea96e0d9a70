"""What the tables of an evaluation say of one estimator: where it stands, what it cost, what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from brainfm.evaluation.overlap import WORST
from brainfm.evaluation.report.inputs import parsed
from brainfm.evaluation.report.numbers import (
    NONE,
    count,
    figure,
    is_number,
    listed,
    several,
    span,
)
from brainfm.evaluation.report.subjects import of_estimator
from brainfm.evaluation.report.verdict import ALPHA, Standing, family_of

FEW_SUBJECTS = 20
OVERLAP_WORDS = {
    "clean": ("clean", "No test recording or subject was seen in pretraining."),
    "seen-unlabelled": (
        "seen unlabelled",
        "Pretraining saw test recordings or subjects, without labels.",
    ),
    "seen-labelled": (
        "seen labelled",
        "Training saw test recordings or subjects with labels, as where a fine-tuned checkpoint is tested.",
    ),
    "unknown": (
        "unknown",
        "The checkpoint does not say whom it was trained on, or by other codes, or not whose labels it saw.",
    ),
}


def class_paths(config: str) -> dict[str, str]:
    """Return the class of each estimator that the configuration names, of a wrapped one its own."""
    estimators = parsed(config).get("estimators")
    named = estimators.items() if isinstance(estimators, dict) else ()
    return {str(k): _innermost(v) for k, v in named if isinstance(v, dict)}


def _innermost(estimator: dict[str, Any]) -> str:
    options = estimator.get("init_args")
    inner = options.get("estimator") if isinstance(options, dict) else None
    own = str(estimator.get("class_path", ""))
    return _innermost(inner) if isinstance(inner, dict) and "class_path" in inner else own


def standing_of(row: dict[str, Any], classes: dict[str, str]) -> Standing:
    """Return where one row of the statistics puts its estimator."""
    name = str(row["estimator"])

    def number(key: str) -> float:
        value = row.get(key)
        return float(value) if value is not None and is_number(value) else float("nan")

    reference = row.get("reference")
    return Standing(
        estimator=name,
        family=family_of(name, classes.get(name, "")),
        complete=_is_complete(row),
        reference=reference if isinstance(reference, str) and reference != name else "",
        **{
            key: number(key)
            for key in (
                *("value", "low", "high", "chance_low", "chance_high", "p_chance_holm"),
                *("difference", "difference_low", "difference_high", "p", "p_holm", "effect"),
                "p_chance_least",
            )
        },
    )


def _is_complete(row: dict[str, Any]) -> bool:
    said = str(row.get("complete", "True")).strip().lower() in ("true", "1", "1.0")
    done, expected = row.get("folds_done", ""), row.get("folds_expected", "")
    counted = is_number(done) and is_number(expected)
    return said and (not counted or float(done) >= float(expected))


def of_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return the rows of one task."""
    return table[table["task"] == task] if "task" in table.columns else pd.DataFrame()


def _finished(results: pd.DataFrame) -> pd.DataFrame:
    return results[pd.to_numeric(results["value"], errors="coerce").notna()]


def _pairs(results: pd.DataFrame) -> set[tuple[Any, Any]]:
    return set(zip(results["fold"], results["seed"], strict=True))


def missing_folds(main: pd.DataFrame, s: Standing, results: pd.DataFrame) -> str:
    """Return which folds are missing and why, as far as the tables say so; nothing where none is."""
    if s.complete:
        return ""
    row = main[main["estimator"] == s.estimator].iloc[0]
    done, expected = row.get("folds_done"), row.get("folds_expected")
    words = "folds missing"
    if is_number(done) and is_number(expected):
        words = f"{several(int(expected) - int(done), 'fold')} missing"
    if not {"estimator", "fold", "seed", "value"} <= set(results.columns):
        return words
    # The other estimators show what folds and seeds there should be.
    lost = sorted(_pairs(results) - _pairs(_finished(of_estimator(results, s.estimator))))
    named = [f"fold {f} seed {seed}{_reason(results, s, f, seed)}" for f, seed in lost[:4]]
    more = [f"{len(lost) - 4} more"] if len(lost) > 4 else []
    return f"{words}: {'; '.join(named + more)}" if named else words


def _reason(results: pd.DataFrame, s: Standing, fold: Any, seed: Any) -> str:
    rows = of_estimator(results, s.estimator)
    rows = rows[(rows["fold"] == fold) & (rows["seed"] == seed)]
    errors = [str(e) for e in rows.get("error", []) if isinstance(e, str) and e]
    return f" ({errors[0][:200]})" if errors else ""


def folds_done(main: pd.DataFrame, estimator: str) -> str:
    """Return how many of how many fits are done, in words."""
    row = main[main["estimator"] == estimator].iloc[0]
    done, expected = row.get("folds_done"), row.get("folds_expected")
    return f"{count(done)} of {count(expected)}" if is_number(expected) else NONE


def overlap_status(results: pd.DataFrame, estimator: str) -> tuple[str, str]:
    """Return the worst status of any fold."""
    rows = of_estimator(results, estimator)
    if "overlap" not in rows:
        return OVERLAP_WORDS["unknown"]
    statuses = set(rows["overlap"].dropna())
    for status in WORST:
        if status in statuses:
            return OVERLAP_WORDS[status]
    other = sorted(str(s) for s in statuses if s)
    return (other[0], "") if other else OVERLAP_WORDS["unknown"]


def largest(results: pd.DataFrame, estimator: str, column: str) -> float:
    """Return the largest number that any fit of an estimator has in a column; NaN where there is none."""
    values = of_estimator(results, estimator).get(column, pd.Series(dtype=float))
    return float(pd.to_numeric(values, errors="coerce").max())


def tuning(results: pd.DataFrame, standings: list[Standing]) -> str:
    """Return how many settings the estimators tried in a fold; nothing where the table does not say."""
    tried = {s.estimator: largest(results, s.estimator, "fits") for s in standings}
    counts = sorted({int(n) for n in tried.values() if is_number(n)})
    if not counts:
        return ""
    if len(counts) == 1:
        return f"Every estimator tried {several(counts[0], 'setting')} in each fold."
    most = [name for name, n in tried.items() if n == counts[-1]]
    named = listed(most) if len(most) < 3 else several(len(most), "estimator")
    return (
        f"Tuning was not equal: in each fold between {count(counts[0])} and {count(counts[-1])} settings "
        f"were tried, most by {named}."
    )


def seconds(results: pd.DataFrame, estimator: str) -> str:
    """Return how long all fits and predictions took together, in words."""
    rows = of_estimator(results, estimator)
    if not {"seconds", "fold", "seed"} <= set(rows.columns) or rows.empty:
        return NONE
    # Every measure of a fold repeats the seconds of its one fit.
    fits = rows.drop_duplicates(["fold", "seed"])["seconds"]
    return span(pd.to_numeric(fits, errors="coerce").sum())


def count_subjects(main: pd.DataFrame, predictions: pd.DataFrame) -> int | None:
    """Return the number of test subjects, or None where nothing says it."""
    if "n_subjects" in main and main["n_subjects"].max() > 0:
        return int(main["n_subjects"].max())
    return int(predictions["subject"].nunique()) if "subject" in predictions else None


def caution(n_subjects: int | None, standings: list[Standing], *, flipped: bool) -> str:
    """Return what a reader must know about so few subjects; nothing where there are many.

    Parameters
    ----------
    n_subjects
        who were tested, None where that is not known.
    standings
        of all estimators.
    flipped
        whether every p of a difference comes of flipping signs of subjects.
    """
    if n_subjects is None:
        return "The number of test subjects is not known, so the intervals cannot be trusted."
    if n_subjects >= FEW_SUBJECTS:
        return _too_few_shuffles(standings)
    widths = [(s.high - s.low) / 2 for s in standings if s.judged]
    wide = f" The intervals reach about ±{figure(float(np.median(widths)))}." if widths else ""
    smallest = figure(min(1.0, 2.0 ** (1 - n_subjects)))
    fewest = f" The smallest p that a paired test can give is {smallest}." if flipped else ""
    return (
        f"With {several(n_subjects, 'test subject')} the intervals are themselves uncertain, and "
        f"small effects cannot be seen.{wide}{fewest} "
        f"{_too_few_shuffles(standings)}"
    ).strip()


def _too_few_shuffles(standings: list[Standing]) -> str:
    """Say where the labels and the number of estimators let nobody be above chance."""
    found = [s.p_chance_least for s in standings if s.judged and is_number(s.p_chance_least)]
    least, n = max(found, default=0.0), len(found)
    if n * least <= ALPHA:
        return ""
    return (
        "Nobody can be above chance here: shuffled labels are the true ones in 1 of "
        f"{count(round(1 / least))} cases, too often for {several(n, 'estimator')}."
    )
