"""The laws that every tokenizer, backbone, head and objective obeys.

The classes are found by walking the contracts' subclasses, so a newcomer's gets the laws for free. It
is built from its defaults; a class that needs more is given an example below.
"""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from conftest import windows

from brainfm.backbones import BiMamba, MotifEncoder, PatchTransformer, StateSpaceDenoiser
from brainfm.contracts import Batch, Component, Features, Tokenizer, Tokens
from brainfm.errors import UsageError
from brainfm.heads import LatentFusionHead, LinearHead, MambaHead, StampHead
from brainfm.objectives import (
    Classification,
    Diffusion,
    LabelledBatch,
    MaskedCodes,
    MaskedRectangles,
    MaskedSignal,
    MotifReconstruction,
    Reconstruction,
    Regression,
)
from brainfm.recordings.recording import KINDS
from brainfm.stages.catalog import components
from brainfm.tokenizers import (
    Cached,
    Frozen,
    MontagePatches,
    MotifTokenizer,
    MuLawPatches,
    Patches,
    WindowCache,
)
from brainfm.weights import build, describe

CODES = 32
WIDTH = 64


def small_tokenizer() -> MotifTokenizer:
    return MotifTokenizer(
        n_codes=CODES, frequency_depth=1, temporal_depth=1, decoder_depth=1, dropout=0.1
    )


def small_backbone() -> MotifEncoder:
    return MotifEncoder(WIDTH, CODES, n_channels=8, depth=2)


def small_montage() -> MontagePatches:
    """Fit the windows of `windows`: 3 channels of 1000 samples at 200 Hz."""
    return MontagePatches(
        WIDTH, ch_names=("a-b", "b-c", "c-d"), n_times=1000, sfreq=200.0, patch=(3, 20)
    )


def small_bimamba() -> BiMamba:
    return BiMamba(WIDTH, depth=2, d_state=4, expand=2)


def small_denoiser(patch: int = WIDTH) -> StateSpaceDenoiser:
    return StateSpaceDenoiser(
        patch, width=16, depth=2, state=8, condition=16, code=8, n_channels=8, readout="last"
    )


EXAMPLES = {
    "MontagePatches": small_montage,
    "BiMamba": small_bimamba,
    "MambaHead": lambda: MambaHead(WIDTH, 3, width=32),
    "MaskedRectangles": lambda: MaskedRectangles(small_montage(), small_bimamba()),
    "MaskedSignal": lambda: MaskedSignal(Patches(WIDTH), small_bimamba()),
    "Reconstruction": lambda: Reconstruction(Patches(WIDTH), small_bimamba()),
    "MuLawPatches": lambda: MuLawPatches(100),
    "StateSpaceDenoiser": small_denoiser,
    "Diffusion": lambda: Diffusion(MuLawPatches(200), small_denoiser(200)),
    "LatentFusionHead": lambda: LatentFusionHead(
        WIDTH, 3, n_layers=2, n_pools=3, n_tokens=4, depth=1, heads=4
    ),
    "StampHead": lambda: StampHead(WIDTH, 3, n_channels=2, n_steps=3, width=16, depth=2),
    "MotifTokenizer": small_tokenizer,
    "Frozen": lambda: Frozen(small_tokenizer()),
    "Cached": lambda: Cached(small_tokenizer(), cache=WindowCache()),
    "MotifEncoder": small_backbone,
    "PatchTransformer": lambda: PatchTransformer(WIDTH, width=48, depth=2, heads=4),
    "LinearHead": lambda: LinearHead(WIDTH, 3),
    "MotifReconstruction": lambda: MotifReconstruction(small_tokenizer()),
    "MaskedCodes": lambda: MaskedCodes(Frozen(small_tokenizer()), small_backbone()),
    "Classification": lambda: Classification(
        Frozen(small_tokenizer()), small_backbone(), LinearHead(WIDTH, 2)
    ),
    "Regression": lambda: Regression(
        Frozen(small_tokenizer()), small_backbone(), LinearHead(WIDTH, 1), mean=0.5, scale=0.5
    ),
}
# One needs a trained run and is `Frozen` otherwise; the other, never trained, a model of another package.
ELSEWHERE = {"Pretrained", "SeriesBackbone"}


def examples(folder: str) -> list[str]:
    return [name for name in components(folder) if name not in ELSEWHERE]


def make(folder: str, name: str, seed: int = 0) -> Component:
    torch.manual_seed(seed)
    defaults = {"backbones": (WIDTH,), "heads": (WIDTH, 3)}
    kind = components(folder)[name]
    return EXAMPLES[name]() if name in EXAMPLES else kind(*defaults.get(folder, ()))


