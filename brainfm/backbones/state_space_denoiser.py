"""A gated diagonal state-space model that is pretrained to denoise single channels (EEGDM).

Puah et al., "EEGDM: EEG Representation Learning via Generative Diffusion Model", 2025, whose denoiser has
5.93 million parameters: 5,584,768 here and the rest in what predicts the velocity (`Diffusion`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from brainfm.contracts import Backbone, Features, Tokens
from brainfm.errors import UsageError
from brainfm.layers.noise import NoiseSchedule
from brainfm.layers.rows import Rows, rows_of
from brainfm.layers.s4d import S4D


@dataclass(frozen=True, eq=False)
class Activity:
    """What a block computes at every sample.

    Attributes
    ----------
    gate
        (row, time, width) between 0 and 1.
    product
        (row, time, width) gate times filter, which the block passes on.
    """

    gate: Float[Tensor, "row time width"]
    product: Float[Tensor, "row time width"]


class GatedBlock(nn.Module):
    """Norm, condition, state-space model, and a gate: σ(half the features) · tanh(the other half)."""

    def __init__(self, width: int, *, state: int, condition: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.shift = nn.Linear(condition, width)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)
        self.widen = nn.Linear(width, 2 * width)
        self.ssm = S4D(2 * width, state=state)

    def forward(
        self,
        x: Float[Tensor, "row time width"],
        condition: Float[Tensor, "row 1 condition"],
        real: Bool[Tensor, "row time"] | None,
    ) -> Activity:
        """Compute a block; with silence in place of what is not real, nothing leaks from there."""
        x = self.widen(self.norm(x) + self.shift(condition))
        if real is not None:
            x = x * real.unsqueeze(-1)
        gate, filtered = self.ssm(x).chunk(2, -1)
        gate = gate.sigmoid()
        return Activity(gate, gate * filtered.tanh())


def step_code(step: Int[Tensor, " row"], dim: int) -> Float[Tensor, "row dim"]:
    """Return sines, then cosines, of the step at wavelengths of 2π to 10,000·2π, as in DiffWave."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=step.device) * (-math.log(10_000) / (half - 1)))
    angle = step.unsqueeze(-1) * frequency
    return torch.cat([angle.sin(), angle.cos()], -1)


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, outputs), nn.SiLU(), nn.Linear(outputs, outputs), nn.SiLU()
    )


