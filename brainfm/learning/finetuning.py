"""A pretrained model fitted to labelled trials: what classifier and regressor share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from sklearn.base import BaseEstimator

from brainfm.card import Use, check_card, data_of, join_seen, with_labels
from brainfm.contracts import Backbone, Head, Tokenizer
from brainfm.heads import LinearHead
from brainfm.layers.mamba import check_scans
from brainfm.learning.adaptation import Adaptation, Name, adaptation_of
from brainfm.learning.answers import Answers
from brainfm.learning.candidates import choose_checkpoint, load_pretrained
from brainfm.learning.descent import FULL, descend
from brainfm.learning.inference import infer, pooled_features
from brainfm.learning.train import Train
from brainfm.learning.trial_batches import LabelledTrials
from brainfm.recordings.recording import Sensors
from brainfm.tokenizers import Cached, Frozen, WindowCache
from brainfm.weights import build, count_parameters, load_card, save
from brainfm.windows.order import digest
from brainfm.windows.stored import StoredWindows

Trials = Float[np.ndarray, "trial channel time"] | StoredWindows
Validation = tuple[Float[np.ndarray, "held_out channel time"] | StoredWindows, np.ndarray]
Recordings = tuple[np.ndarray, np.ndarray]
Own = TypeVar("Own", bound="FineTuning")


class FineTuning(BaseEstimator, Answers):
    """Fine-tunes any checkpoint with any head.

    Parameters
    ----------
    checkpoint
        folder that `brainfm pretrain` left behind; or several, pretrained on different subjects, of
        which the first that has seen none of ``test_subjects`` is taken.
    adaptation
        what may change: ``"probe"``, ``"ridge"``, ``"full"``, ``"lora"``, or one of
        `brainfm.learning.adaptation` with its options.
    head
        called with the width of the features and the number of classes, or 1.
    train
        options of the training; not used by a linear probe, which is fitted to convergence.
    sensors
        the channels; where None they are taken for EEG electrodes at unknown places.
    sfreq
        sampling rate of the trials in Hz.
    random_state
        seed of every random draw.
    test_subjects
        names of the subjects that will be tested, to choose a checkpoint by.
    cache
        tokens and pooled features that other fits have made of the same windows; its own where None.
    out
        folder for metrics.csv and last.ckpt, from which an interrupted training goes on.
    origin
        digests of what the trials are cut from, by its name; with others it does not go on.

    Attributes
    ----------
    model_
        the fitted objective.
    n_trained_parameters_
        how many numbers the fit changed.
    penalty_
        of a linear head's fit: a logistic regression's inverse strength, chosen by log loss on the
        validation trials (1 where there are none), or a ridge's strength.
    n_fits_
        how many penalties it was chosen among; 1 of a head that is trained.
    chosen_step_
        of a training: the step with the best validation loss.
    """

    def __init__(
        self,
        checkpoint: Path | str | Sequence[Path | str],
        adaptation: Name | Adaptation = "probe",
        *,
        head: Callable[[int, int], Head] = LinearHead,
        train: Train = FULL,
        sensors: Sensors | None = None,
        sfreq: float | None = None,
        random_state: int = 0,
        test_subjects: Sequence[str] = (),
        cache: WindowCache | None = None,
        out: Path | None = None,
        origin: Mapping[str, str] | None = None,
    ):
        self.checkpoint, self.adaptation = checkpoint, adaptation
        self.head, self.train = head, train
        self.sensors, self.sfreq, self.random_state = sensors, sfreq, random_state
        self.test_subjects, self.cache, self.out = test_subjects, cache, out
        self.origin = origin

    @property
    def pretraining(self) -> dict[str, Any]:
        """What the checkpoint was trained on: subjects and content fingerprints."""
        return data_of(load_card(self._chosen()))

    @property
    def planned_fits(self) -> int:
        """Penalties that a fit will choose among at most, for the evaluation's budget."""
        head = getattr(self.head, "func", self.head)  # options make it a partial
        trained = isinstance(head, type) and not issubclass(head, LinearHead)
        return 1 if trained else self._n_settings()

    def _chosen(self) -> Path:
        return choose_checkpoint(self.checkpoint, self.test_subjects)

    def fit(
        self: Own,
        X: Trials,
        y: np.ndarray,
        *,
        validation: Validation | None = None,
        groups: np.ndarray | None = None,
        recordings: Recordings | None = None,
    ) -> Own:
        """Fit on trials in SI units; choose between models on ``validation`` only.

        Parameters
        ----------
        X
            (trial, channel, time).
        y
            (trial,) class or number of each.
        validation
            trials and their answers, that a penalty or a step is chosen on.
        groups
            (trial,) subject of each: a ridge leaves all trials of a subject out together.
        recordings
            (trial,) name of each one's recording, and likewise of ``validation``, for a training that stops
            to name; where None it numbers the trials.

        Raises
        ------
        UsageError
            If sampling rate or sensor kinds are not the checkpoint's, all answers are the same, a class is
            of validation trials alone, or the head is not for such windows.
        """
        self.adaptation_ = adaptation_of(self.adaptation)
        n_outputs = self._study(y)
        if validation is not None:
            self._label(validation[1])  # refuses what cannot be learned, before anything is
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self._start(X, n_outputs)
            self.n_fits_ = 1
            linear = isinstance(self.model_.head, LinearHead)
            if not linear:  # a head of another shape is refused now, and not by the training
                infer(self.model_, self._labelled(X[:1]), self.model_.scores)
            else:
                self._solve(X, y, validation, groups)
            self.adaptation_.open(self.model_.backbone)
            self.n_trained_parameters_ = count_parameters(self.model_)
            if self.adaptation_.moves or not linear:
                self._train(X, y, validation, recordings or (None, None))
        return self

    def check_scans(self) -> None:
        """Refuse a head that names a path of the scan which cannot run where it is to be trained."""
        if isinstance(self.head, type) and issubclass(self.head, LinearHead):
            return
        with torch.random.fork_rng():
            model = build(load_card(self._chosen())["architecture"])
            if isinstance(backbone := getattr(model, "backbone", None), Backbone):
                check_scans(self.head(backbone.dim, 2), self.train.device)

    def _start(self, X: Trials, n_outputs: int) -> None:
        """Build tokenizer, backbone and head, and check that they suit the trials."""
        self.checkpoint_ = self._chosen()
        self.cache_ = WindowCache() if self.cache is None else self.cache
        model, self.card_ = load_pretrained(self.checkpoint_)
        self._check(X, model.tokenizer)
        # The head first: its first weights must not depend on how the backbone is come by.
        head = self.head(model.backbone.dim, n_outputs)
        self.adaptation_.check(head)
        backbone = self._backbone(model)
        self.model_ = self._objective(self._tokenizer(model.tokenizer), backbone, head)

    def _backbone(self, model: Any) -> Backbone:
        return model.backbone

    def _tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        """Return the tokenizer frozen, and remembering what it has seen, where it is not trained too."""
        if self.adaptation_.tokenizes and tokenizer.learns:
            return tokenizer
        card = getattr(tokenizer, "card", None)
        inner = tokenizer.tokenizer if isinstance(tokenizer, Frozen) else tokenizer
        return Cached(inner, cache=self.cache_, card=card)

    def _check(self, X: Trials, tokenizer: Tokenizer) -> None:
        """Refuse trials that the checkpoint was not made for."""
        rates, kinds = (self.sfreq,), tuple(self._sensors(X).kind)
        check_card(self.card_, Use("the trials", rates, kinds))
        if self.sensors is not None:
            tokenizer.check_channels(self.sensors.names, "The trials' recording")

    def _sensors(self, X: Trials) -> Sensors:
        return Sensors.unplaced(X.shape[1]) if self.sensors is None else self.sensors

    def _solve(
        self,
        X: Trials,
        y: np.ndarray,
        validation: Validation | None,
        groups: np.ndarray | None,
    ) -> None:
        """Fit a linear head to convergence and write it into the model."""
        held_out = None if validation is None else (self.transform(validation[0]), validation[1])
        probe = self._fit_linear(self.transform(X), y, held_out, groups)
        assert isinstance(self.model_.head, LinearHead)
        self.model_.head.set(torch.from_numpy(probe.weight), torch.from_numpy(probe.bias))
        self.penalty_, self.n_fits_ = probe.penalty, probe.tried

    def _train(
        self,
        X: Trials,
        y: np.ndarray,
        validation: Validation | None,
        recordings: Recordings | tuple[None, None],
    ) -> None:
        """Train what takes a gradient."""
        trained, held = recordings
        # With dropout, unlike the backbone as it was loaded, where that is trained.
        (self.model_ if self.adaptation_.moves else self.model_.head).train()
        self.chosen_step_ = descend(
            self.model_,
            self._labelled(X, y, trained),
            None if validation is None else self._labelled(*validation, held),
            train=self.train,
            seed=self.random_state,
            out=self.out,
            origin={**(self.origin or {}), "checkpoint": digest(self.card_)},
        )
        self.model_.eval()

    def _labelled(
        self, X: Trials, y: np.ndarray | None = None, recording: np.ndarray | None = None
    ) -> LabelledTrials:
        """Return trials with their answers, 0 where they are not known."""
        label = np.zeros(len(X), np.int64) if y is None else self._label(y)
        return LabelledTrials(X, label, self._sensors(X), float(self.sfreq or 0), recording)

    def transform(self, X: Trials) -> Float[np.ndarray, "trial dim"]:
        """Return the pooled features of each trial, computed once for the same weights."""
        return pooled_features(self.model_, self._labelled(X), self.cache_)

    def _scores(self, X: Trials) -> Float64[np.ndarray, "trial output"]:
        """Return the head's scores, of remembered features where they stay as they are."""
        head = self.model_.head
        if not self.adaptation_.moves and isinstance(head, LinearHead):
            features = torch.from_numpy(self.transform(X)).to(head.linear.weight.dtype)
            return head.linear(features).detach().double().numpy()
        return infer(self.model_, self._labelled(X), self.model_.scores)

    def save(self, folder: Path, *, seen: Mapping[str, Any] | None = None) -> None:
        """Write the fitted model, with what its outputs mean, as a checkpoint.

        Parameters
        ----------
        folder
            where to.
        seen
            the recordings that it was fitted or chosen on, see `brainfm.card.join_seen`; the card counts
            them with those of the pretraining, and as labelled, so that nobody tests on them unawares.
        """
        own = {"adaptation": self.adaptation_.word, "seed": self.random_state}
        before = data_of(self.card_)
        data = before | join_seen(before, with_labels(seen or {}))
        model = copy.deepcopy(self.model_)
        self.adaptation_.close(model.backbone)
        save(model, folder, self.card_ | own | self._about() | {"data": data})
