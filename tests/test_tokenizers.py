"""The motif tokenizer, its objective and its encoder, number by number as published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from conftest import windows
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import stft
from test_contracts import CODES, WIDTH, pad_channels, small_backbone, small_tokenizer, tokens
from torch.nn.functional import layer_norm

from brainfm.backbones import MotifEncoder
from brainfm.backbones.motif_encoder import sinusoid
from brainfm.cli import main
from brainfm.contracts import Batch
from brainfm.errors import UsageError
from brainfm.heads import LinearHead
from brainfm.layers.linear_attention import LinearAttention, LinearTransformer
from brainfm.layers.spectrum import magnitude_spectrogram, scale_by_percentile
from brainfm.objectives import MaskedCodes, MotifReconstruction
from brainfm.objectives.masks import frequency_time_mask, token_mask
from brainfm.objectives.motif_reconstruction import perplexity
from brainfm.tokenizers import Cached, Frozen, MotifTokenizer, MuLawPatches, WindowCache
from brainfm.tokenizers import cached as cached_module
from brainfm.tokenizers.quantizer import Quantizer
from brainfm.weights import count_parameters


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spread(seed: int = 0, **options: object) -> MotifTokenizer:
    """Return a tokenizer whose code vectors lie among the encoder's outputs."""
    torch.manual_seed(seed)
    tokenizer = small_tokenizer() if not options else MotifTokenizer(**options)
    with torch.no_grad():
        rows = tokenizer.channels(windows(8, seed=99))
        near = tokenizer.eval().encode(tokenizer.spectrogram(rows), rows).flatten(0, 1)
        noise = torch.randn(tokenizer.n_codes, tokenizer.dim, generator=seeded(seed))
        chosen = torch.arange(tokenizer.n_codes) % len(near)
        tokenizer.codebook.copy_(near[chosen] + 0.01 * noise)
    return tokenizer


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(("seconds", "n_frames"), [(5, 9), (10, 19), (30, 59)])
def test_spectrogram_and_tokens_have_the_published_shape(seconds: int, n_frames: int) -> None:
    tokenizer = small_tokenizer().eval()
    batch = windows(2, n_times=200 * seconds)
    rows = tokenizer.channels(batch)
    assert tokenizer.spectrogram(rows).shape == (6, 100, n_frames)
    made = tokenizer(batch)
    assert made.code.shape == (2, 3 * n_frames)
    assert made.channel[0].tolist() == [c for c in range(3) for _ in range(n_frames)]
    wanted = [0.5 * frame for _ in range(3) for frame in range(n_frames)]
    assert made.time[0].tolist() == wanted