class StateSpaceDenoiser(Backbone):
    """EEGDM's denoiser up to its last block; features are how much each gate moves in a patch.

    Tokens must be patches of samples that follow each other in a channel (`MuLawPatches`): the
    backbone puts each channel together again and looks at it by itself. A token's features are the
    standard deviations over its patch of every gate (unbiased: between 0 and 0.5013 for 200 samples).
    What a channel is enters by its index in the window alone, as in the paper: the windows must
    keep one order of channels. Any number of patches will do, at a cost of n·log n.

    Parameters
    ----------
    patch
        samples a token.
    width
        features a sample.
    depth
        number of blocks.
    state
        size of a state, counting both of each conjugate pair.
    condition
        width of the code of step and channel.
    code
        width of the step's sines and of a row of the channel table.
    n_channels
        rows of the channel table.
    channels
        row of the table for each channel of the window; None for 0, 1, 2, … The paper's 16
        derivations of CHB-MIT are [0, …, 7, 14, …, 21] of its 22.
    steps
        of the diffusion.
    schedule
        of its noise; the linear one is an ablation of the paper's, 3 points of kappa worse.
    readout
        ``"all"`` puts every block's features side by side (width · depth); ``"last"`` gives
        the last block's. The paper uses all.
    latent_step
        diffusion step that the features are taken at, of 0 … ``steps`` − 1.
    latent_input
        ``"none"`` feeds the signal as it is (the paper's main result), ``"noiseless"``
        scales it as that step would, ``"noisy"`` also adds noise, the same at every call.
    segment
        patches to look at together; None for all of a window. The paper passes windows of 10 s as
        two segments of 5 patches.
    fold
        ``"channels"`` keeps every segment at its channel and place. ``"released"`` is how the
        published code mixes them up in windows of two and more segments: what it calls segment s
        of channel c is segment (s·n + c) mod f of channel (s·n + c) div f, for n channels and f
        segments, with the code of channel c. It shows what that code computes; `brainfm finetune` does
        not change it, nor `segment` and `channels`, in a checkpoint.
    """

    needs_samples = True

    def __init__(
        self,
        patch: int,
        *,
        width: int = 128,
        depth: int = 20,
        state: int = 128,
        condition: int = 512,
        code: int = 128,
        n_channels: int = 22,
        channels: list[int] | None = None,
        steps: int = 50,
        schedule: Literal["squared-cosine", "linear"] = "squared-cosine",
        readout: Literal["all", "last"] = "all",
        latent_step: int = 1,
        latent_input: Literal["none", "noiseless", "noisy"] = "none",
        segment: int | None = None,
        fold: Literal["channels", "released"] = "channels",
    ):
        super().__init__()
        self.patch, self.width, self.depth, self.state = patch, width, depth, state
        self.condition, self.code, self.n_channels, self.channels = (
            condition,
            code,
            n_channels,
            channels,
        )
        self.steps, self.readout, self.latent_step = steps, readout, latent_step
        self.schedule, self.latent_input = schedule, latent_input
        self.segment, self.fold = segment, fold
        self.dim = width * depth if readout == "all" else width
        self._check_options()
        self.noise = NoiseSchedule.of(schedule, steps)
        self.enter = nn.Linear(1, width)
        self.step_mlp, self.channel_mlp = _mlp(code, condition), _mlp(code, condition)
        self.channel = nn.Embedding(n_channels, code)
        self.blocks = nn.ModuleList(
            GatedBlock(width, state=state, condition=condition) for _ in range(depth)
        )
        self.onward = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))

    def _check_options(self) -> None:
        if self.patch < 2:
            raise UsageError(
                f"A patch of {self.patch} samples has no standard deviation; let the tokenizer make "
                "patches of two samples or more."
            )
        if not 0 <= self.latent_step < self.steps:
            raise UsageError(
                f"latent_step is {self.latent_step} and must be one of the steps 0 to {self.steps - 1}."
            )
        beyond = [c for c in self.channels or [] if not 0 <= c < self.n_channels]
        if beyond:
            raise UsageError(
                f"`channels` names the rows {beyond} of a table of {self.n_channels}; raise n_channels."
            )

    def rows(self, tokens: Tokens) -> Rows:
        """Return channels, each in one piece.

        Raises
        ------
        UsageError
            If tokens are no patches of samples, or there are channels beyond the channel table.
        """
        if tokens.value.shape[-1] != self.patch:
            raise UsageError(
                f"The tokens have {tokens.value.shape[-1]} samples and StateSpaceDenoiser was built "
                f"for {self.patch}; set its `patch` to match."
            )
        known = len(self.channels) if self.channels is not None else self.n_channels
        if (n_channels := int(tokens.channel.max()) + 1) > known:
            raise UsageError(
                f"The windows have {n_channels} channels and the backbone knows {known}; set its "
                f"`n_channels` to at least {n_channels}, or select channels."
            )
        return rows_of(tokens)

    def table_row(self, channel: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
        """Return the row of the channel table for channels of a window."""
        if self.channels is None:
            return channel
        return torch.tensor(self.channels, device=channel.device)[channel]

    def activities(
        self,
        signal: Float[Tensor, "row time"],
        step: Int[Tensor, " row"],
        channel: Int[Tensor, " row"],
        real: Bool[Tensor, "row time"] | None = None,
    ) -> Iterator[Activity]:
        """Yield what each block computes, one after the other, so that a caller keeps what it needs."""
        code = self.step_mlp(step_code(step, self.code))
        code = code + self.channel_mlp(self.channel(self.table_row(channel)))
        x = self.enter(signal.unsqueeze(-1)).relu()
        for i, block in enumerate(self.blocks):
            activity = block(x, code.unsqueeze(1), real)
            yield activity
            if i < len(self.onward):
                x = x + self.onward[i](activity.product)

    def forward(self, tokens: Tokens, *, layers: bool = False) -> Features:
        """Compute features; with ``layers`` also each block's, whatever the readout is."""
        rows = self.rows(tokens)
        latents = [rows.back(latent) for latent in self.latents(rows)]
        return Features(
            value=torch.cat(latents, -1) if self.readout == "all" else latents[-1],
            mask=tokens.mask,
            time=tokens.time,
            channel=tokens.channel,
            layers=tuple(latents) if layers else (),
        )

    def latents(self, rows: Rows) -> Iterator[Float[Tensor, "row place width"]]:
        """Yield each block's standard deviation of the gates over every patch."""
        n_places = rows.real.shape[1]
        if n_places % (n_together := self.segment or n_places):
            raise UsageError(
                f"The windows have {n_places} patches, which is no whole number of segments of "
                f"{n_together}; ask for windows of a multiple, or set `segment: null`."
            )
        value = self._released(rows) if self.fold == "released" else rows.value
        signal, real = (
            rearrange(x, "r (f p) d -> (r f) (p d)", p=n_together)
            for x in (value, rows.real.unsqueeze(-1).expand_as(value))
        )
        channel = rows.channel.repeat_interleave(n_places // n_together)
        step = torch.full_like(channel, self.latent_step)
        signal = self._prepare(signal, channel, step)
        for activity in self.activities(signal, step, channel, None if rows.even else real):
            patches = activity.gate.unflatten(1, (n_together, self.patch))
            yield patches.std(2).reshape(len(rows.real), n_places, self.width)

    def _prepare(
        self, signal: Float[Tensor, "row time"], channel: Int[Tensor, " row"], step: Tensor
    ) -> Float[Tensor, "row time"]:
        """Do to a signal what ``latent_input`` says."""
        if self.latent_input == "none":
            return signal
        noise = torch.zeros_like(signal)
        if self.latent_input == "noisy":
            # One draw a channel of the table: what else is in a batch must not change a window.
            generator = torch.Generator().manual_seed(0)
            drawn = torch.randn(self.n_channels, signal.shape[1], generator=generator)
            noise = drawn.to(signal)[self.table_row(channel)]
        return self.noise.noised(signal, noise, step)

    def _released(self, rows: Rows) -> Float[Tensor, "row place dim"]:
        """Return the channels as the published code reads them in two and more segments."""
        n = len(rows.real) // rows.n_windows
        if not rows.even or len(rows.real) % rows.n_windows or self.segment is None:
            raise UsageError(
                "`fold: released` wants `segment` set and windows without padded channels."
            )
        pieces = rearrange(rows.value, "(b c) (f p) d -> b (c f) p d", c=n, p=self.segment)
        return rearrange(pieces, "b (f c) p d -> (b c) (f p) d", c=n)
