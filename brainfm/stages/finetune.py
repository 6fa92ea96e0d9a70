"""`brainfm finetune`: a probe or a full fine-tuning on one split by subject."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.card import check_card, seen, seen_of
from brainfm.contracts import Head
from brainfm.disk import write_whole
from brainfm.errors import UsageError
from brainfm.evaluation.leakage import find_leaks
from brainfm.evaluation.metrics import score
from brainfm.evaluation.task import Task
from brainfm.heads import LinearHead
from brainfm.layers.mamba import kernels
from brainfm.learning.adaptation import Adaptation, Name
from brainfm.learning.descent import FULL
from brainfm.learning.finetuned import Finetuned, FinetunedRegressor
from brainfm.learning.processes import is_first
from brainfm.learning.train import Train
from brainfm.stages.pretrain import coverage, use_of
from brainfm.stages.run import is_finished, now, write_manifest
from brainfm.store.read import open_store
from brainfm.weights import load_card
from brainfm.windows.order import digest
from brainfm.windows.reader import Selection, WindowReader
from brainfm.windows.splits import Fold, hold_out, subjects_of
from brainfm.windows.trials import Trials

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """One division of the subjects into those trained on and those measured on.

    Attributes
    ----------
    validation
        share of the subjects to measure on.
    exclude_subjects
        subjects to leave out altogether, for instance those of a later test.
    """

    validation: float = 0.25
    exclude_subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise UsageError(
                f"split.validation is {self.validation}; the best step is chosen on validation "
                "subjects, so give a share between 0 and 1."
            )

    def keep(self, subjects: tuple[str, ...]) -> tuple[str, ...]:
        """Return the subjects that are not left out; refuse names that are none of them."""
        if unknown := sorted(set(self.exclude_subjects) - set(subjects)):
            raise UsageError(
                f"Subjects {unknown} to leave out are not in the task, which has {list(subjects)}; "
                "correct the list."
            )
        return tuple(s for s in subjects if s not in self.exclude_subjects)


@dataclass(frozen=True, eq=False)
class Sides:
    """The windows of a task with their answers, divided by subject.

    Attributes
    ----------
    trials
        all that are not left out.
    fold
        who is on which side.
    training, validation
        the windows of either side.
    coverage
        what of the task's view the recordings give, in words.
    origin
        digests of what either side is cut from.
    """

    trials: Trials
    fold: Fold
    training: Trials
    validation: Trials
    coverage: str
    origin: dict[str, str]


def finetune(
    task: Task,
    *,
    checkpoint: Path,
    out: Path,
    adaptation: Name | Adaptation = "full",
    head: Callable[[int, int], Head] = LinearHead,
    split: Split = Split(),
    train: Train = FULL,
    seed: int = 0,
) -> None:
    """Fine-tune a checkpoint on one split; the best step is chosen on validation subjects.

    Parameters
    ----------
    task
        what to learn, usually one of configs/tasks.
    checkpoint
        folder of a pretrained model.
    out
        folder for the model with its label map, metrics.csv and manifest.json.
    adaptation
        ``probe`` and ``ridge`` fit the head only, ``lora`` small additions to the backbone too, ``full``
        all of it; or a class of `brainfm.learning.adaptation` with its options.
    head
        the head.
    split
        which subjects are measured on.
    train
        options of the training.
    seed
        of the split and of every random draw.

    Raises
    ------
    UsageError
        If the checkpoint does not fit the task's recordings, or a side of the split lacks classes.
    """
    if is_finished(out):
        return
    started = now()
    selection = Selection(task.store, task.kinds, view=task.view)
    card = load_card(checkpoint)
    check_card(card, use_of(open_store(task.store), selection))
    Finetuned(checkpoint, head=head, train=train, random_state=seed).check_scans()
    sides = _read_sides(task, selection, split, seed)
    trials, fold = sides.trials, sides.fold
    known = seen(card, set(trials.meta["fingerprint"]))
    kind = Finetuned if task.classes else FinetunedRegressor
    estimator = kind(
        checkpoint,
        adaptation,
        head=head,
        train=train,
        sensors=trials.sensors,
        sfreq=trials.sfreq,
        random_state=seed,
        out=out,
        origin=sides.origin,
    )
    _fit(estimator, sides.training, sides.validation)
    if not is_first():
        return
    estimator.save(out / "model", seen=seen_of(trials.meta, trials.known()))
    scores = _scores(estimator, task, sides.validation)
    _write_metrics(out / "metrics.csv", scores)
    write_manifest(
        out,
        started,
        seed=seed,
        parameters=estimator.n_trained_parameters_,
        kernels=kernels(estimator.model_),
        seen_in_pretraining=known,
        labels=_labels(estimator),
        coverage=sides.coverage,
        split={"train": fold.train, "validation": fold.validation},
        validation=scores,
    )
    listed = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    print(f"{out}: on {len(fold.validation)} validation subjects {listed}")
    if known:
        print(f"{known} of the recordings were seen in pretraining; a test wants others.")


def _read_sides(task: Task, selection: Selection, split: Split, seed: int) -> Sides:
    """Read the windows of a task and divide them."""
    trials = task.load()
    reader = selection.reader()
    covered = coverage(reader, trials.meta.rename(columns={"recording": "id"}))
    trials = trials.of_subjects(split.keep(subjects_of(trials.meta)))
    fold = hold_out(trials.meta, split.validation, seed)
    training, validation = _divide(trials, fold, task.classes)
    origin = {
        "training recordings": _content(reader, training),
        "validation recordings": _content(reader, validation),
    }
    return Sides(trials, fold, training, validation, covered, origin)


def _divide(trials: Trials, fold: Fold, classes: tuple[str, ...]) -> tuple[Trials, Trials]:
    """Return the trials to train on and those to choose by; say where the one may know of the other."""
    for leak in find_leaks(trials.table, [fold], trials.recordings) if is_first() else ():
        logger.warning("%s.", leak)
    training, validation = (trials.of_subjects(s) for s in (fold.train, fold.validation))
    if classes:
        _check_classes(training, validation, classes)
    return training, validation


def _fit(estimator: Finetuned | FinetunedRegressor, training: Trials, validation: Trials) -> None:
    """Fit on the training subjects; the validation subjects are for choosing."""
    estimator.fit(
        training.X,
        training.y,
        validation=(validation.X, validation.y),
        groups=training.meta["subject"].to_numpy(dtype=str),
        recordings=(training.meta["recording"].to_numpy(), validation.meta["recording"].to_numpy()),
    )


def _write_metrics(path: Path, scores: dict[str, float]) -> None:
    """Write one row for a probe, which is solved, not trained step by step."""
    if not path.exists():
        row = {"step": 0} | {f"val/{k}": v for k, v in scores.items()}
        write_whole(path, pd.DataFrame([row]).to_csv(index=False).encode())


def _content(reader: WindowReader, trials: Trials) -> str:
    """Return a digest of the recordings that trials are cut from, of where, and of their answers."""
    recording, onset = trials.meta["recording"], trials.meta["onset"]
    held = reader.store.content(recording.unique())
    return digest(held, recording.tolist(), onset.tolist(), trials.y.tolist())


def _check_classes(training: Trials, validation: Trials, classes: tuple[str, ...]) -> None:
    """Refuse a split from which a class cannot be learned, or by which no step can be chosen."""
    if unseen := sorted(set(classes) - set(training.classes)):
        raise UsageError(
            f"The training subjects {list(subjects_of(training.meta))} have no window of {unseen}; give "
            "another --seed or more subjects."
        )
    if len(validation.classes) < 2:
        raise UsageError(
            f"The validation subjects {list(subjects_of(validation.meta))} have windows of "
            f"{list(validation.classes)} alone; give another --seed or a larger --split.validation."
        )


def _labels(estimator: Finetuned | FinetunedRegressor) -> list[str]:
    """Return the names of the classes, in the order of the outputs; none where a number is predicted."""
    return [str(c) for c in estimator.classes_] if isinstance(estimator, Finetuned) else []


def _scores(
    estimator: Finetuned | FinetunedRegressor, task: Task, validation: Trials
) -> dict[str, float]:
    """Measure the fitted model on the validation subjects."""
    if isinstance(estimator, Finetuned):
        answers = estimator.predict_proba(validation.X)
    else:
        answers = np.asarray(estimator.predict(validation.X), np.float64)[:, None]
    return score(task.metrics, validation.y, answers, _labels(estimator))
