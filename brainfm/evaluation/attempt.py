"""One estimator on one fold: fitted on the training side, tried on the validation side, tested once."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator

from brainfm.errors import UsageError, WorkError
from brainfm.evaluation.identity import as_record, check_identity
from brainfm.evaluation.jobs import Job
from brainfm.evaluation.metrics import score
from brainfm.evaluation.overlap import histories_of
from brainfm.evaluation.parameters import (
    filled_in,
    flops_per_window,
    scans_of,
    trained_parameters,
)
from brainfm.evaluation.records import FoldRecord
from brainfm.evaluation.shots import check_learns, draw_rows
from brainfm.evaluation.tuning import check_tried
from brainfm.tokenizers import WindowCache
from brainfm.windows.fitting import fit_validated
from brainfm.windows.splits import Fold
from brainfm.windows.trials import Trials

logger = logging.getLogger(__name__)


class SealedTest:
    """The test windows of a fold, which can be opened once.

    Parameters
    ----------
    trials
        all trials of the task.
    fold
        whose test side it is.
    """

    def __init__(self, trials: Trials, fold: Fold) -> None:
        self._trials: Trials | None = trials
        self.rows = np.flatnonzero(fold.rows("test", trials.meta))
        self.subjects = subjects_tested(trials, fold)

    def open(self) -> Trials:
        """Return the test trials; a second call raises ``WorkError``."""
        if self._trials is None:
            raise WorkError(
                f"The test subjects {list(self.subjects)} were already opened: a test set is read "
                "once, so choose on validation subjects."
            )
        trials, self._trials = self._trials, None
        return trials.take(self.rows)


def subjects_tested(trials: Trials, fold: Fold) -> tuple[str, ...]:
    """Return the sorted names of a fold's test subjects."""
    rows = fold.rows("test", trials.meta)
    return tuple(sorted({str(s) for s in trials.meta["subject"][rows]}))


def fill_in(estimator: BaseEstimator, trials: Trials, seed: int, **further: Any) -> BaseEstimator:
    """Return a clone that knows sampling rate, sensors and seed, wherever it asks for them.

    Every parameter called ``sfreq``, ``sensors``, ``random_state`` or as one of ``further``, also of
    a step inside a pipeline, is set.
    """
    known = {
        "sfreq": trials.sfreq,
        "sensors": trials.sensors,
        "random_state": seed,
        **further,
    }
    return filled_in(estimator, known)


def attempt(job: Job, trials: Trials, cache: WindowCache) -> FoldRecord:
    """Compute one fold; a failure becomes a record too, so that it is shown as missing."""
    sealed = SealedTest(trials, job.fold)
    train = training_rows(job, trials)
    about: dict[str, Any] = {
        "task": job.task, "estimator": job.name, "fold": job.fold.index, "seed": job.seed,
        "test_subjects": list(sealed.subjects), "n_test": len(sealed.rows), "n_train": len(train),
        "shots": job.shots.k if job.shots else None, "shots_of": job.shots.of if job.shots else None,
        "made_of": job.made_of,
    }  # fmt: skip
    started = time.perf_counter()
    try:
        return _measured(job, trials, sealed, train, about=about, cache=cache)
    except Exception as error:  # whatever a third-party estimator raises must not stop the others
        where = (job.name, job.fold.index, job.seed)
        logger.warning("%s, fold %d, seed %d failed: %s", *where, error)
        logger.debug("because of", exc_info=True)
        seconds = time.perf_counter() - started
        return FoldRecord(**about, seconds=seconds, error=f"{type(error).__name__}: {error}")


def training_rows(job: Job, trials: Trials) -> np.ndarray:
    """Return the rows that a fold trains on, as few as the job wants; refuse what wants more."""
    train = job.fold.rows("train", trials.meta)
    if job.shots is None:
        return np.flatnonzero(train)
    validated = job.fold.rows("validation", trials.meta).any()
    check_learns(job.name, job.estimator, job.shots, validated=bool(validated))
    return draw_rows(job.shots, trials.table, train, [job.seed, 3, job.fold.index])


