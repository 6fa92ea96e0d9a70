"""The only training loop: it trains tokenizers, foundation models and fine-tuned heads alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.utils.data import Dataset

from brainfm.contracts import Batch, Objective
from brainfm.disk import sweep
from brainfm.layers.average import WeightAverage
from brainfm.learning.blocks import compiled, recomputed
from brainfm.learning.checkpoint import discard_previous, find_checkpoint, full_disk
from brainfm.learning.draws import TRAINING, VALIDATION, draw_seed
from brainfm.learning.guard import LossGuard
from brainfm.learning.loggers import make_loggers
from brainfm.learning.origin import Origin
from brainfm.learning.outcome import settle
from brainfm.learning.processes import (
    Process,
    average,
    companions,
    is_first,
    one_update,
)
from brainfm.learning.scans import Scans
from brainfm.learning.shares import Dealer, Feed, StepsAhead, ValidationShare
from brainfm.learning.strategies import Sharded, gradients_meet, kept_whole, shard, whole
from brainfm.learning.train import Train
from brainfm.learning.trainer import interruptible, make_trainer, quiet, supervised
from brainfm.learning.utilisation import Utilisation
from brainfm.learning.validation import ValidationMeans
from brainfm.learning.watchers import choose_watchers


class Loop(lightning.LightningModule):
    """One objective, trained step by step.

    Parameters
    ----------
    objective
        says what to minimise.
    train
        says how.
    seed
        of every random draw.

    Attributes
    ----------
    judged
        the objective that validations measure: with averaged weights, where they are averaged.
    validation
        means of the last validation over all windows of all processes.
    stopping
        True where the processes have agreed that this step is the last for now.
    """

    def __init__(self, objective: Objective, train: Train, seed: int):
        super().__init__()
        # A step is made of parts, and its gradient is looked at before it is followed.
        self.automatic_optimization = False
        self.objective, self.options, self.seed = objective, train, seed
        self.average = None
        if train.average is not None:
            self.average = WeightAverage(objective, decay=train.average, start=0, every=1)
        self.guard = LossGuard(train.explosion)
        self.flops = Utilisation.of_device(train.peak_flops, train.precision)
        self.validation: dict[str, float] = {}
        self.asked, self.stopping = False, False
        self.norm = torch.zeros(())

    @property
    def judged(self) -> Objective:
        """The objective that validations measure."""
        judged = self.objective if self.average is None else self.average.model
        assert isinstance(judged, Objective)
        return judged

    def ask_to_stop(self) -> None:
        """Make the step under way the last for now."""
        self.asked = True

    def configure_optimizers(self) -> dict[str, object]:
        """Set up AdamW under warm-up and cosine."""
        optimizer = self.options.optimizer(self.objective)
        # A plain function, because of anything else a checkpoint would pickle the attributes.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: self.options.rate(n))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_model(self) -> None:
        """Share the model out, where that is asked for, once the processes know each other."""
        if isinstance(strategy := self.trainer.strategy, Sharded):
            mesh = strategy.device_mesh["data_parallel"]
            for model in {id(m): m for m in (self.objective, self.judged)}.values():
                shard(model, mesh)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the usual size of the loss."""
        checkpoint["guard"] = self.guard.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up."""
        self.guard.load_state_dict(checkpoint["guard"])

    def transfer_batch_to_device(
        self, batch: list[Batch], device: torch.device, index: int
    ) -> list[Batch]:
        """Move the parts of a step."""
        return [part.to(device) for part in batch]

    def training_step(self, batch: list[Batch], batch_idx: int) -> dict[str, Tensor]:
        """Compute the gradient of this process's parts of a step, and follow it."""
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)
        optimizer.zero_grad()
        self.objective.advance()
        terms: dict[str, list[Tensor]] = defaultdict(list)
        n = len(batch)
        with one_update(self.objective, n, n * self.trainer.world_size):
            for i, part in enumerate(batch):
                with gradients_meet(self.objective, self.trainer.model, i == n - 1):
                    losses = self.flops.count(part, partial(self._compute, part, i, n))
                for name, value in losses.items():
                    terms[name].append(value.detach())
        own = {name: torch.stack(values).mean() for name, values in terms.items()}
        means = self._over_processes(own)
        self.guard.check(float(means["loss"]), self.global_step, float(own["loss"]), batch)
        self.batches = batch
        optimizer.step()
        schedule.step()
        if self.average is not None:
            self.average.update(self.objective)
        return means | {"grad_norm": self.norm}

    def _compute(self, part: Batch, i: int, n: int) -> dict[str, Tensor]:
        """Compute a part, forward and backward."""
        losses = self.objective(part, self._draws(i))
        self.manual_backward(losses["loss"] / n)
        return losses

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient, and refuse one that is no number."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        largest = float("inf") if self.options.clip is None else self.options.clip
        self.norm = whole(torch.nn.utils.clip_grad_norm_(parameters, largest))
        # With float16 such gradients are expected now and then; its scaler leaves out the step.
        if self.options.precision != "16-mixed":
            self.guard.check_gradient(float(self.norm), self.global_step, self.batches)

    def _draws(self, i: int) -> torch.Generator:
        """Return the generator of this process's i-th part, and seed dropout, which has none."""
        part = self.global_rank + i * self.trainer.world_size
        drawn = draw_seed(self.seed, TRAINING, self.global_step, part)
        torch.manual_seed(drawn)
        return torch.Generator().manual_seed(drawn)

    def _over_processes(self, own: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the means over all processes, and agree on whether to stop."""
        if self.trainer.world_size == 1:
            self.stopping = self.asked
            return own
        asked = torch.tensor(float(self.asked), device=self.device)
        *means, asked = average(torch.stack([*(v.float() for v in own.values()), asked])).unbind()
        self.stopping = bool(asked > 0)
        return dict(zip(own, means, strict=True))

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self.measured = ValidationMeans()

    def validation_step(self, batch: list[Batch], batch_idx: int) -> None:
        """Measure a batch, with the same masks at every validation."""
        place = batch_idx * self.trainer.world_size + self.global_rank
        generator = torch.Generator().manual_seed(draw_seed(self.seed, VALIDATION, place))
        for part in batch:
            self.measured.add(part, self.judged(part, generator))

    def on_validation_epoch_end(self) -> None:
        """Take the means over all processes; they stop where the loss is no number."""
        self.validation = self.measured.end(self.global_step)


def fit(
    objective: Objective,
    batches: Dataset,
    *,
    train: Train,
    seed: int,
    validation: Dataset | None = None,
    out: Path | None = None,
    origin: Mapping[str, str] | None = None,
    callbacks: tuple[Callback, ...] = (),
    profile: bool = False,
) -> None:
    """Train ``objective`` in place.

    Parameters
    ----------
    objective
        what to train.
    batches
        item n is the batch of step n.
    train
        options.
    seed
        of every random draw.
    validation
        batches to measure on every ``train.validate_every`` steps.
    out
        folder for metrics.csv and last.ckpt. Where it holds a last.ckpt, training goes on from it.
    origin
        digests of what is read, by its name; with others a run does not go on.
    callbacks
        further Lightning callbacks.
    profile
        write trace.json of some early steps and say what limits them.

    Raises
    ------
    UsageError
        If the device cannot do what ``train`` asks for, or the run in ``out`` began with something else.
    WorkError
        If the loss is no number any more.
    """
    train.check_device()
    if out is not None and is_first():
        sweep(out)
    checkpoint = find_checkpoint(out)
    if checkpoint is None:
        objective.begin(batches[0])
    every = min(train.validate_every, train.steps) if validation is not None else 0
    with _ready(objective, train, seed, out) as loop:
        steps = StepsAhead(lambda: loop.global_step, train.steps)
        feed = Feed(batches, steps, workers=train.workers, ahead=train.ahead)
        watchers = choose_watchers(
            batches,
            feed,
            train=train,
            seed=seed,
            every=every,
            out=out,
            callbacks=callbacks,
            profile=profile,
        )
        dealer, loggers = Dealer(batches, feed, train), make_loggers(train.loggers, out)
        callbacks = (Scans(), Origin(origin or {}), dealer, *watchers)
        trainer = make_trainer(train, every, callbacks, loggers)
        process = Process(trainer.global_rank, trainer.world_size)
        dealer.deal(process)
        held_out = _held_out(validation if every else None, process, train)
        with supervised(trainer):
            trainer.fit(loop, feed, held_out, ckpt_path=checkpoint, weights_only=True)
            settle(loop, callbacks)
    if out is not None and is_first():
        discard_previous(out)
    objective.end()


@contextmanager
def _ready(objective: Objective, train: Train, seed: int, out: Path | None) -> Generator[Loop]:
    """Give the loop, and leave things as they were however it ends."""
    with ExitStack() as around:
        for context in (quiet(), interruptible(), full_disk(out), companions()):
            around.enter_context(context)
        around.enter_context(torch.random.fork_rng())
        trained = around.enter_context(kept_whole(objective, train))
        loop = Loop(trained, train, seed)
        if train.recompute:
            around.enter_context(recomputed(trained, loop.flops.counter.left_out))
        if train.compile:
            around.enter_context(compiled(trained))
        yield loop


def _held_out(validation: Dataset | None, process: Process, train: Train) -> Feed | None:
    """Return what reads a process's share of the validation; None where there is nothing to read."""
    share = None if validation is None else ValidationShare(validation, process)
    if not share:
        return None
    return Feed(share, range(len(share)), workers=train.workers, ahead=train.ahead)
