"""The continuous-patch transformer: rotary time, places, any channels, padding, and torch's own attention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_contracts import WIDTH, pad_tokens, tokens

from brainfm.backbones import PatchTransformer
from brainfm.errors import UsageError
from brainfm.layers.place import Place
from brainfm.layers.rotary import RotaryAttention, Turn


def small(**options) -> PatchTransformer:
    torch.manual_seed(0)
    return PatchTransformer(WIDTH, **({"width": 32, "depth": 2, "heads": 4} | options)).eval()


class TestTurn:
    def test_is_the_paper_s_rotation_of_pairs(self):
        """Equation 15 of RoFormer, written with complex numbers."""
        time = torch.tensor([[0.0, 0.5, 3.0]])
        x = torch.randn(1, 2, 3, 8, dtype=torch.float64)
        turn = Turn.of(time, 8, step=0.5)
        frequency = 10_000.0 ** (-2 * np.arange(4) / 8)
        factor = np.exp(1j * (time[0] / 0.5).numpy()[:, None] * frequency)
        wanted = x.numpy().view(np.complex128) * factor
        np.testing.assert_allclose(turn(x).numpy().view(np.complex128), wanted, atol=1e-5)

    def test_only_differences_of_time_matter(self):
        q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

        def product(first: float, second: float) -> float:
            turns = [Turn.of(torch.tensor([[t]]), 16, step=0.5) for t in (first, second)]
            return float((turns[0](q) * turns[1](k)).sum())

        assert product(1.0, 3.5) == pytest.approx(product(11.0, 13.5), abs=1e-4)
        assert product(1.0, 3.5) != pytest.approx(product(1.0, 4.5), abs=1e-2)

    def test_an_odd_head_is_refused(self):
        with pytest.raises(UsageError, match="multiple of 16"):
            RotaryAttention(40, heads=8)


class TestPlace:
    def test_near_places_are_near_and_unknown_ones_share_a_vector(self):
        torch.manual_seed(0)
        place = Place(32)
        unknown = torch.tensor([[torch.nan] * 3, [0.01, torch.nan, 0.0]])
        assert torch.equal(*place(unknown))
        a, near, far = place(torch.tensor([[0.0, 0.05, 0.08], [0.0, 0.05, 0.081], [0.07, 0, 0]]))
        assert (a - near).norm() < 0.2 * (a - far).norm()

    def test_an_unknown_position_spoils_no_gradient(self):
        place = Place(8)
        place(torch.tensor([[torch.nan] * 3, [0.1, 0.0, 0.0]])).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in place.parameters())
        assert (place.unknown.grad != 0).all()


class TestPatchTransformer:
    def test_knows_nothing_but_time_place_kind_and_value(self):
        """Whatever the order of the tokens, and whatever number their channel has."""
        backbone, given = small(), tokens()
        position = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(1)) / 10
        given = replace(given, position=position)
        order = torch.randperm(12)
        swapped = replace(
            given,
            **{k: getattr(given, k)[:, order] for k in ("value", "time", "position", "kind")},
            channel=torch.zeros_like(given.channel),
        )
        torch.testing.assert_close(backbone(swapped).value, backbone(given).value[:, order])

    @pytest.mark.parametrize("what", ["time", "position", "kind"])
    def test_each_of_them_matters(self, what):
        backbone, given = small(), tokens()
        other = getattr(given, what).clone()
        other[:, 0] += 1
        apart = (backbone(replace(given, **{what: other})).value - backbone(given).value).abs()
        assert float(apart.max().detach()) > 1e-3

    def test_a_window_may_begin_at_any_time(self):
        backbone, given = small(), tokens()
        later = replace(given, time=given.time + 7.0)
        torch.testing.assert_close(
            backbone(later).value, backbone(given).value, rtol=1e-3, atol=1e-4
        )

    def test_padding_may_stand_anywhere_and_hold_anything(self):
        backbone, plain = small(), tokens()
        padded = pad_tokens(plain, 5)
        order = torch.randperm(17)
        names = ("value", "code", "time", "channel", "position", "kind", "mask")
        mixed = replace(padded, **{k: getattr(padded, k)[:, order] for k in names})
        mixed = replace(mixed, position=mixed.position.masked_fill(~mixed.mask[..., None], 9e9))
        back = backbone(mixed).value[:, order.argsort()][:, :12]
        torch.testing.assert_close(back, backbone(plain).value, rtol=1e-4, atol=1e-5)

    def test_attention_is_the_one_written_out(self):
        torch.manual_seed(0)
        layer, x = RotaryAttention(16, heads=2), torch.randn(2, 5, 16)
        turn = Turn.of(torch.arange(5.0).expand(2, 5), 8, step=1.0)
        mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        q, k, v = layer.enter(x).view(2, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
        weight = turn(q) @ turn(k).transpose(-1, -2) / 8**0.5
        weight = weight.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
        wanted = layer.out((weight @ v).transpose(1, 2).reshape(2, 5, 16))
        torch.testing.assert_close(layer(x, turn, mask[:, None, None]), wanted)

    def test_256_channels_and_one_channel_pass_through_the_same_weights(self):
        backbone = small(depth=1)
        for n_channels in (1, 256):
            made = tokens(1, 4 * n_channels)
            assert backbone(made).value.shape == (1, 4 * n_channels, 32)