def test_the_tokenizer_learns_1166100_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = MotifTokenizer()
    assert count_parameters(tokenizer) == 1_166_100
    assert tokenizer.codebook.numel() == 524_288
    assert main(["show", "tfm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 1_166_100


def test_tokenizer_encoder_and_head_have_1891114_numbers() -> None:
    encoder, head = MotifEncoder(64), LinearHead(64, 6)
    every = sum(p.numel() for part in (encoder, head) for p in part.parameters())
    assert every == 725_014
    assert count_parameters(encoder) + count_parameters(head) == 724_998
    assert encoder.row.tolist() == list(range(16))
    assert count_parameters(MotifTokenizer()) + every == 1_891_114


# ------------------------------------------------------------------ spectrum and scale


def test_spectra_are_scipy_s() -> None:
    rows = torch.randn(3, 1000, generator=seeded(0))
    _, _, wanted = stft(
        rows.numpy(), window="hann", nperseg=200, noverlap=100, boundary=None, padded=False
    )
    made = magnitude_spectrogram(rows, n_fft=200, hop=100).numpy()
    # scipy divides by the window's sum, which is 100
    np.testing.assert_allclose(made, 100 * np.abs(wanted)[:, :100], atol=1e-3)


def test_a_sine_stands_in_its_own_bin() -> None:
    time = torch.arange(1000) / 200
    for freq in (1, 10, 47, 99):
        made = magnitude_spectrogram(
            torch.sin(2 * torch.pi * freq * time)[None], n_fft=200, hop=100
        )
        assert made.argmax(1).unique().tolist() == [freq]


@settings(max_examples=30)
@given(st.integers(-60, 60), st.integers(0, 1000))
def test_scaling_by_a_power_of_two_is_exact(power: int, seed: int) -> None:
    rows = torch.randn(2, 400, generator=seeded(seed))
    assert torch.equal(scale_by_percentile(rows * 2.0**power), scale_by_percentile(rows))


def test_scale_is_numpy_s_percentile() -> None:
    rows = torch.randn(4, 997, generator=seeded(1))
    wanted = rows.numpy() / np.percentile(np.abs(rows.numpy()), 95, axis=1, keepdims=True)
    np.testing.assert_allclose(scale_by_percentile(rows).numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e-20])
def test_silence_and_a_single_spike_stay_finite(unit: float) -> None:
    rows = torch.zeros(3, 1000)
    rows[1, 500] = unit
    rows[2] = 1e-12 * unit * torch.randn(1000, generator=seeded(0))
    rows[2, 500] = unit
    batch = replace(windows(1), signal=rows[None])
    objective = MotifReconstruction(small_tokenizer())
    assert torch.isfinite(objective.tokenizer(batch).value).all()
    assert torch.isfinite(objective(batch, seeded(0))["loss"])
    assert torch.equal(scale_by_percentile(rows[:1]), rows[:1])


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20, 0.5, 1024.0])
def test_codes_do_not_depend_on_the_unit_at_all_for_powers_of_two(factor: float) -> None:
    tokenizer, batch = spread().eval(), windows(4)
    scaled = replace(batch, signal=batch.signal * factor)
    assert torch.equal(tokenizer(scaled).code, tokenizer(batch).code)
    assert len(tokenizer(batch).code.unique()) > 3


def test_codes_hardly_ever_depend_on_the_unit() -> None:
    tokenizer, batch = spread().eval(), windows(40)  # 1,080 codes
    volts = tokenizer(batch).code
    for factor in (1e-6, 3e-3, 0.7, 13.0, 1e6):  # 1e6: volts to microvolts
        scaled = replace(batch, signal=batch.signal * factor)
        assert (tokenizer(scaled).code == volts).float().mean() >= 0.999, factor


def test_a_channel_s_tokens_do_not_depend_on_the_others() -> None:
    tokenizer, batch = spread().eval(), windows(2)
    together = tokenizer(batch)
    for channel in range(3):
        alone = tokenizer(
            Batch(
                **{f: getattr(batch, f)[:, [channel]] for f in PER_CHANNEL},
                sfreq=batch.sfreq,
                recording=batch.recording,
                onset=batch.onset,
            )
        )
        mine = together.channel[0] == channel
        torch.testing.assert_close(alone.value, together.value[:, mine])
        assert torch.equal(alone.code, together.code[:, mine])
    order = [2, 0, 1]
    moved = tokenizer(replace(batch, signal=batch.signal[:, order]))
    assert torch.equal(moved.code.view(2, 3, -1), together.code.view(2, 3, -1)[:, order])


PER_CHANNEL = ("signal", "position", "orientation", "kind", "mask")


def test_windows_that_do_not_fit_are_refused() -> None:
    tokenizer = small_tokenizer()
    with pytest.raises(UsageError, match="have 250 Hz and the tokenizer wants 200 Hz"):
        tokenizer(windows(sfreq=250.0))
    with pytest.raises(UsageError, match="longer windows"):
        tokenizer(windows(n_times=199))
    with pytest.raises(UsageError, match="cannot be built"):
        MotifTokenizer(n_fft=128)


# ------------------------------------------------------------------ masks


