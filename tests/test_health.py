"""Monitors of a training: each tells a collapse that was planted from health."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import windows
from test_contracts import (
    WIDTH,
    batch,
    examples,
    make,
    pad_channels,
    small_bimamba,
    small_tokenizer,
)

from brainfm.contracts import Misfit, Observation
from brainfm.layers.spectrum import misfit
from brainfm.learning.health import BANDS, code_use, feature_rank, measures, unexplained
from brainfm.objectives import MaskedSignal, MotifReconstruction
from brainfm.tokenizers import Patches


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestFeatureRank:
    def test_counts_directions_that_are_used_evenly(self):
        basis = torch.linalg.qr(torch.randn(64, 64, generator=seeded()))[0]
        for rank in (1, 5, 64):
            assert feature_rank(basis[:, :rank] @ basis[:rank]) == pytest.approx(rank, rel=1e-4)

    def test_is_one_where_all_windows_are_alike(self):
        assert feature_rank(torch.ones(9, 4)) == pytest.approx(1)

    def test_silence_has_no_rank_to_speak_of(self):
        assert feature_rank(torch.zeros(9, 4)) == 1


class TestMisfit:
    def rhythms(self, *frequencies: float) -> torch.Tensor:
        time = torch.arange(1000) / 200
        return sum(torch.sin(2 * math.pi * f * time) for f in frequencies).expand(2, 3, -1)

    def test_says_which_band_is_missing(self):
        signal, drawn = self.rhythms(2, 6, 10, 20, 40), self.rhythms(2, 6, 10, 40)
        everywhere = torch.ones_like(signal, dtype=torch.bool)
        found = unexplained([misfit(drawn, signal, everywhere, 200.0)])
        assert list(found) == [f"unexplained_{name}" for name in BANDS]
        missing = found.pop("unexplained_beta")
        assert missing == pytest.approx(1, abs=1e-4)
        assert max(found.values()) < 1e-4

    def test_power_is_numpy_s_and_only_asked_samples_count(self):
        signal = torch.randn(2, 3, 100, generator=seeded())
        where = torch.zeros(2, 3, 100, dtype=torch.bool)
        where[..., 20:70] = True
        drawn = torch.where(where, signal, 99.0)
        found = misfit(drawn, signal, where, 200.0)
        assert float(found.error.sum()) == 0
        wanted = (np.abs(np.fft.rfft((signal * where).numpy())) ** 2).sum((0, 1))
        np.testing.assert_allclose(found.power.numpy(), wanted, rtol=1e-4)
        np.testing.assert_allclose(found.frequency.numpy(), np.fft.rfftfreq(100, 1 / 200))

    def test_a_band_that_the_spectrum_does_not_hold_is_left_out(self):
        frequency = torch.tensor([0.0, 10.0, 20.0])
        one = torch.ones(3)
        assert list(unexplained([Misfit(frequency, one, one)])) == [
            "unexplained_alpha",
            "unexplained_beta",
        ]


def test_codes_are_counted():
    even = code_use(torch.tensor([5, 5, 5, 5, 0, 0]))
    assert even == {"code_entropy": pytest.approx(2), "dead_codes": 2}
    assert code_use(torch.tensor([7, 0]))["code_entropy"] == 0


def test_measures_join_batches():
    first, second = (
        Observation(
            torch.randn(4, 8, generator=seeded(s)),
            torch.tensor([s, s]),
            Misfit(torch.tensor([10.0]), torch.tensor([s + 1.0]), torch.tensor([4.0])),
        )
        for s in (0, 1)
    )
    found = measures([first, second], 3)
    both = torch.cat([first.features, second.features])
    assert found == {
        "feature_rank": pytest.approx(feature_rank(both)),
        "code_entropy": pytest.approx(1),
        "dead_codes": 1,
        "unexplained_alpha": pytest.approx(3 / 8),
    }


@pytest.mark.parametrize("name", examples("objectives"))
def test_every_objective_can_be_observed_and_stays_as_it_is(name):
    objective = make("objectives", name).eval()
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    seen = objective.observe(batch(), seeded())
    assert len(seen.features) == 2
    assert (seen.code is None) == (objective.tokenizer.vocabulary is None)
    found = measures([seen], objective.tokenizer.vocabulary)
    assert all(math.isfinite(v) for v in found.values())
    for key, value in objective.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_an_objective_that_draws_silence_explains_nothing():
    torch.manual_seed(0)
    objective = MaskedSignal(Patches(WIDTH), small_bimamba()).eval()
    for parameter in objective.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    seen = objective.observe(pad_channels(windows(), 2), seeded())
    assert unexplained([seen.misfit]) == {f"unexplained_{b}": pytest.approx(1) for b in BANDS}


def test_the_motif_tokenizer_is_observed_on_what_its_loss_is_made_of():
    torch.manual_seed(0)
    objective = MotifReconstruction(small_tokenizer()).eval()
    seen = objective.observe(windows(), seeded())
    first, _ = (float(objective(windows(), seeded())[k].detach()) for k in ("loss", "commitment"))
    assert seen.misfit.frequency[:3].tolist() == [0, 1, 2]
    cells = 2 * 3 * 9 * 100
    assert float(seen.misfit.error.sum()) / cells < first
    assert len(seen.code) == 2 * 3 * 9
