"""Masked signal and reconstruction: what is hidden, that it cannot be seen, and what the loss is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import windows
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contracts import WIDTH, pad_channels, small_bimamba, small_denoiser, small_montage

from brainfm.contracts import Mask
from brainfm.errors import UsageError
from brainfm.objectives import (
    BlockMask,
    ChannelMask,
    MaskedSignal,
    RandomMask,
    Reconstruction,
    RectangleMask,
)
from brainfm.objectives.reconstruction import TokenDecoder
from brainfm.tokenizers import Frozen, MuLawPatches, Patches

MASKS = {
    "random": RandomMask(0.6),
    "block": BlockMask(0.5, length=3),
    "rectangle": RectangleMask(0.4, height=2, length=3),
    "channel": ChannelMask(0.4),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(mask: Mask, rows: int, columns: int, n: int = 3, seed: int = 0) -> torch.Tensor:
    return mask(torch.ones(n, rows, dtype=torch.bool), columns, seeded(seed))


class TestMasks:
    def test_random_hides_an_exact_share_of_cells(self):
        assert draw(MASKS["random"], 11, 80).sum((1, 2)).tolist() == [528] * 3

    def test_block_hides_the_same_whole_stretches_in_all_channels(self):
        hidden = draw(MASKS["block"], 5, 24)
        assert torch.equal(hidden.all(1), hidden.any(1))
        stretches = hidden[:, 0].unflatten(1, (8, 3))
        assert torch.equal(stretches.all(-1), stretches.any(-1))
        assert stretches.any(-1).sum(1).tolist() == [4] * 3

    def test_rectangle_hides_whole_rectangles(self):
        tiles = draw(MASKS["rectangle"], 6, 12).reshape(3, 3, 2, 4, 3).transpose(2, 3).flatten(3)
        assert torch.equal(tiles.all(-1), tiles.any(-1))
        assert tiles.any(-1).sum((1, 2)).tolist() == [4] * 3  # 0.4 of 12, rounded down

    def test_channel_hides_whole_channels(self):
        hidden = draw(MASKS["channel"], 10, 7)
        assert torch.equal(hidden.all(2), hidden.any(2))
        assert hidden[..., 0].sum(1).tolist() == [4] * 3

    @pytest.mark.parametrize("name", MASKS)
    @settings(max_examples=30)
    @given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 9))
    def test_padding_is_never_hidden_and_something_always_is(self, name, rows, columns, seed):
        real = torch.ones(2, rows + 2, dtype=torch.bool)
        real[0, 1 : rows // 2 + 1] = False
        real[1, -1] = False
        hidden = MASKS[name](real, columns, seeded(seed))
        assert hidden.shape == (2, rows + 2, columns)
        assert not hidden[~real].any()
        assert hidden.any(2).any(1).all()

    @pytest.mark.parametrize("name", MASKS)
    def test_every_cell_is_hidden_as_often(self, name):
        mask = MASKS[name]
        share = draw(mask, 4, 6, n=2000).float().mean(0)
        torch.testing.assert_close(share, share.mean().expand_as(share), atol=0.05, rtol=0)

    def test_a_batch_may_share_its_pattern(self):
        shared = draw(RandomMask(0.5, pattern="batch"), 6, 6)
        assert torch.equal(shared[0], shared[2])
        own = draw(RandomMask(0.5), 6, 6)
        assert not torch.equal(own[0], own[2])

    def test_numbers_that_hide_nothing_or_all_are_refused(self):
        for wrong in (0.0, 1.0, 1.5):
            with pytest.raises(UsageError, match="between 0 and 1"):
                RandomMask(wrong)
        for make in (lambda: BlockMask(length=0), lambda: RectangleMask(height=0)):
            with pytest.raises(UsageError, match="one cell or more"):
                make()


class TestMaskedSignal:
    @pytest.mark.parametrize("name", MASKS)
    def test_hidden_samples_reach_the_model_in_no_way(self, name):
        torch.manual_seed(0)
        objective = MaskedSignal(MuLawPatches(100), small_bimamba_for(100), mask=MASKS[name]).eval()
        batch, drawn = windows(2, n_channels=6), []
        objective.decoder.register_forward_hook(lambda *call: drawn.append(call[-1]))
        hidden = objective.hidden(batch, seeded(3))
        other = replace(batch, signal=torch.where(hidden, 3 * batch.signal, batch.signal))
        losses = [float(objective(x, seeded(3))["loss"].detach()) for x in (batch, other)]
        assert torch.equal(*drawn)
        assert losses[0] != losses[1]

    def test_the_loss_is_smooth_l1_on_hidden_real_samples(self):
        torch.manual_seed(0)
        objective = MaskedSignal(Patches(WIDTH), small_bimamba()).eval()
        batch, drawn = pad_channels(windows(2), 2), []
        objective.decoder.register_forward_hook(lambda *call: drawn.append(call[-1]))
        terms = objective(batch, seeded())
        hidden = objective.hidden(batch, seeded())
        assert not hidden[:, 3:].any()
        apart = (drawn[0] - objective.tokenizer.normalise(batch)).abs()
        wrong = torch.where(apart < 1, 0.5 * apart.square(), apart - 0.5)
        torch.testing.assert_close(terms["loss"], wrong[hidden].mean())
        torch.testing.assert_close(terms["visible"], wrong[:, :3][~hidden[:, :3]].mean())

    def test_half_of_the_cells_at_random_unless_told_otherwise(self):
        hidden = MaskedSignal(Patches(WIDTH), small_bimamba()).hidden(windows(), seeded())
        assert float(hidden.float().mean()) == 0.5

    def test_what_does_not_fit_is_refused(self):
        tokenizer = Patches(WIDTH)
        for wrong in ((tokenizer, None), (Frozen(tokenizer), small_bimamba())):
            with pytest.raises(UsageError, match=r"draws the signal of a continuous tokenizer"):
                MaskedSignal(*wrong)
        with pytest.raises(UsageError, match=r"puts samples together and the tokens of Patches"):
            MaskedSignal(tokenizer, small_denoiser())


class TestReconstruction:
    @pytest.mark.parametrize("span", [(1, 100), (3, 20)])
    def test_a_token_draws_what_it_covers(self, span):
        height, width = span
        decoder = TokenDecoder(height * width, span)
        torch.nn.init.eye_(decoder.draw.weight)
        torch.nn.init.zeros_(decoder.draw.bias)
        signal = windows(2).signal
        tokenizer = MuLawPatches(100, law="none") if height == 1 else small_montage()
        assert tokenizer.span == span
        n = 1000 // width
        value = signal.reshape(2, 3 // height, height, n, width).transpose(2, 3).flatten(3)
        assert torch.equal(decoder(value.flatten(1, 2), 3), signal)

    def test_learns_to_copy_what_it_sees(self):
        torch.manual_seed(0)
        objective = Reconstruction(MuLawPatches(50), small_bimamba_for(50))
        batch = windows(4, n_channels=2, n_times=200)
        optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-2)
        first = float(objective(batch, seeded())["loss"].detach())
        for _ in range(150):
            loss = objective(batch, seeded())["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert float(loss.detach()) < 0.2 * first


def small_bimamba_for(dim: int):
    from brainfm.backbones import BiMamba

    return BiMamba(dim, depth=1, d_state=4, expand=1)