@pytest.mark.parametrize("n_frames", [9, 19, 59, 1])
@pytest.mark.parametrize("seed", range(5))
def test_half_of_the_bands_and_of_the_frames_are_hidden(n_frames: int, seed: int) -> None:
    keep = frequency_time_mask(100, n_frames, generator=seeded(seed))
    bands, frames = keep.any(1), keep.any(0)
    assert torch.equal(keep, bands[:, None] & frames[None])  # the same bands in every frame
    grouped = bands.view(20, 5)
    assert torch.equal(grouped.all(1), grouped.any(1))  # whole bands of 5 bins
    assert int(grouped.any(1).sum()) == 10
    assert int((~frames).sum()) == n_frames // 2
    assert float(keep.float().mean()) == pytest.approx(0.5 * (n_frames - n_frames // 2) / n_frames)


def test_every_band_and_frame_is_hidden_as_often() -> None:
    n, generator = 2000, seeded(0)
    masks = [frequency_time_mask(100, 9, generator=generator) for _ in range(n)]
    bands = torch.stack([m.any(1) for m in masks]).float().mean(0)
    frames = torch.stack([m.any(0) for m in masks]).float().mean(0)
    assert (bands - 0.5).abs().max() < 4 * (0.25 / n) ** 0.5
    assert (frames - 5 / 9).abs().max() < 4 * (0.25 / n) ** 0.5


def test_views_are_complementary_masked_cells_are_zero_and_the_raw_path_sees_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, batch = MotifReconstruction(small_tokenizer()), windows(2)
    seen = []
    encode = MotifTokenizer.encode

    def spy(self, spectrogram, rows):
        seen.append((spectrogram.detach(), rows.detach()))
        return encode(self, spectrogram, rows)

    monkeypatch.setattr(MotifTokenizer, "encode", spy)
    objective(batch, seeded(3))
    rows = objective.tokenizer.channels(batch)
    whole = objective.tokenizer.spectrogram(rows)
    (first, raw1), (second, raw2) = seen
    assert torch.equal(first + second, whole)
    assert not (first * second).any()
    keep = frequency_time_mask(100, 9, generator=seeded(3))
    assert torch.equal(first, whole * keep)
    assert float((first != 0).float().mean()) == pytest.approx(0.5 * 5 / 9, abs=1e-3)
    for raw in (raw1, raw2):
        assert torch.equal(raw, rows)


def test_hidden_tokens_are_real_and_hidden_with_their_probability() -> None:
    real = torch.ones(200, 100, dtype=torch.bool)
    real[:, 60:] = False
    hidden = token_mask(real, 0.3, seeded(0))
    assert not hidden[:, 60:].any()
    assert float(hidden[:, :60].float().mean()) == pytest.approx(0.3, abs=0.02)


# ------------------------------------------------------------------ code vectors


def test_encoded_tokens_have_unit_length_and_code_vectors_have_not() -> None:
    torch.manual_seed(0)
    tokenizer = MotifTokenizer()
    rows = tokenizer.channels(windows(1))
    encoded = tokenizer.encode(tokenizer.spectrogram(rows), rows)
    torch.testing.assert_close(encoded.norm(dim=-1), torch.ones(3, 9))
    book = tokenizer.codebook
    assert float(book.abs().max()) <= 1 / 8192
    assert float(book.mean()) == pytest.approx(0, abs=1e-6)
    assert float(book.std()) == pytest.approx(2 / 8192 / 12**0.5, rel=0.01)
    tokenizer.quantize(3 * encoded)  # moves the codes that are used past the unit sphere
    assert float(tokenizer.codebook.norm(dim=-1).max()) > 1.5


def test_a_code_is_the_nearest_in_euclidean_distance() -> None:
    quantizer = Quantizer(4, 9).eval()
    quantizer.ema_codebook.copy_(torch.randn(9, 4, generator=seeded(0)))
    x = torch.randn(2, 7, 4, generator=seeded(1))
    made = quantizer(x)
    book = quantizer.ema_codebook.numpy()
    distance = ((x.numpy()[:, :, None] - book) ** 2).sum(-1)
    np.testing.assert_array_equal(made.code.numpy(), distance.argmin(-1))
    np.testing.assert_allclose(made.value.numpy(), book[made.code.numpy()])
    # ((…)²).mean() as nn.functional.mse_loss has it: over tokens and features
    assert float(made.commitment) == pytest.approx(distance.min(-1).mean() / 4, rel=1e-5)


def test_code_vectors_are_the_moving_average_of_their_members() -> None:
    decay, eps, n_codes, dim = 0.99, 1e-5, 6, 3
    quantizer = Quantizer(dim, n_codes, decay=decay)
    assert not quantizer.vq._codebook.cluster_size.any()  # counts start at zero
    book = quantizer.ema_codebook.double().numpy().copy()
    sums, counts = book.copy(), np.zeros(n_codes)
    for step in range(5):
        x = torch.randn(2, 10, dim, generator=seeded(step))
        flat = x.reshape(-1, dim).double().numpy()
        member = ((flat[:, None] - book) ** 2).sum(-1).argmin(1)
        for k in range(n_codes):
            counts[k] = decay * counts[k] + (1 - decay) * (member == k).sum()
            sums[k] = decay * sums[k] + (1 - decay) * flat[member == k].sum(0)
        total = counts.sum()
        smoothed = (counts + eps) / (total + n_codes * eps) * total
        book = sums / smoothed[:, None]
        quantizer.train()(x)
        np.testing.assert_allclose(quantizer.ema_codebook.numpy(), book, rtol=1e-3, atol=1e-5)
    quantizer.eval()(x)
    np.testing.assert_allclose(quantizer.ema_codebook.numpy(), book, rtol=1e-3, atol=1e-5)


def test_gradients_pass_straight_through() -> None:
    quantizer = Quantizer(4, 9)
    x = torch.randn(1, 5, 4, generator=seeded(0), requires_grad=True)
    weight = torch.randn(1, 5, 4, generator=seeded(1))
    (quantizer(x).value * weight).sum().backward()
    assert torch.equal(x.grad, weight)


def test_padded_rows_are_no_part_of_the_loss() -> None:
    losses, books = [], []
    for batch in (windows(), pad_channels(windows(), 3)):
        torch.manual_seed(0)
        objective = MotifReconstruction(small_tokenizer())
        objective.begin(batch)
        torch.manual_seed(1)  # dropout
        terms = objective(batch, seeded(0))
        losses.append({k: float(v.detach()) for k, v in terms.items()})
        books.append(objective.tokenizer.codebook.clone())
    assert losses[0] == losses[1]
    assert torch.equal(*books)


def encoder_gradient(vq_loss: str, beta: float) -> torch.Tensor:
    torch.manual_seed(0)
    objective = MotifReconstruction(small_tokenizer(), vq_loss=vq_loss, beta=beta)
    torch.manual_seed(1)
    objective(windows(), seeded(0))["loss"].backward()
    parts = (objective.tokenizer.spectral, objective.tokenizer.temporal, objective.tokenizer.fusion)
    return torch.cat([p.grad.flatten() for part in parts for p in part.parameters()])


def test_the_paper_s_commitment_draws_the_encoder_and_the_released_one_does_not() -> None:
    nothing = encoder_gradient("paper", 0.0)
    assert nothing.abs().max() > 0
    assert torch.equal(encoder_gradient("released", 1.0), nothing)
    assert torch.equal(encoder_gradient("released", 5.0), nothing)
    one, two = (encoder_gradient("paper", beta) - nothing for beta in (1.0, 2.0))
    assert one.norm() > 1e-3 * nothing.norm()
    torch.testing.assert_close(two, 2 * one, rtol=1e-2, atol=1e-4 * float(one.abs().max()))


def test_the_loss_is_what_its_formula_says() -> None:
    objective, batch = MotifReconstruction(spread(), beta=0.25).eval(), windows()
    tokenizer = objective.tokenizer
    with torch.no_grad():
        terms = objective(batch, seeded(0))
        rows = tokenizer.channels(batch)
        target = tokenizer.spectrogram(rows)
        keep = frequency_time_mask(100, 9, generator=seeded(0))
        wanted = 0.0
        for visible in (keep, ~keep):
            encoded = tokenizer.encode(target * visible, rows)
            value = tokenizer.quantize(encoded).value
            wanted += float(((tokenizer.decode(value) - target) ** 2).mean())
            wanted += 0.25 * float(((encoded - value) ** 2).mean())
    assert float(terms["loss"]) == pytest.approx(wanted, rel=1e-5)


def test_perplexity_counts_evenly_used_codes() -> None:
    assert float(perplexity(torch.arange(8).repeat(5), 100)) == pytest.approx(8, rel=1e-5)
    assert float(perplexity(torch.zeros(7, dtype=torch.long), 100)) == pytest.approx(1)


# ------------------------------------------------------------------ frozen and cached


def test_a_frozen_tokenizer_stays_in_evaluation_and_unchanged() -> None:
    frozen = Frozen(spread())
    objective = MaskedCodes(frozen, small_backbone())
    before = {k: v.clone() for k, v in frozen.state_dict().items()}
    for call in (frozen.train, objective.train, lambda: frozen.train(True)):
        call()
        assert not any(m.training for m in frozen.modules())
        assert objective.backbone.training or call is not objective.train
    assert not any(p.requires_grad for p in frozen.parameters())
    optimizer = torch.optim.AdamW(objective.parameters(), lr=0.1, weight_decay=0.5)
    backbone = objective.backbone.code.weight.detach().clone()
    for step in range(3):
        optimizer.zero_grad()
        objective(windows(), seeded(step))["loss"].backward()
        optimizer.step()
    assert not torch.equal(objective.backbone.code.weight, backbone)
    for name, value in frozen.state_dict().items():
        assert torch.equal(value, before[name]), name


def assert_same_tokens(first: object, other: object) -> None:
    for field in fields(first):
        mine, theirs = (getattr(t, field.name) for t in (first, other))
        torch.testing.assert_close(mine, theirs, equal_nan=True, msg=field.name)
    assert torch.equal(first.code, other.code)


def part(batch: Batch, rows: list[int]) -> Batch:
    chosen = {f: getattr(batch, f)[rows] for f in (*PER_CHANNEL, "onset")}
    names = tuple(batch.recording[i] for i in rows)
    return Batch(**chosen, sfreq=batch.sfreq, recording=names)


def test_cached_tokens_are_the_tokenizer_s_and_each_window_s_are_made_once() -> None:
    plain, cache, batch = spread().eval(), WindowCache(), windows(6)
    cached = Cached(plain, cache=cache)
    for rows in ([0, 1], [1, 2, 0], [5, 5, 4], [0, 1, 2, 3, 4, 5]):
        assert_same_tokens(cached(part(batch, rows)), plain(part(batch, rows)))
    assert cache.n_computed == 6
    assert_same_tokens(Cached(plain, cache=cache)(batch), plain(batch))
    assert cache.n_computed == 6
    other = Cached(spread(seed=1), cache=cache)  # another tokenizer finds nothing of its own
    assert_same_tokens(other(batch), other.tokenizer(batch))
    assert cache.n_computed == 12


def test_a_cache_tells_tokenizers_apart_that_differ_in_an_option_alone() -> None:
    loud, cache = replace(windows(2), signal=1e3 * windows(2).signal), WindowCache()
    for law in ("staged", "full", "none"):
        plain = MuLawPatches(200, law=law)
        assert torch.equal(Cached(plain, cache=cache)(loud).value, plain(loud).value)


def test_a_cache_does_not_answer_for_another_sampling_rate() -> None:
    cached = Cached(spread(), cache=WindowCache())
    cached(windows())
    with pytest.raises(UsageError, match="250 Hz"):
        cached(windows(sfreq=250.0))


def test_a_small_cache_forgets_and_is_right_all_the_same() -> None:
    plain, batch = spread().eval(), windows(6)
    cache = WindowCache(max_bytes=20_000)
    cached = Cached(plain, cache=cache)
    for _ in range(2):
        for rows in ([0, 1, 2], [3, 4, 5], [2, 2, 0]):
            assert_same_tokens(cached(part(batch, rows)), plain(part(batch, rows)))
            assert cache.n_bytes <= 20_000
    assert cache.n_computed > 6


class Clock:
    """A clock that goes only where a test lets it, in place of the module ``time``."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_a_stopwatch_does_not_feel_what_others_left_in_the_cache(monkeypatch) -> None:
    clock = Clock()
    monkeypatch.setattr(cached_module, "time", clock)
    batch = windows(4)

    def made(seconds: float, lookup: Callable[[Batch], object] = lambda window: None):
        def make(window: Batch) -> dict[str, torch.Tensor]:
            lookup(window)
            clock.now += seconds
            return {"made": window.signal.mean(2)}

        return make

    def tokens(cache: WindowCache, rows: list[int]) -> None:
        cache.rows(part(batch, rows), b"tokens", made(3.0))

    def features(cache: WindowCache, rows: list[int]) -> None:
        inside = lambda window: cache.rows(window, b"tokens", made(3.0))  # noqa: E731
        cache.rows(part(batch, rows), b"features", made(5.0, inside))

    def fit(cache: WindowCache) -> float:
        with cache.stopwatch() as watch:
            features(cache, [0, 1, 1])
            clock.now += 2.0  # its own
            features(cache, [1, 0])
            tokens(cache, [1, 2])
            return watch.seconds

    alone = fit(WindowCache())
    assert alone == 2 * (3 + 5) + 2 + 3
    shared = WindowCache()
    for before in (tokens, features, tokens):  # by others, each a little more
        before(shared, [2, 1] if before is tokens else [1, 3])
        assert fit(shared) == alone
        n = shared.n_computed
        assert fit(shared) == alone
        assert shared.n_computed == n  # now all of it is looked up
    small = WindowCache(max_bytes=1)
    tokens(small, [0])
    assert fit(small) >= alone  # what was forgotten is paid for


# ------------------------------------------------------------------ linear attention


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max())
    return raised / raised.sum()


def attend(layer: LinearAttention, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Efficient attention (Shen et al. 2021, eq. 4) for one sequence, one number at a time.

    Token t looks at token s with weight Σ_f q[t, f] k[s, f]: q is a softmax over features f (times
    width^-½), k a softmax over the real tokens s.
    """
    weight = {n: p.detach().double().numpy() for n, p in layer.named_parameters()}
    q, k, v = (x @ weight[f"{name}.weight"].T for name in ("query", "key", "value"))
    n_tokens, dim = x.shape
    width = dim // layer.heads
    joined = np.zeros((n_tokens, dim))
    for head in range(layer.heads):
        mine = range(head * width, (head + 1) * width)
        keys = np.zeros((n_tokens, width))
        for i, f in enumerate(mine):
            keys[real, i] = softmax(k[real, f])
        for t in range(n_tokens):
            query = softmax(q[t, mine]) * width**-0.5
            for s in range(n_tokens):
                joined[t, mine] += (query @ keys[s]) * v[s, mine]
    return joined @ weight["out.weight"].T + weight["out.bias"]


@pytest.mark.parametrize("n_padded", [0, 3])
def test_linear_attention_is_the_readable_one(n_padded: int) -> None:
    torch.manual_seed(0)
    layer = LinearAttention(16, heads=4, dropout=0.2).eval()
    x = 3 * torch.randn(2, 9, 16, generator=seeded(0))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 9 - n_padded :] = False
    made = layer(x, mask).detach().numpy()
    for row in range(2):
        wanted = attend(layer, x[row].double().numpy(), mask[row].numpy())
        np.testing.assert_allclose(made[row], wanted, atol=1e-5)
    if not n_padded:
        np.testing.assert_allclose(layer(x).detach().numpy(), made, atol=1e-6)


def test_a_block_is_pre_norm_with_residuals() -> None:
    torch.manual_seed(0)
    transformer = LinearTransformer(16, depth=2, heads=4).eval()
    x = torch.randn(1, 5, 16, generator=seeded(0))
    outputs = transformer(x)
    assert len(outputs) == 2
    for block, made in zip(transformer.blocks, outputs, strict=True):
        x = x + block.attention(layer_norm(x, (16,), block.norm1.weight, block.norm1.bias))
        x = x + block.feed(layer_norm(x, (16,), block.norm2.weight, block.norm2.bias))
        torch.testing.assert_close(made, x)
    assert block.feed[0].out_features == 64


# ------------------------------------------------------------------ encoder


def test_five_seconds_of_16_channels_are_145_tokens_cls_first() -> None:
    torch.manual_seed(0)
    encoder = MotifEncoder(64, CODES).eval()
    with torch.no_grad():
        encoder.cls.normal_()
        made = small_tokenizer().eval()(windows(2, n_channels=16))
        sequence = encoder.sequence(made)
        assert sequence.shape == (2, 145, 64)
        assert torch.equal(sequence[:, 0], encoder.cls.expand(2, -1))
        code, channel, time = 20, 20 // 9, (20 % 9) * 0.5
        assert (int(made.channel[0, code]), float(made.time[0, code])) == (channel, time)
        wanted = encoder.code.weight[made.code[0, code]] + encoder.channel.weight[channel]
        wanted = wanted + sinusoid(torch.tensor([[time / 0.5]]), 64)[0, 0]
        torch.testing.assert_close(sequence[0, 1 + code], wanted)
        outputs = encoder.transformer(sequence)
        features = encoder(made, layers=True)
    torch.testing.assert_close(features.summary, outputs[-1][:, 0])
    torch.testing.assert_close(features.pooled(), outputs[-1][:, 0])
    assert len(features.layers) == 4
    assert features.value.shape == (2, 144, 64)


def test_cls_starts_at_zero() -> None:
    assert not MotifEncoder(64, CODES).cls.any()


def test_the_time_code_is_the_textbook_s() -> None:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(pos / 10000^(2i/d))."""
    positions, dim = np.arange(59.0), 64
    wanted = np.zeros((59, dim))
    for i in range(dim // 2):
        angle = positions / 10_000 ** (2 * i / dim)
        wanted[:, 2 * i], wanted[:, 2 * i + 1] = np.sin(angle), np.cos(angle)
    made = sinusoid(torch.tensor(positions[None], dtype=torch.float32), dim)
    np.testing.assert_allclose(made[0].numpy(), wanted, atol=1e-5)


def test_a_17th_channel_is_refused() -> None:
    encoder = MotifEncoder(64, CODES).eval()
    tokenizer = small_tokenizer().eval()
    encoder(tokenizer(windows(1, n_channels=16)))
    with pytest.raises(UsageError, match=r"have 17 channels .* set its `n_channels`"):
        encoder(tokenizer(windows(1, n_channels=17)))


def test_continuous_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match="continuous"):
        small_backbone()(replace(tokens(), code=None))


def test_the_encoder_adopts_the_code_book() -> None:
    frozen, encoder = Frozen(spread()), small_backbone()
    MaskedCodes(frozen, encoder)
    assert encoder.code.weight.shape == (CODES + 1, WIDTH)
    assert torch.equal(encoder.code.weight[:-1], frozen.codebook)
    assert not encoder.code.weight[-1].any()
    assert encoder.code.weight.requires_grad
    with pytest.raises(UsageError, match="set the backbone's `vocabulary` to match"):
        MotifEncoder(WIDTH, CODES + 1).adopt(frozen.codebook)


# ------------------------------------------------------------------ masked codes


def test_masked_codes_hide_each_token_in_one_of_two_views(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective = MaskedCodes(Frozen(spread()), small_backbone()).eval()
    seen = []
    forward = MotifEncoder.forward

    def spy(self, given, **options):
        seen.append(given)
        return forward(self, given, **options)

    monkeypatch.setattr(MotifEncoder, "forward", spy)
    batch = pad_channels(windows(3), 1)
    terms = objective(batch, seeded(0))
    made = objective.tokenizer(batch)
    first, second = (given.code == CODES for given in seen)
    assert torch.equal(first ^ second, made.mask)
    assert not (first & second).any()
    total, right = 0.0, 0
    for view, hidden in zip(seen, (first, second), strict=True):
        assert torch.equal(view.code[~hidden], made.code[~hidden])
        assert not view.value[hidden].any()  # no way to see a hidden token
        log = objective.predict(forward(objective.backbone, view).value).log_softmax(-1)
        total -= float(log.gather(-1, made.code.unsqueeze(-1))[hidden].sum().detach())
        right += int((log.argmax(-1) == made.code)[hidden].sum())
    n = int(made.mask.sum())
    assert float(terms["loss"].detach()) == pytest.approx(total / n, rel=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(right / n)


def test_masked_codes_want_codes_and_a_backbone() -> None:
    with pytest.raises(UsageError, match="predicts discrete codes"):
        MaskedCodes(small_tokenizer(), None)