def tokens(n: int = 2, n_tokens: int = 12, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, n_tokens)
    return Tokens(
        value=torch.randn(*shape, WIDTH, generator=generator),
        code=torch.randint(CODES, shape, generator=generator),
        time=torch.arange(n_tokens).expand(shape) % 4 * 0.5,
        channel=(torch.arange(n_tokens) // 4).expand(shape),
        position=torch.zeros(*shape, 3),
        kind=torch.zeros(shape, dtype=torch.long),
        mask=torch.ones(shape, dtype=torch.bool),
    )


def features(n: int = 2, n_tokens: int = 6, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(n, n_tokens, WIDTH, generator=generator, requires_grad=True)
    time = (torch.arange(n_tokens) % 3).float().expand(n, n_tokens)
    channel = (torch.arange(n_tokens) // 3).expand(n, n_tokens)
    real = torch.ones(n, n_tokens, dtype=torch.bool)
    return Features(value, real, time=time, channel=channel)


def batch(n: int = 2) -> LabelledBatch:
    return LabelledBatch(**vars(windows(n)), label=torch.arange(n) % 2)


def pad_channels(given: Batch, extra: int) -> Batch:
    """Append channels that are padding and hold rubbish."""
    n, _, length = given.signal.shape
    noise = 7 * torch.randn(n, extra, length, generator=torch.Generator().manual_seed(9))
    unknown = torch.full((n, extra, 3), torch.nan)
    more = {
        "signal": noise,
        "position": unknown,
        "orientation": unknown,
        "kind": torch.zeros(n, extra, dtype=torch.long),
        "mask": torch.zeros(n, extra, dtype=torch.bool),
    }
    return replace(given, **{k: torch.cat([getattr(given, k), v], 1) for k, v in more.items()})


def pad_tokens(given: Tokens, extra: int) -> Tokens:
    """Append tokens that are padding and hold rubbish."""
    more = tokens(len(given.mask), extra, seed=5)
    more = replace(more, value=50 * more.value, mask=torch.zeros_like(more.mask))
    return Tokens(
        **{
            f.name: torch.cat([getattr(given, f.name), getattr(more, f.name)], 1)
            for f in fields(given)
        }
    )


def assert_round_trip(component: Component) -> Component:
    again = build(describe(component))
    assert type(again) is (component.saved_as or type(component))
    again.load_state_dict(component.state_dict())
    return again.eval()


def assert_gradients(component: Component, loss: torch.Tensor) -> None:
    loss.backward()
    for name, parameter in component.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_every_class_is_put_to_the_laws() -> None:
    for folder in ("tokenizers", "backbones", "heads", "objectives"):
        assert examples(folder), folder


def test_kinds_are_the_same_words_in_files_and_models() -> None:
    from brainfm.contracts import Kind

    assert [kind.name for kind in Kind] == list(KINDS)


@pytest.mark.parametrize("name", examples("tokenizers"))
class TestTokenizers:
    def test_tokens_fit_the_window(self, name: str) -> None:
        tokenizer = make("tokenizers", name).eval()
        assert isinstance(tokenizer, Tokenizer)
        for n_channels, n_times in ((1, 200), (3, 1000), (7, 1900)):
            given = windows(2, n_channels=n_channels, n_times=n_times)
            if tokenizer.ch_names is not None and given.signal.shape[1:] != (3, 1000):
                with pytest.raises(UsageError, match="knows exactly 3"):
                    tokenizer(given)
                continue
            made = tokenizer(given)
            assert made.value.shape[2] == tokenizer.dim
            assert int(made.channel.max()) < n_channels
            assert float(made.time.min()) >= 0
            assert float(made.time.max()) < n_times / given.sfreq
            assert (made.code is None) == (tokenizer.vocabulary is None)
            if made.code is not None:
                assert 0 <= int(made.code.min()) <= int(made.code.max()) < tokenizer.vocabulary

    def test_padded_channels_change_nothing(self, name: str) -> None:
        tokenizer = make("tokenizers", name).eval()
        if (
            tokenizer.ch_names is not None
        ):  # knows its channels by place, so there can be no padding
            with pytest.raises(UsageError, match="padding"):
                tokenizer(pad_channels(windows(), 2))
            return
        plain, padded = tokenizer(windows()), tokenizer(pad_channels(windows(), 2))
        real = padded.mask[0]
        torch.testing.assert_close(padded.value[:, real], plain.value)
        torch.testing.assert_close(padded.channel[:, real], plain.channel)
        assert int(padded.mask.sum()) == plain.mask.numel()

    def test_windows_are_independent(self, name: str) -> None:
        tokenizer = make("tokenizers", name).eval()
        first, other = windows(2), windows(2, seed=1)
        mixed = replace(first, signal=torch.cat([first.signal[:1], 100 * other.signal[1:]]))
        torch.testing.assert_close(tokenizer(mixed).value[0], tokenizer(first).value[0])

    def test_is_deterministic_and_comes_back_from_its_description(self, name: str) -> None:
        tokenizer = make("tokenizers", name).eval()
        again = assert_round_trip(tokenizer)
        torch.testing.assert_close(
            again(windows()).value, tokenizer(windows()).value, rtol=0, atol=0
        )


@pytest.mark.parametrize("name", examples("backbones"))
class TestBackbones:
    def test_keeps_the_shape_for_any_number_of_tokens(self, name: str) -> None:
        backbone = make("backbones", name).eval()
        for n_tokens in (1, 5, 32):
            given = tokens(2, n_tokens)
            made = backbone(given, layers=True)
            assert made.value.shape == (2, n_tokens, backbone.dim)
            assert made.time is given.time
            assert made.channel is given.channel
            torch.testing.assert_close(made.layers[-1], made.value)

    def test_padded_tokens_change_nothing(self, name: str) -> None:
        backbone = make("backbones", name).eval()
        plain, padded = backbone(tokens()), backbone(pad_tokens(tokens(), 3))
        torch.testing.assert_close(padded.value[:, :12], plain.value, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded.pooled(), plain.pooled(), rtol=1e-4, atol=1e-5)

    def test_windows_are_independent(self, name: str) -> None:
        backbone = make("backbones", name).eval()
        first, other = tokens(), tokens(seed=1)
        mixed = Tokens(
            **{
                f.name: torch.cat([getattr(first, f.name)[:1], getattr(other, f.name)[1:]])
                for f in fields(first)
            }
        )
        torch.testing.assert_close(backbone(mixed).value[0], backbone(first).value[0])

    def test_every_parameter_gets_a_finite_gradient(self, name: str) -> None:
        backbone = make("backbones", name)
        made = backbone(tokens())
        assert_gradients(backbone, made.value.square().sum() + made.pooled().square().sum())

    def test_is_deterministic_and_comes_back_from_its_description(self, name: str) -> None:
        backbone = make("backbones", name).eval()
        again = assert_round_trip(backbone)
        torch.testing.assert_close(again(tokens()).value, backbone(tokens()).value, rtol=0, atol=0)

    def test_half_precision_is_near(self, name: str) -> None:
        backbone = make("backbones", name).eval()
        exact = backbone(tokens()).value
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(tokens()).value
        error = (rough - exact).norm() / exact.norm()
        assert 0 < error < 0.02


@pytest.mark.parametrize("name", examples("heads"))
class TestHeads:
    def test_gives_a_row_a_window_whatever_is_padded(self, name: str) -> None:
        head = make("heads", name).eval()
        given = features()
        rubbish = torch.full((2, 3, WIDTH), 1e3)
        padded = Features(
            torch.cat([given.value, rubbish], 1),
            torch.cat([given.mask, torch.zeros(2, 3, dtype=torch.bool)], 1),
            time=torch.cat([given.time, torch.full((2, 3), 99.0)], 1),
            channel=torch.cat([given.channel, torch.full((2, 3), 99)], 1),
        )
        assert head(given).shape == (2, 3)
        torch.testing.assert_close(head(padded), head(given))

    def test_every_parameter_gets_a_finite_gradient(self, name: str) -> None:
        head = make("heads", name)
        given = features()
        given.value.retain_grad()
        assert_gradients(head, head(given).square().sum())
        assert given.value.grad is not None

    def test_comes_back_from_its_description(self, name: str) -> None:
        head = make("heads", name).eval()
        torch.testing.assert_close(assert_round_trip(head)(features()), head(features()))


@pytest.mark.parametrize("name", examples("objectives"))
class TestObjectives:
    def test_every_trained_parameter_gets_a_finite_gradient(self, name: str) -> None:
        objective = make("objectives", name)
        terms = objective(batch(), torch.Generator().manual_seed(0))
        assert all(term.ndim == 0 for term in terms.values())
        assert_gradients(objective, terms["loss"])

    def test_randomness_comes_from_the_generator(self, name: str) -> None:
        objective = make("objectives", name).eval()
        losses = [
            float(objective(batch(), torch.Generator().manual_seed(s))["loss"].detach())
            for s in (1, 1)
        ]
        assert losses[0] == losses[1]

    def test_training_lowers_the_loss(self, name: str) -> None:
        objective = make("objectives", name)
        given = batch(4)
        objective.begin(given)
        learned = [p for p in objective.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=2e-3)
        before = self.loss(objective, given)
        for step in range(25):
            objective.train().advance()
            terms = objective(given, torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            terms["loss"].backward()
            optimizer.step()
        assert self.loss(objective, given) < 0.97 * before

    def loss(self, objective: Component, given: Batch) -> float:
        with torch.no_grad():
            return float(objective.eval()(given, torch.Generator().manual_seed(0))["loss"])

    def test_comes_back_from_its_description(self, name: str) -> None:
        objective = make("objectives", name).eval()
        again = assert_round_trip(objective)
        losses = [
            float(o(batch(), torch.Generator().manual_seed(0))["loss"].detach())
            for o in (objective, again)
        ]
        assert losses[0] == losses[1]
