"""Finished folds to tables that anyone can read: results, predictions, statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from brainfm.evaluation.chance import Chance, chance
from brainfm.evaluation.contrast import Contestant
from brainfm.evaluation.intervals import NOTHING, Interval
from brainfm.evaluation.pairs import Difference, holm, nadeau_bengio_p
from brainfm.evaluation.records import FoldRecord
from brainfm.evaluation.statistics import Pooled, score_intervals
from brainfm.windows.trials import Trials

NO_DIFFERENCE = Difference(float("nan"), NOTHING, float("nan"), 0)


def results_table(
    records: Sequence[FoldRecord], metrics: Sequence[str], leakage: str | None = None
) -> pd.DataFrame:
    """Return one row a fold and measure; a fold without a result has no value but its error.

    Parameters
    ----------
    records
        of all folds, done or not, also those with few labels (columns shots and shots_of).
    metrics
        names of the measures.
    leakage
        the reason for which leakage was allowed, which stands in every row.
    """
    rows = [_result(r, m) | {"leakage": leakage} for r in records for m in metrics]
    table = pd.DataFrame(rows)
    whole = dict.fromkeys(("trained_parameters", "shots", "fits", "flops"), "Int64")
    return table.astype(whole) if len(table) else table


def _result(record: FoldRecord, metric: str) -> dict[str, Any]:
    return {
        "task": record.task,
        "estimator": record.estimator,
        "fold": record.fold,
        "seed": record.seed,
        "test_subjects": " ".join(record.test_subjects),
        "metric": metric,
        "value": record.scores.get(metric),
        "n_test": record.n_test,
        "trained_parameters": record.trained_parameters,
        "flops": record.flops,
        "seconds": round(record.seconds, 3),
        "fits": record.fits,
        "fit_seconds": round(record.fit_seconds, 3),
        "n_train": record.n_train,
        "shots": record.shots,
        "shots_of": record.shots_of,
        "overlap": record.overlap,
        "error": record.error,
    }


def predictions_table(
    records: Sequence[FoldRecord], trials: Trials, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Return one row a tested window, with one column ``p_<class>`` a class, or the number ``y_pred``."""
    parts, answers = [], [f"p_{c}" for c in classes] or ["y_pred"]
    for record in (r for r in records if r.done):
        about = trials.meta.iloc[record.trials][["subject", "session", "recording", "onset"]]
        part = about.reset_index(drop=True).assign(y_true=trials.y[record.trials])
        for name, column in zip(answers, np.asarray(record.proba).T, strict=True):
            part[name] = column
        for place, name in enumerate(("task", "estimator", "fold", "seed")):
            part.insert(place, name, getattr(record, name))
        parts.append(part)
    if not parts:
        head = ["task", "estimator", "fold", "seed", "subject", "session", "recording", "onset"]
        return pd.DataFrame(columns=[*head, "y_true", *answers])
    return pd.concat(parts, ignore_index=True)


