"""Denoising single channels: predict the velocity of a diffusion at a random step.

Puah et al., EEGDM, 2025, after Ho et al., 2020, with the v-prediction of Salimans & Ho, 2022.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from brainfm.backbones.state_space_denoiser import Activity, StateSpaceDenoiser
from brainfm.contracts import Backbone, Batch, Objective, Observation, Tokenizer
from brainfm.errors import UsageError
from brainfm.layers.average import WeightAverage
from brainfm.layers.spectrum import misfit
from brainfm.objectives.reconstruction import name_of
from brainfm.objectives.sampling import Sampler, draw
from brainfm.tokenizers import MuLawPatches


class VelocityReadout(nn.Module):
    """Makes a velocity of what all blocks compute; starts by predicting zero.

    Parameters
    ----------
    width
        features a sample.
    depth
        number of blocks.
    """

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.skips = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.mix, self.out = nn.Linear(width, width), nn.Linear(width, 1)
        nn.init.kaiming_normal_(self.mix.weight)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, activities: Iterable[Activity]) -> Float[Tensor, "row time"]:
        """Sum the blocks' contributions as they come."""
        terms = zip(self.skips, activities, strict=True)
        total = sum(skip(activity.product) for skip, activity in terms)
        return self.out(self.mix(total).relu()).squeeze(-1)


class Denoiser(nn.Module):
    """A backbone and the readout that pretraining needs beside it.

    Parameters
    ----------
    backbone
        the backbone.
    readout
        the readout.
    """

    def __init__(self, backbone: StateSpaceDenoiser, readout: VelocityReadout):
        super().__init__()
        self.backbone, self.readout = backbone, readout

    def forward(
        self,
        noised: Float[Tensor, "row time"],
        step: Int[Tensor, " row"],
        channel: Int[Tensor, " row"],
        real: Bool[Tensor, "row time"] | None = None,
    ) -> Float[Tensor, "row time"]:
        """Predict v of noised channels."""
        return self.readout(self.backbone.activities(noised, step, channel, real))


@dataclass(frozen=True, eq=False)
class _Attempt:
    """Predicted and true (row, time) velocities, and which samples are real."""

    velocity: Float[Tensor, "row time"]
    target: Float[Tensor, "row time"]
    real: Bool[Tensor, "row time"]


class Diffusion(Objective):
    """Mean squared error of the predicted velocity, over channels noised at random steps.

    Every channel of every window is a sample of its own, with a step drawn evenly from all. Losses are
    the trained weights' in training and the averaged weights' in evaluation, and when the training
    ends the backbone takes the averaged weights.

    Parameters
    ----------
    tokenizer
        makes patches of samples.
    backbone
        the denoiser that is trained.
    samples
        channels a step, drawn from those of the batch; None for all. The paper's batch is 108.
    decay
        of the average of the weights, as of `WeightAverage`.
    start
        steps before the averaging begins.
    every
        steps between two updates of the average.
    power
        how fast the decay rises to ``decay``; None for a fixed one.
    """

    tokenizer: MuLawPatches
    backbone: StateSpaceDenoiser

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone | None,
        *,
        samples: int | None = None,
        decay: float = 0.999,
        start: int = 100,
        every: int = 10,
        power: float | None = 2 / 3,
    ):
        if not isinstance(tokenizer, MuLawPatches) or not isinstance(backbone, StateSpaceDenoiser):
            raise UsageError(
                "Diffusion denoises samples with a StateSpaceDenoiser on MuLawPatches, and was given "
                f"{name_of(backbone)} on {type(tokenizer).__name__}; choose those two."
            )
        super().__init__(tokenizer, backbone)
        self.samples = samples
        self.decay, self.start, self.every, self.power = decay, start, every, power
        self.readout = VelocityReadout(backbone.width, backbone.depth)
        self.average = WeightAverage(
            self.denoiser, decay=decay, start=start, every=every, power=power
        )

    @property
    def denoiser(self) -> Denoiser:
        """What is trained, as one."""
        return Denoiser(self.backbone, self.readout)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Shaped[Tensor, ""]]:
        """Return the loss, and its ratio to that of predicting zero."""
        made = self._attempt(batch, generator)
        error, target = (x[made.real] for x in (made.velocity - made.target, made.target))
        loss = error.square().mean()
        return {"loss": loss, "unexplained": loss.detach() / target.square().mean()}

    def _attempt(self, batch: Batch, generator: torch.Generator) -> _Attempt:
        """Noise some channels and predict their velocities."""
        rows = self.backbone.rows(self.tokenizer(batch))
        chosen = torch.randperm(len(rows.real), generator=generator)[: self.samples]
        clean, channel = rows.value[chosen].flatten(1), rows.channel[chosen]
        real = rows.real[chosen].repeat_interleave(self.backbone.patch, 1)
        step = torch.randint(self.backbone.steps, (len(clean),), generator=generator).to(channel)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        noised = self.backbone.noise.noised(clean, noise, step)
        model = self.denoiser if self.training else self.average.model
        velocity = model(noised, step, channel, None if rows.even else real)
        return _Attempt(velocity, self.backbone.noise.velocity(clean, noise, step), real)

    @torch.no_grad()
    def observe(self, batch: Batch, generator: torch.Generator) -> Observation:
        """Return the averaged weights' features, and how wrong the velocity is at each frequency."""
        made, model = self._attempt(batch, generator), self.average.model
        assert isinstance(model, Denoiser)
        features = model.backbone(self.tokenizer(batch))
        wrong = misfit(made.velocity, made.target, made.real, batch.sfreq)
        return Observation(features.pooled(), misfit=wrong)

    def advance(self) -> None:
        """Take the weights into their average."""
        self.average.update(self.denoiser)

    @torch.no_grad()
    def end(self) -> None:
        """Let the denoiser take the averaged weights."""
        self.denoiser.load_state_dict(self.average.model.state_dict())

    @torch.no_grad()
    def generate(
        self,
        channel: Int[Tensor, " row"],
        n_times: int,
        *,
        generator: torch.Generator,
        sampler: Literal["ddpm", "ddim"] = "ddpm",
        steps: int | None = None,
    ) -> Float[Tensor, "row time"]:
        """Make up new EEG in volts with the averaged weights.

        Parameters
        ----------
        channel
            index of the channel that each row is to be of.
        n_times
            samples.
        generator
            of all noise.
        sampler
            ``"ddpm"`` or ``"ddim"``, as of `brainfm.objectives.sampling.Sampler`.
        steps
            steps to take; None for all.
        """
        model = self.average.model
        signal = draw(
            lambda noised, step: model(noised, step, channel),
            (len(channel), n_times),
            self.backbone.noise,
            generator=generator,
            sampler=Sampler(sampler, steps),
            device=channel.device,
        )
        return self.tokenizer.volts(signal)