def _measured(
    job: Job,
    trials: Trials,
    sealed: SealedTest,
    train: np.ndarray,
    *,
    about: dict[str, Any],
    cache: WindowCache,
) -> FoldRecord:
    """Fit, then open the test and predict it."""
    # All names of the test subjects let an estimator with several checkpoints take one whose
    # pretraining has not seen them; of their windows it sees nothing.
    known = {"test_subjects": job.tested, "cache": cache, "budget": job.budget}
    validation = np.flatnonzero(job.fold.rows("validation", trials.meta))
    blank, held_out = fill_in(job.estimator, trials, job.seed, **known), trials.take(validation)
    with cache.stopwatch() as watch:  # what others have left in the cache makes nobody cheaper
        fitted = _fit(blank, trials, trials.take(train), held_out, job.fold)
        fit_seconds, tried = watch.seconds, check_tried(fitted, job.budget)
        chosen_on = _answers(fitted, held_out.X, job.classes).tolist() if len(validation) else []
        test = sealed.open()
        proba = _answers(fitted, test.X, job.classes)
        scores, seconds = score(job.metrics, test.y, proba, job.classes), watch.seconds
    # Once a seed: other folds' features are alike.
    checked = job.fold.index == 0 and job.shots is None
    return FoldRecord(
        **about,
        identity=as_record(check_identity(fitted, trials, job.fold)) if checked else None,
        seconds=seconds,
        fit_seconds=fit_seconds,
        fits=tried,
        trained_parameters=trained_parameters(fitted),
        flops=flops_per_window(fitted, test.X),
        kernels=scans_of(fitted),
        trials=sealed.rows.tolist(),
        proba=proba.tolist(),
        validation=validation.tolist(),
        validation_proba=chosen_on,
        scores={m: s if np.isfinite(s) else None for m, s in scores.items()},
    )


def _fit(estimator: Any, trials: Trials, train: Trials, held_out: Trials, fold: Fold) -> Any:
    """Fit on the training side; the validation side is for choosing, and never fitted on."""
    if unseen := sorted(set(trials.classes) - set(train.classes)):
        raise UsageError(
            f"The training side of fold {fold.index} has no window of {unseen}: use fewer "
            "folds or more subjects."
        )
    validation = (held_out.X, held_out.y) if len(held_out) else None
    subjects = train.meta["subject"].to_numpy(dtype=str)
    told = len(histories_of(estimator))
    fitted = fit_validated(estimator, train.X, train.y, validation, subjects)
    if len(histories_of(fitted)) > told:
        raise UsageError(
            f"{type(fitted).__name__} says only after its fit what it was pretrained on: leakage is looked "
            "for before, so let `pretraining` say it then."
        )
    return fitted


def _answers(fitted: Any, X: Any, classes: tuple[str, ...]) -> Float[np.ndarray, "trial answer"]:
    """Predict one probability a class, or one number where there are no classes."""
    return _proba(fitted, X, classes) if classes else _numbers(fitted, X)


def _numbers(fitted: Any, X: Any) -> Float[np.ndarray, "trial 1"]:
    """Predict, and refuse what is not one finite number a window."""
    predicted = np.asarray(fitted.predict(X), dtype=np.float64)
    if predicted.size != len(X) or not np.isfinite(predicted).all():
        raise WorkError(
            f"{type(fitted).__name__} gave numbers of shape {predicted.shape}, of which "
            f"{int(np.isfinite(predicted).sum())} are finite; wanted one finite number a window."
        )
    return predicted.reshape(-1, 1)


def _proba(fitted: Any, X: Any, classes: tuple[str, ...]) -> Float[np.ndarray, "trial class"]:
    """Predict, in the order of ``classes``, and refuse what is not one probability a class."""
    proba = np.asarray(fitted.predict_proba(X), dtype=np.float64)
    known = [str(c) for c in fitted.classes_]
    if sorted(known) != sorted(classes) or proba.shape != (len(X), len(classes)):
        raise UsageError(
            f"{type(fitted).__name__} gave probabilities of shape {proba.shape} for the classes "
            f"{known}; wanted one row a window and one column for each of {list(classes)}."
        )
    proba = proba[:, [known.index(c) for c in classes]]
    if not np.isfinite(proba).all():
        raise WorkError(f"{type(fitted).__name__} gave probabilities that are not finite.")
    return proba