def statistics_table(
    records: Sequence[FoldRecord],
    trials: Trials,
    classes: tuple[str, ...],
    *,
    metrics: Sequence[str],
    reference: str | None,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Return one row an estimator and measure; an estimator with a missing fold has no values.

    Parameters
    ----------
    records
        of all folds, done or not.
    trials
        that the records point into.
    classes
        in the order of the records' probabilities.
    metrics
        names of the measures.
    reference
        estimator that the others are compared with.
    draws, seed
        of bootstrap and permutations; equal for all estimators.
    """
    names = list(dict.fromkeys(r.estimator for r in records))
    by_name = {n: [r for r in records if r.estimator == n] for n in names}
    judged = {
        n: Contestant(pool(rs, trials, classes), metrics)
        for n, rs in by_name.items()
        if all(r.done for r in rs)
    }
    rows = []
    for name, mine in by_name.items():
        done = sum(r.done for r in mine)
        counted = {"folds_done": done, "folds_expected": len(mine), "complete": done == len(mine)}
        scored = _scored(judged.get(name), metrics, draws=draws, seed=seed)
        for metric in metrics:
            gap, p_folds = NO_DIFFERENCE, float("nan")
            if reference in judged and name in judged and name != reference:
                gap = judged[name].against(judged[reference], metric, draws=draws, seed=seed)
                p_folds = _fold_p(mine, by_name[reference], metric)
            head = {"task": mine[0].task, "estimator": name, "metric": metric}
            compared = _compared(gap, name, reference) | {"p_nadeau_bengio": p_folds}
            rows.append({**head, **scored[metric], **counted, **compared})
    table = pd.DataFrame(rows)
    # Two families of tests a measure: all estimators against the reference, and all against chance.
    for p, corrected in (("p", "p_holm"), ("p_chance", "p_chance_holm")):
        table[corrected] = table.groupby("metric")[p].transform(lambda family: holm([*family]))
    return table


def _fold_p(mine: Sequence[FoldRecord], theirs: Sequence[FoldRecord], metric: str) -> float:
    """Return the p of the folds' differences, corrected for the windows that folds share.

    Seeds that test the same windows, as those of a published split do, are one fold: their mean counts.
    """
    other = {(r.fold, r.seed): r.scores.get(metric) for r in theirs}
    gaps, shares = defaultdict(list), []
    for r in mine:
        ours, reference = r.scores.get(metric), other.get((r.fold, r.seed))
        if ours is not None and reference is not None and r.n_train:
            gaps[tuple(r.trials)].append(ours - reference)
            shares.append(r.n_test / r.n_train)
    if len(gaps) < 2:
        return float("nan")
    return nadeau_bengio_p(np.array([np.mean(g) for g in gaps.values()]), float(np.mean(shares)))


def pool(records: Sequence[FoldRecord], trials: Trials, classes: tuple[str, ...]) -> Pooled:
    """Join the out-of-fold predictions of one estimator, seed by seed."""
    tested = np.unique(np.concatenate([r.trials for r in records]))
    about = trials.meta.iloc[tested]
    in_time = np.lexsort((about["onset"], about["recording"]))
    tested, about = tested[in_time], about.iloc[in_time]
    number = {name: index for index, name in enumerate(classes)}
    proba = []
    for seed in dict.fromkeys(r.seed for r in records):
        mine = [r for r in records if r.seed == seed]
        rows = np.concatenate([r.trials for r in mine])
        values = np.concatenate([np.asarray(r.proba) for r in mine])
        proba.append(values[np.argsort(rows)][in_time])
    truth = trials.y[tested]
    return Pooled(
        truth=np.array([number[str(name)] for name in truth])
        if classes
        else truth.astype(np.float64),
        subject=about["subject"].to_numpy(dtype=str),
        recording=about["recording"].to_numpy(dtype=str),
        proba=np.stack(proba),
    )


def _scored(
    judged: Contestant | None, metrics: Sequence[str], *, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return value, interval and chance band of every measure."""
    if judged is None:
        return {m: _values(float("nan"), NOTHING, Chance(), 0) for m in metrics}
    pooled = judged.pooled
    value = pooled.scores(metrics)
    interval = score_intervals(pooled, metrics)
    shuffled = chance(pooled, metrics, draws=draws, seed=seed)
    n = pooled.n_subjects
    return {m: _values(float(value[m][0]), interval[m], shuffled[m], n) for m in metrics}


def _values(value: float, interval: Interval, shuffled: Chance, n_subjects: int) -> dict[str, Any]:
    return {
        "value": value,
        "low": interval.low,
        "high": interval.high,
        "chance_low": shuffled.band.low,
        "chance_high": shuffled.band.high,
        "p_chance": shuffled.p,
        "p_chance_least": shuffled.least,
        "n_subjects": n_subjects,
    }


def _compared(gap: Difference, name: str, reference: str | None) -> dict[str, Any]:
    return {
        "reference": None if name == reference else reference,
        "difference": gap.value,
        "difference_low": gap.interval.low,
        "difference_high": gap.interval.high,
        "p": gap.p,
        "n_paired": gap.n_subjects,
        "paired_by": gap.by if gap.n_subjects else None,
        "p_wilcoxon": gap.p_wilcoxon,
        "effect": gap.effect,
        "effect_low": gap.effect_interval.low,
        "effect_high": gap.effect_interval.high,
    }
