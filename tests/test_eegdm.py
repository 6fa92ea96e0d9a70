"""EEGDM: the state-space convolution, the diffusion, the latents and the head, to the number."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, windows
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contracts import pad_channels
from torch import Tensor
from torch.utils.data import Dataset

from brainfm.backbones import MotifEncoder, StateSpaceDenoiser
from brainfm.contracts import Batch, Features, Kind, Tokens
from brainfm.errors import UsageError
from brainfm.evaluation.generated import compare_spectra
from brainfm.heads import LatentFusionHead
from brainfm.layers import s4d
from brainfm.layers.average import WeightAverage
from brainfm.layers.noise import NoiseSchedule
from brainfm.layers.rows import rows_of
from brainfm.layers.s4d import S4D, powers
from brainfm.learning import Train
from brainfm.learning.loop import fit
from brainfm.objectives import Diffusion
from brainfm.objectives.sampling import Sampler, Velocity, draw
from brainfm.stages.model import load_model
from brainfm.tokenizers import MotifTokenizer, MuLawPatches
from brainfm.tokenizers.mu_law import compress, expand
from brainfm.weights import count_parameters, load, save

PAPER = ROOT / "configs" / "models" / "eegdm.yaml"
SCHEDULE = NoiseSchedule.of("squared-cosine", 50)


def denoiser(patch: int = 20, seed: int = 0, **options: object) -> StateSpaceDenoiser:
    torch.manual_seed(seed)
    sizes = {"width": 16, "depth": 3, "state": 8, "condition": 16, "code": 8, "n_channels": 8}
    return shaken(StateSpaceDenoiser(patch, **(sizes | options)))


def shaken(backbone: StateSpaceDenoiser) -> StateSpaceDenoiser:
    """Let step and channel matter, which they do not before the first step of a training."""
    for block in backbone.blocks:
        torch.nn.init.normal_(block.shift.weight, std=0.5)
    return backbone.eval()


def patches(n_channels: int = 4, n_times: int = 200, **options: object) -> Tokens:
    return MuLawPatches(20, **options)(windows(2, n_channels=n_channels, n_times=n_times))


def recur(model: S4D, x: Tensor) -> Tensor:
    """Compute what `S4D` computes, as its docstring says it, one sample after the other."""
    exponent, weight = model.modes()
    decay, y = exponent.exp(), model.D.double() * x.double()
    past = future = torch.zeros(len(x), *exponent.shape, dtype=torch.complex128)
    length = x.shape[1]
    for t in range(length):
        past = decay * past + x[:, t, :, None]
        y[:, t] += 2 * (weight[0] * past).sum(-1).real
    for t in range(length - 2, -1, -1):
        future = decay * future + x[:, t + 1, :, None]
        y[:, t] += 2 * (weight[1] * future).sum(-1).real
    return y


class TestS4D:
    @pytest.mark.parametrize("length", [1, 2, 3, 16, 37, 200])
    def test_equals_its_recurrence(self, length: int) -> None:
        torch.manual_seed(0)
        model, x = S4D(6, state=10).double(), torch.randn(3, length, 6).double()
        torch.testing.assert_close(model(x), recur(model, x), rtol=1e-10, atol=1e-10)

    def test_single_precision_is_near_where_a_phase_makes_many_turns(self) -> None:
        torch.manual_seed(0)
        model, x = S4D(4, state=128), torch.randn(1, 3000, 4)
        exact = recur(model, x)
        assert float(((model(x) - exact).norm() / exact.norm()).detach()) < 3e-6

    def test_gradients_are_those_of_the_recurrence(self) -> None:
        torch.manual_seed(0)
        model, x = S4D(3, state=6).double(), torch.randn(2, 12, 3).double()
        ours = torch.autograd.grad(model(x).sin().sum(), list(model.parameters()))
        theirs = torch.autograd.grad(recur(model, x).sin().sum(), list(model.parameters()))
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)
        assert torch.autograd.gradcheck(model, x.requires_grad_())

    def test_starts_at_the_linear_frequencies(self) -> None:
        torch.manual_seed(0)
        model = S4D(500, state=128)
        assert torch.allclose(-model.log_decay.exp(), torch.tensor(-0.5))
        torch.testing.assert_close(model.frequency[3], math.pi * torch.arange(64.0))
        step = model.log_step.detach().exp()
        assert 1e-3 <= float(step.min()) < 1.3e-3
        assert 0.08 < float(step.max()) <= 1e-1
        assert float(step.log().mean()) == pytest.approx(math.log(1e-2), abs=0.15)

    def test_a_feature_has_as_many_parameters_as_said(self) -> None:
        assert count_parameters(S4D(256, state=128)) == 256 * (4 * 128 + 2)

    def test_looks_both_ways(self) -> None:
        torch.manual_seed(0)
        model, x = S4D(4, state=8), torch.zeros(1, 50, 4)
        x[:, 25] = 1
        y = model(x)[0].abs().amin(1)
        assert (y > 0).all()

    def test_groups_of_features_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        model, x = S4D(7, state=8).double(), torch.randn(2, 60, 7).double()
        whole = model(x)
        monkeypatch.setattr(s4d, "ELEMENTS", 2 * 120 * 3)
        torch.testing.assert_close(model(x), whole)

    def test_a_kernel_is_cut_only_where_it_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        model, x = S4D(3, state=8, shortest=1e-2), torch.randn(1, 20_000, 3)
        assert model.reach(20_000) < 7_000
        cut = model(x)
        monkeypatch.setattr(s4d, "LONG", 20_000)
        assert model.reach(20_000) == 20_000
        torch.testing.assert_close(model(x), cut, rtol=1e-5, atol=1e-5)

    @given(st.integers(1, 70))
    @settings(max_examples=15)
    def test_powers(self, count: int) -> None:
        base = torch.polar(torch.tensor([0.99, 0.5]).double(), torch.tensor([1.0, 7.0]).double())
        torch.testing.assert_close(
            powers(base, count, torch.complex128), base[:, None] ** torch.arange(count)
        )


class TestNoise:
    def test_schedule_is_the_published_one(self) -> None:
        golden = {0: 0.998252, 1: 0.994570, 2: 0.988967, 10: 0.879122, 24: 0.493844}
        golden |= {25: 0.462707, 40: 0.076650}
        for step, value in golden.items():
            assert float(SCHEDULE.alpha_bar[step]) == pytest.approx(value, abs=5e-7)
        assert float(SCHEDULE.alpha_bar[48]) == pytest.approx(9.7e-4, abs=5e-6)
        assert float(1 - SCHEDULE.alpha_bar[49] / SCHEDULE.alpha_bar[48]) == pytest.approx(0.999)

    def test_velocity_gives_the_signal_back(self) -> None:
        generator = torch.Generator().manual_seed(0)
        clean, noise = torch.randn(2, 50, 30, generator=generator, dtype=torch.float64)
        step = torch.arange(50)
        noised, v = SCHEDULE.noised(clean, noise, step), SCHEDULE.velocity(clean, noise, step)
        torch.testing.assert_close(SCHEDULE.clean(noised, v, step), clean, rtol=1e-12, atol=1e-12)
        signal, rest = SCHEDULE.weights(step, clean)
        torch.testing.assert_close(rest * noised + signal * v, noise, rtol=1e-12, atol=1e-12)

    def test_the_linear_schedule_is_another(self) -> None:
        linear = NoiseSchedule.of("linear", 50)
        assert float(linear.alpha_bar[0]) == pytest.approx(1 - 1e-4)
        expected = np.prod(1 - np.linspace(1e-4, 0.05, 50))
        assert float(linear.alpha_bar[-1]) == pytest.approx(expected)


class TestMuLawPatches:
    def test_compression_is_the_published_one(self) -> None:
        x = torch.tensor([-10, -2, -1, -0.3, 0, 0.3, 1, 2, 10], dtype=torch.float64)
        y = compress(x)
        assert float(y[7]) == pytest.approx(1.12465, abs=5e-6)
        assert float(y[8]) == pytest.approx(1.41461, abs=5e-6)
        torch.testing.assert_close(y[2:7], x[2:7], rtol=0, atol=0)
        torch.testing.assert_close(y.flip(0), -y)
        for law in ("staged", "full", "none"):
            torch.testing.assert_close(expand(compress(x, law), law), x)

    def test_a_token_is_a_patch_in_hundreds_of_microvolts(self) -> None:
        given = windows(1, n_channels=2, n_times=400)
        given = replace(given, signal=given.signal.clone())
        given.signal[0, 1, 200] = 200e-6
        tokens = MuLawPatches(200)(given)
        assert tokens.value.shape == (1, 4, 200)
        torch.testing.assert_close(tokens.value[0, 1], 1e4 * given.signal[0, 0, 200:])
        assert float(tokens.value[0, 3, 0]) == pytest.approx(1.12465, abs=1e-5)
        assert tokens.time.tolist() == [[0, 1, 0, 1]]
        assert tokens.channel.tolist() == [[0, 0, 1, 1]]
        torch.testing.assert_close(
            MuLawPatches(200).volts(tokens.value).flatten(), given.signal.flatten()
        )

    def test_magnetometers_come_to_the_same_order(self) -> None:
        given = windows(1, n_channels=3)
        kinds = torch.tensor([[int(Kind.eeg), int(Kind.mag), int(Kind.grad_planar)]])
        scale = torch.tensor([1.0, 1e-7, 1e-6])[:, None]
        value = MuLawPatches(200)(replace(given, kind=kinds, signal=given.signal * scale)).value
        assert value.std() == pytest.approx(0.1, rel=0.05)

    def test_refuses_what_it_would_have_to_cut_or_resample(self) -> None:
        with pytest.raises(UsageError, match="whole number of patches"):
            MuLawPatches(200)(windows(n_times=900))
        with pytest.raises(UsageError, match="250 Hz"):
            MuLawPatches(200)(windows(sfreq=250.0))


class TestRows:
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 100))
    @settings(max_examples=25)
    def test_there_and_back(self, lengths: list[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        channel = np.repeat(np.arange(len(lengths)), lengths).tolist() + [0, 1]  # noqa: RUF005
        time = [t for n in lengths for t in range(n)] + [0, 1]
        real = [True] * (len(channel) - 2) + [False] * 2
        if not any(real):
            return
        order = rng.permutation(len(channel))
        pick = [torch.tensor(np.array(x)[order])[None] for x in (channel, time, real)]
        value = torch.arange(1.0, 1 + len(channel)).reshape(1, -1, 1)
        tokens = Tokens(
            value=value, code=None, time=pick[1].float(), channel=pick[0],
            position=torch.zeros(1, len(channel), 3), kind=torch.zeros_like(pick[0]), mask=pick[2],
        )  # fmt: skip
        rows = rows_of(tokens)
        assert [n for n in lengths if n] == rows.real.sum(1).tolist()
        torch.testing.assert_close(rows.back(rows.value), value * tokens.mask.unsqueeze(-1))
        for row, channel_ in enumerate(rows.channel.tolist()):
            mine = (tokens.channel == channel_) & tokens.mask
            expected = value[mine][tokens.time[mine].argsort()]
            torch.testing.assert_close(rows.value[row][rows.real[row]], expected)


class TestDenoiser:
    def test_size_and_latents_are_the_published_ones(self) -> None:
        objective = load_model(PAPER).build(0)
        assert count_parameters(objective) == 5_931_649
        assert objective.backbone.dim == 20 * 128
        tokens = objective.tokenizer(windows(1, n_channels=22))
        with torch.no_grad():
            features = objective.backbone.eval()(tokens, layers=True)
        latents = torch.stack(features.layers, 1).unflatten(2, (22, 5)).transpose(2, 3)
        assert latents.shape == (1, 20, 5, 22, 128)
        assert 0 <= float(latents.min()) < float(latents.max()) <= 0.5013
        torch.testing.assert_close(features.value, torch.cat(features.layers, -1))

    def test_latents_are_the_deviation_of_the_gates(self) -> None:
        backbone, tokens = denoiser(), patches(n_channels=2)
        made = backbone(tokens, layers=True)
        signal = tokens.value.reshape(4, 200)
        step, channel = torch.ones(4, dtype=torch.long), torch.tensor([0, 1, 0, 1])
        for layer, activity in zip(
            made.layers, backbone.activities(signal, step, channel), strict=True
        ):
            gate = activity.gate.detach().numpy().reshape(2, 20, 20, 16)
            expected = gate.std(2, ddof=1)
            np.testing.assert_allclose(layer.detach(), expected, rtol=1e-4, atol=1e-6)

    def test_input_modes_are_three(self) -> None:
        tokens = patches()
        none, noiseless, noisy = (
            denoiser(latent_input=mode)(tokens).value for mode in ("none", "noiseless", "noisy")
        )
        scaled = replace(tokens, value=tokens.value * SCHEDULE.alpha_bar[1].sqrt().float())
        torch.testing.assert_close(denoiser()(scaled).value, noiseless)
        assert float((none - noiseless).detach().abs().max()) > 1e-6
        assert float((noisy - noiseless).detach().abs().max()) > 1e-3
        alone = Tokens(**{k: None if v is None else v[1:] for k, v in vars(tokens).items()})
        other = denoiser(latent_input="noisy")(alone).value
        torch.testing.assert_close(other[0], noisy[1])

    def test_step_and_channel_matter(self) -> None:
        tokens = patches()
        first = denoiser()(tokens).value
        assert float((denoiser(latent_step=7)(tokens).value - first).detach().abs().max()) > 1e-4
        moved = replace(tokens, channel=tokens.channel + 1)
        assert float((denoiser()(moved).value - first).detach().abs().max()) > 1e-4

    def test_permuted_channels_keep_their_latents_with_their_code(self) -> None:
        tokens, order = patches(), [2, 0, 3, 1]
        mixed = MuLawPatches(20)(
            replace(batch := windows(2, n_channels=4, n_times=200), signal=batch.signal[:, order])
        )
        plain = denoiser()(tokens).value.unflatten(1, (4, 10))
        coded = denoiser(channels=order)(mixed).value.unflatten(1, (4, 10))
        torch.testing.assert_close(coded, plain[:, order])
        uncoded = denoiser()(mixed).value.unflatten(1, (4, 10))
        assert float((uncoded - plain[:, order]).detach().abs().max()) > 1e-4

    def test_rows_of_other_lengths_do_not_touch_each_other(self) -> None:
        tokens = patches(n_channels=3)
        keep = torch.ones(30, dtype=torch.bool)
        keep[17:20] = False  # the second channel ends three patches early
        shorter = Tokens(**{k: None if v is None else v[:, keep] for k, v in vars(tokens).items()})
        whole, part = denoiser()(tokens).value, denoiser()(shorter).value
        torch.testing.assert_close(part[:, :10], whole[:, :10])
        torch.testing.assert_close(part[:, 17:], whole[:, 20:])
        only = Tokens(**{k: None if v is None else v[:, 10:17] for k, v in vars(tokens).items()})
        torch.testing.assert_close(part[:, 10:17], denoiser()(only).value)

    def test_refuses_what_it_does_not_know(self) -> None:
        with pytest.raises(UsageError, match="9 channels"):
            denoiser()(patches(n_channels=9))
        with pytest.raises(UsageError, match="20 samples"):
            denoiser(patch=50)(patches())
        with pytest.raises(UsageError, match="whole number of segments"):
            denoiser(segment=3)(patches())
        with pytest.raises(UsageError, match="latent_step"):
            denoiser(latent_step=50)
        with pytest.raises(UsageError, match="rows \\[8\\]"):
            denoiser(channels=[0, 8])
        with pytest.raises(UsageError, match="no standard deviation"):
            denoiser(patch=1)


class TestHalves:
    """Windows of 10 s go through as two halves of 5 s."""

    def test_equal_both_halves_by_themselves(self) -> None:
        batch = windows(2, n_channels=4, n_times=200)
        halves = [
            MuLawPatches(20)(replace(batch, signal=half)) for half in batch.signal.split(100, -1)
        ]
        apart = torch.cat([denoiser()(h).value.unflatten(1, (4, 5)) for h in halves], 2)
        together = denoiser(segment=5)(MuLawPatches(20)(batch)).value.unflatten(1, (4, 10))
        torch.testing.assert_close(together, apart)
        whole = denoiser()(MuLawPatches(20)(batch)).value.unflatten(1, (4, 10))
        assert float((whole - together).detach().abs().max()) > 1e-4

    def test_sixteen_of_the_22_derivations_are_read_in_halves_as_if_there_were_no_others(
        self,
    ) -> None:
        """CHB-MIT's rows of a window whose view has all 22, and 10 s as two segments."""
        rows = [*range(8), *range(14, 22)]
        batch = windows(2, n_channels=22, n_times=200)
        mask = torch.zeros_like(batch.mask)
        mask[:, rows] = True
        absent = replace(batch, signal=batch.signal * mask.unsqueeze(-1), mask=mask)
        few = windows(2, n_channels=16, n_times=200)
        few = replace(few, signal=batch.signal[:, rows])
        sizes = {"n_channels": 22, "segment": 5}
        masked = denoiser(**sizes)(MuLawPatches(20)(absent))
        chosen = denoiser(**sizes, channels=rows)(MuLawPatches(20)(few))
        value = masked.value.unflatten(1, (22, 10))
        torch.testing.assert_close(value[:, rows], chosen.value.unflatten(1, (16, 10)))
        torch.manual_seed(0)
        head = LatentFusionHead(48, 2, n_layers=3, n_pools=10, seconds=0.1, depth=1)
        torch.testing.assert_close(head(masked), head(chosen))

    def test_released_fold_holds_the_channels_that_the_defect_says(self) -> None:
        batch = windows(1, n_channels=4, n_times=200)
        released = denoiser(segment=5, fold="released")(MuLawPatches(20)(batch)).value
        pieces = batch.signal.unflatten(2, (2, 100))
        mixed = torch.empty_like(pieces)
        for half in range(2):
            for slot in range(4):
                # Half 0 holds channels 0 and 1, half 1 channels 2 and 3, both halves of each.
                mixed[:, slot, half] = pieces[:, slot // 2 + 2 * half, slot % 2]
        expected = denoiser(segment=5)(MuLawPatches(20)(replace(batch, signal=mixed.flatten(2))))
        torch.testing.assert_close(released, expected.value)

    def test_released_fold_changes_nothing_in_one_segment(self) -> None:
        tokens = patches()
        torch.testing.assert_close(
            denoiser(segment=10, fold="released")(tokens).value, denoiser()(tokens).value
        )

    def test_released_fold_is_refused_where_it_means_nothing(self) -> None:
        padded = patches()
        padded.mask[1, 30:] = False
        for backbone in (denoiser(fold="released"), denoiser(segment=5, fold="released")):
            with pytest.raises(UsageError, match="released"):
                backbone(padded)


class Noise(Dataset):
    def __getitem__(self, index: int) -> Batch:
        return windows(2, n_channels=2, n_times=100, seed=index)


def diffusion(**options: object) -> Diffusion:
    return Diffusion(MuLawPatches(20), denoiser(), **options)


class TestDiffusion:
    def test_first_loss_is_that_of_predicting_zero(self) -> None:
        given = windows(8, n_channels=8, n_times=1000)
        power = float((1e4 * given.signal).square().mean())
        objective = diffusion()
        for step in (0, 10, 25, 49):
            objective.backbone.noise = NoiseSchedule(SCHEDULE.alpha_bar[step].repeat(50))
            terms = objective(given, torch.Generator().manual_seed(0))
            left = float(SCHEDULE.alpha_bar[step])
            assert float(terms["loss"].detach()) == pytest.approx(
                left + (1 - left) * power, rel=0.02
            )
            assert float(terms["unexplained"]) == pytest.approx(1)

    def test_steps_are_drawn_evenly(self) -> None:
        objective, seen = diffusion(), []
        objective.average.model.forward = lambda x, step, *rest: seen.append(step) or 0 * x
        for seed in range(40):
            objective.eval()(
                windows(8, n_channels=8, n_times=20), torch.Generator().manual_seed(seed)
            )
        counts = torch.bincount(torch.cat(seen), minlength=50)
        assert len(counts) == 50
        # χ² with 49 degrees of freedom exceeds 86 once in a thousand.
        expected = counts.sum() / 50
        assert float(((counts - expected) ** 2 / expected).sum()) < 86

    def test_takes_no_more_channels_than_asked_and_no_padding(self) -> None:
        objective, seen = diffusion(samples=5), []
        objective.average.model.forward = lambda x, *rest: seen.append(x) or 0 * x
        objective.eval()(windows(4, n_times=100), torch.Generator().manual_seed(0))
        assert len(seen[0]) == 5
        given = pad_channels(windows(1, n_channels=2, n_times=100), 2)
        objective(given, torch.Generator().manual_seed(0))
        assert len(seen[1]) == 2

    def test_refuses_what_does_not_fit(self) -> None:
        with pytest.raises(UsageError, match="MotifTokenizer"):
            Diffusion(MotifTokenizer(32), denoiser())
        with pytest.raises(UsageError, match="MotifEncoder"):
            Diffusion(MuLawPatches(), MotifEncoder(200))

    def test_stopped_and_resumed_it_gives_the_same_average(self, tmp_path: Path) -> None:
        options = Train(
            steps=9, batch_size=2, warmup=2, validate_every=0, checkpoint_every=4, accelerator="cpu"
        )
        average = {"start": 2, "every": 2}
        whole, parts = diffusion(**average), diffusion(**average)
        fit(whole, Noise(), train=options, seed=3, out=tmp_path / "whole")

        class Stop(Noise):
            def __getitem__(self, index: int) -> Batch:
                if index == 6:
                    raise RuntimeError("killed")
                return super().__getitem__(index)

        with pytest.raises(RuntimeError, match="killed"):
            fit(parts, Stop(), train=options, seed=3, out=tmp_path / "parts")
        parts = diffusion(**average)
        fit(parts, Noise(), train=options, seed=3, out=tmp_path / "parts")
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(parts.state_dict()[name], value, rtol=0, atol=0)
        assert int(whole.average.n_steps) == 9
        mean = whole.average.model.state_dict()
        for name, value in whole.denoiser.state_dict().items():
            torch.testing.assert_close(value, mean[name], rtol=0, atol=0)

    def test_a_saved_model_comes_back(self, tmp_path: Path) -> None:
        objective = diffusion()
        save(objective, tmp_path, {})
        again, _ = load(tmp_path)
        torch.testing.assert_close(
            again.backbone(patches()).value, objective.backbone(patches()).value
        )


class TestWeightAverage:
    def test_follows_then_averages(self) -> None:
        model = torch.nn.Linear(1, 1, bias=False)
        average = WeightAverage(model, decay=0.5, start=2, every=2, power=None)
        expected = None
        for step in range(9):
            torch.nn.init.constant_(model.weight, float(step**2))
            average.update(model)
            if step % 2 == 0:
                expected = step**2 if step <= 2 else 0.5 * expected + 0.5 * step**2
            assert float(average.model.weight) == pytest.approx(expected)
        assert count_parameters(average) == 0

    def test_the_decay_rises_to_its_bound(self) -> None:
        average = WeightAverage(torch.nn.Linear(1, 1))
        assert average.weight(100) == 0
        assert average.weight(110) == pytest.approx(1 - 11 ** (-2 / 3))
        assert average.weight(200_000) == 0.999


def gaussian(deviation: float, schedule: NoiseSchedule) -> Velocity:
    """Return the exact denoiser of independent normal samples."""

    def velocity(x: Tensor, step: Tensor) -> Tensor:
        left = schedule.alpha_bar[step].unsqueeze(-1)
        power = left * deviation**2 + 1 - left
        clean = left.sqrt() * deviation**2 / power * x
        noise = (1 - left).sqrt() / power * x
        return (left.sqrt() * noise - (1 - left).sqrt() * clean).to(x.dtype)

    return velocity


class TestSampling:
    @pytest.mark.parametrize("name", ["ddpm", "ddim"])
    @pytest.mark.parametrize("deviation", [0.3, 1.0])
    def test_makes_up_signals_of_the_right_variance(self, name: str, deviation: float) -> None:
        errors = []
        for steps in (50, 400):
            schedule = NoiseSchedule.of("squared-cosine", steps)
            made = draw(
                gaussian(deviation, schedule),
                (200, 400),
                schedule,
                generator=torch.Generator().manual_seed(0),
                sampler=Sampler(name),
            )
            errors.append(abs(float(made.std()) / deviation - 1))
            centre = made - made.mean()
            assert float((centre**4).mean() / (centre**2).mean() ** 2) == pytest.approx(3, abs=0.1)
        # What 50 steps miss is the discretisation, and goes away with more of them.
        assert errors[0] < 0.12
        assert errors[1] < errors[0] / 5

    def test_ddpm_is_the_posterior_of_ho_et_al(self) -> None:
        generator = torch.Generator().manual_seed(0)
        velocity = gaussian(0.5, SCHEDULE)
        made = draw(velocity, (3, 5), SCHEDULE, generator=generator)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(3, 5, generator=generator)
        for t in range(49, -1, -1):
            here = float(SCHEDULE.alpha_bar[t])
            there = float(SCHEDULE.alpha_bar[t - 1]) if t else 1.0
            alpha, beta = here / there, 1 - here / there
            step = torch.full((3,), t)
            clean = SCHEDULE.clean(x, velocity(x, step), step)
            mean = there**0.5 * beta / (1 - here) * clean
            mean = mean + alpha**0.5 * (1 - there) / (1 - here) * x
            x = mean
            if t:
                spread = ((1 - there) / (1 - here) * beta) ** 0.5
                x = x + spread * torch.randn(3, 5, generator=generator)
        torch.testing.assert_close(made, x, rtol=1e-4, atol=1e-5)

    def test_ddim_is_decided_by_its_start_and_takes_fewer_steps(self) -> None:
        visited = []

        def velocity(x: Tensor, step: Tensor) -> Tensor:
            visited.append(int(step[0]))
            return torch.zeros_like(x)

        generator = torch.Generator().manual_seed(0)
        draw(velocity, (1, 3), SCHEDULE, generator=generator, sampler=Sampler("ddim", 5))
        assert visited[0] == 49
        assert visited[-1] == 0
        assert len(visited) == 5
        after = torch.randn(3, generator=generator)
        generator = torch.Generator().manual_seed(0)
        torch.randn(1, 3, generator=generator)
        torch.testing.assert_close(torch.randn(3, generator=generator), after)
        with pytest.raises(UsageError, match="1 to 50 steps"):
            Sampler(steps=51).path(50)

    def test_a_clip_bounds_what_is_made(self) -> None:
        made = draw(
            gaussian(1.0, SCHEDULE),
            (10, 100),
            SCHEDULE,
            generator=torch.Generator().manual_seed(0),
            sampler=Sampler(clip=1.0),
        )
        assert float(made.abs().max()) <= 1

    def test_a_trained_model_makes_eeg_with_the_rhythm_it_has_seen(self) -> None:
        """Some seconds of training on a 20 Hz rhythm of 50 µV that comes at any phase."""
        torch.manual_seed(0)
        backbone = StateSpaceDenoiser(
            100, width=24, depth=2, state=32, condition=16, code=16, n_channels=1
        )
        objective = Diffusion(MuLawPatches(100), backbone, start=50, every=5)
        optimizer = torch.optim.AdamW(objective.denoiser.parameters(), lr=5e-3)
        for step in range(160):
            objective.train().advance()
            terms = objective(rhythm(16, step), torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            terms["loss"].backward()
            optimizer.step()
        channel = torch.zeros(32, dtype=torch.long)
        made = [
            objective.generate(channel, 200, generator=torch.Generator().manual_seed(s))
            for s in (0, 0)
        ]
        torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)
        real = rhythm(32, 1000).signal[:, 0]
        compared = compare_spectra(real.numpy(), made[0].numpy(), 200.0)
        noise = compare_spectra(real.numpy(), 35e-6 * torch.randn(32, 200).numpy(), 200.0)
        at_peak = np.argmax(compared.generated)
        assert compared.frequency[at_peak] == pytest.approx(20, abs=2)
        assert float(made[0].std()) == pytest.approx(float(real.std()), rel=0.5)
        assert compared.overlap > 0.6 > noise.overlap


def rhythm(n: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * math.pi * torch.rand(n, 1, 1, generator=generator)
    wave = torch.sin(2 * math.pi * 20 / 200 * torch.arange(200.0) + phase)
    return replace(windows(n, n_channels=1, n_times=200), signal=50e-6 * wave)


class TestSpectra:
    def test_equal_windows_have_equal_spectra(self, rng: np.random.Generator) -> None:
        real = 1e-5 * rng.normal(size=(50, 1000))
        same = compare_spectra(real, real, 200.0)
        assert same.overlap == pytest.approx(1)
        assert same.distance == pytest.approx(0)
        louder = compare_spectra(real, 10 * real, 200.0)
        assert louder.overlap == pytest.approx(1)  # the shape is the same
        assert louder.distance == pytest.approx(20)  # in dB


class TestHead:
    def features(self, seed: int = 0) -> Features:
        generator = torch.Generator().manual_seed(seed)
        return Features(
            torch.rand(2, 110, 2560, generator=generator) / 2,
            torch.ones(2, 110, dtype=torch.bool),
            time=torch.arange(110).remainder(5).float().expand(2, -1),
        )

    def test_size_is_the_published_one(self) -> None:
        assert count_parameters(LatentFusionHead(2560, 6)) == 6_898_950

    @pytest.mark.parametrize(("dim", "n_layers"), [(385, 1), (869, 1), (385, 5), (385, 77)])
    def test_a_layer_may_be_of_any_width(self, dim: int, n_layers: int) -> None:
        torch.manual_seed(0)
        options = {"n_layers": n_layers, "n_tokens": 2, "depth": 1}
        head, given = LatentFusionHead(dim, 2, **options), self.features()
        head(replace(given, value=given.value[..., :dim])).sum().backward()
        assert all(bool(p.grad.isfinite().all()) for p in head.parameters())
        assert head.encoder[0].among.query.weight.shape[0] % 8 == 0

    def test_order_of_channels_does_not_matter_and_that_of_time_does(self) -> None:
        torch.manual_seed(0)
        head, given = LatentFusionHead(2560, 6).eval(), self.features()
        scores = head(given)
        value = given.value.unflatten(1, (22, 5))
        order = torch.randperm(22, generator=torch.Generator().manual_seed(1))
        mixed = head(replace(given, value=value[:, order].flatten(1, 2)))
        torch.testing.assert_close(mixed, scores, rtol=1e-4, atol=1e-5)
        late = head(replace(given, value=value.flip(2).flatten(1, 2)))
        assert float((late - scores).detach().abs().max()) > 1e-4

    def test_fits_on_the_denoiser(self) -> None:
        backbone = denoiser()
        head = LatentFusionHead(backbone.dim, 2, n_layers=3, n_pools=10, seconds=0.1, depth=1)
        scores = head(backbone(patches()))
        assert scores.shape == (2, 2)
        scores.sum().backward()
        assert all(p.grad is not None for p in head.parameters())

    def test_says_what_does_not_fit(self) -> None:
        with pytest.raises(UsageError, match="n_layers"):
            LatentFusionHead(101, 2)
        with pytest.raises(UsageError, match="does not say"):
            LatentFusionHead(2560, 6)(replace(self.features(), time=None))
        with pytest.raises(UsageError, match="set `n_pools`"):
            LatentFusionHead(2560, 6, n_pools=4)(self.features())
        with pytest.raises(UsageError, match="set `n_pools`"):
            LatentFusionHead(2560, 6, n_pools=6)(self.features())


def test_ten_minutes_of_a_channel_are_one_window() -> None:
    """An hour at the paper's size is `benchmarks/hour.py`."""
    torch.manual_seed(0)
    backbone = StateSpaceDenoiser(200, width=8, depth=2, state=8, condition=8, code=8)
    tokens = MuLawPatches()(windows(1, n_channels=1, n_times=120_000))
    with torch.no_grad():
        value = backbone(tokens).value
    assert value.shape == (1, 600, 16)
    assert torch.isfinite(value).all()


@pytest.mark.gpu
def test_a_step_is_the_same_on_a_gpu() -> None:
    here, there = diffusion().eval(), diffusion().eval().to("cuda")
    torch.nn.init.normal_(here.average.model.readout.out.weight)
    there.load_state_dict(here.state_dict())
    batch = windows(2, n_channels=4, n_times=200)
    losses = [
        float(objective(given, torch.Generator().manual_seed(0))["loss"].detach())
        for objective, given in ((here, batch), (there, batch.to("cuda")))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    made = there.generate(
        torch.zeros(2, dtype=torch.long, device="cuda"),
        40,
        generator=torch.Generator().manual_seed(0),
        steps=3,
    )
    assert made.is_cuda
