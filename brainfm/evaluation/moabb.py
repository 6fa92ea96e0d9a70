"""MOABB both ways: estimators inside its evaluations, its paradigms as tasks, our results as its table.

Aristimunha et al., "Mother of all BCI Benchmarks", 2023, doi:10.5281/zenodo.10034223. The recordings of a
data set come in by ``brainfm ingest moabb:NAME``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jaxtyping import Float
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from brainfm.errors import UsageError
from brainfm.evaluation.metrics import auroc
from brainfm.evaluation.parameters import filled_in
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.sensors.channels import read_sensors


class SIUnits(TransformerMixin, BaseEstimator):
    """Multiply by a factor, and hold in single precision: MOABB gives µV, brainfm works in V.

    Parameters
    ----------
    factor
        volts in one unit of the arrays.
    """

    def __init__(self, factor: float = 1e-6) -> None:
        self.factor = factor

    def fit(
        self, X: Float[np.ndarray, "trial channel time"], y: np.ndarray | None = None
    ) -> SIUnits:
        """Nothing is learned."""
        return self

    def transform(
        self, X: Float[np.ndarray, "trial channel time"]
    ) -> Float[np.ndarray, "trial channel time"]:
        """Return the windows in volts."""
        return (X * self.factor).astype(np.float32)

    def __sklearn_is_fitted__(self) -> bool:
        """Nothing is learned, so it always is."""
        return True


def for_moabb(
    estimator: BaseEstimator, info: Any, *, factor: float = 1e-6, random_state: int = 0
) -> Pipeline:
    """Return an estimator for MOABB's evaluations, told all that MOABB's arrays do not say.

    Parameters
    ----------
    estimator
        a baseline, `brainfm.Finetuned`, or whatever has parameters called ``sensors``, ``sfreq`` and
        ``random_state``; never fitted itself.
    info
        of the paradigm's epochs: ``paradigm.get_data(dataset, [1], return_epochs=True)[0].info``.
    factor
        volts in one unit of the arrays: what the data set's ``unit_factor`` divides by.
    random_state
        seed of the estimator.

    Raises
    ------
    UsageError
        When the channels are not all sensors that brainfm knows.
    """
    sensors, originals = read_sensors(info, Recipe(name="moabb"), typed=True)
    if list(originals) != list(info["ch_names"]):
        unknown = sorted(set(info["ch_names"]) - set(originals))
        raise UsageError(
            f"The channels {unknown} are no EEG or MEG sensors that brainfm knows: leave them out by "
            "the paradigm's option channels."
        )
    known = {"sensors": sensors, "sfreq": float(info["sfreq"]), "random_state": random_state}
    return Pipeline([("units", SIUnits(factor)), ("estimator", filled_in(estimator, known))])


def task_yaml(dataset: Any, paradigm: Any, store: Path | str) -> str:
    """Return a task for ``brainfm evaluate``: a data set's trials as one of MOABB's paradigms cuts them.

    What came in by ``brainfm ingest moabb:NAME`` is annotated with MOABB's events from the beginning of
    each task on, which is what the paradigm's tmin and tmax count from. The paradigm's band is no part of a
    task, for a foundation model wants it no narrower than it was pretrained with: the YAML's first line
    says it, and `brainfm.baselines.InBand` gives it to the estimators that want it.

    Parameters
    ----------
    dataset
        such as ``moabb.datasets.Kalunga2016()``.
    paradigm
        such as ``moabb.paradigms.SSVEP(n_classes=4)``.
    store
        the recordings.

    Raises
    ------
    UsageError
        When the data set is none of the paradigm's.
    """
    if not paradigm.is_valid(dataset):
        raise UsageError(
            f"{dataset.code} is no data set of the paradigm {type(paradigm).__name__}: it is one of "
            f"{dataset.paradigm}."
        )
    begin, end = dataset.interval
    tmin = float(paradigm.tmin)
    tmax = float(end - begin if paradigm.tmax is None else paradigm.tmax)
    events = {name: name for name in sorted(map(str, paradigm.used_events(dataset)))}
    task = {
        "name": f"{dataset.code}-{type(paradigm).__name__}".lower(),
        "store": str(store),
        "label": {
            "class_path": "brainfm.evaluation.AnnotationLabels",
            "init_args": {"classes": events, "tmin": tmin, "tmax": tmax},
        },
        "seconds": tmax - tmin,
    }
    if paradigm.channels is not None:
        task["channels"] = [str(name) for name in paradigm.channels]
    paradigm.prepare_process(dataset)
    bands = ", ".join(f"{low:g}–{high:g} Hz" for low, high in paradigm.filters)
    head = f"# {dataset.code} as MOABB's {type(paradigm).__name__} cuts it, which filters {bands}."
    return head + "\n" + yaml.safe_dump(task, sort_keys=False, allow_unicode=True)


def moabb_table(
    results: pd.DataFrame, predictions: pd.DataFrame, *, n_channels: int
) -> pd.DataFrame:
    """Return one row a subject, session and estimator, in the columns of MOABB's results.

    As in MOABB the score is the AUROC of two classes and the accuracy of more, of each session of each
    subject alone; here averaged over seeds. Sessions with one class only have no row. A recording whose
    session the store does not know is of session 0. ``moabb.analysis`` reads the table.

    Parameters
    ----------
    results, predictions
        tables of an evaluation, from its ``results.csv`` and ``predictions.csv``.
    n_channels
        channels of the task, which the tables do not tell.
    """
    fits = results.drop_duplicates(["task", "estimator", "fold", "seed"])
    seconds = fits.groupby(["task", "estimator"])["seconds"].mean()
    told = predictions.assign(session=predictions["session"].fillna("0").astype(str))
    n_sessions = told.groupby("task")["session"].nunique()
    rows = []
    for key, mine in told.groupby(["task", "estimator", "subject", "session"]):
        task, name, subject, session = np.asarray(key, dtype=object)
        scores = [_score(part) for _, part in mine.groupby("seed")]
        if np.isfinite(scores).all():
            rows.append(
                {
                    "score": float(np.mean(scores)),
                    "time": float(seconds[task, name]),
                    "samples": len(mine) // mine["seed"].nunique(),
                    "subject": str(subject),
                    "session": str(session),
                    "channels": n_channels,
                    "n_sessions": int(n_sessions[task]),
                    "dataset": task,
                    "pipeline": name,
                }
            )
    return pd.DataFrame(rows)


def _score(part: pd.DataFrame) -> float:
    """Return one subject's score in one seed."""
    named = part.dropna(axis="columns", how="all")
    classes = tuple(c.removeprefix("p_") for c in named.columns if c.startswith("p_"))
    proba = named[[f"p_{c}" for c in classes]].to_numpy(dtype=np.float64)
    truth = named["y_true"].to_numpy(dtype=str)
    if len(np.unique(truth)) < 2:
        return float("nan")
    if len(classes) == 2:
        return float(auroc(truth, proba, classes))
    return float(np.mean(np.asarray(classes)[proba.argmax(axis=1)] == truth))
