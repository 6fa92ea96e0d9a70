"""The supervised networks: their published size, that they learn, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import SFREQ, planted
from sklearn.base import clone

from brainfm import baselines
from brainfm.baselines.network import Shape
from brainfm.errors import UsageError
from brainfm.evaluation.parameters import trained_parameters

NETWORKS = [baselines.EEGNet, baselines.ShallowConvNet]


@pytest.mark.parametrize(
    ("network", "shape", "parameters"),
    [
        (baselines.EEGNet, Shape(64, 128, 2, 128.0), 2_258),  # Lawhern et al. 2018, table 3
        (baselines.ShallowConvNet, Shape(22, 1125, 4, 250.0), 47_364),
    ],
)
def test_a_network_has_the_published_number_of_weights(network, shape, parameters):
    built = network().build(shape)
    assert sum(p.numel() for p in built.parameters()) == parameters
    assert built(torch.zeros(3, shape.n_channels, shape.n_times)).shape == (3, shape.n_classes)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_learns_and_says_the_same_a_second_time(network):
    trials = planted(subjects=4, effect=2.0)
    held_out = trials.meta["subject"].eq("03").to_numpy()
    estimator = network(epochs=15, lr=1e-2, sfreq=SFREQ)
    random_before = torch.get_rng_state()
    fitted = clone(estimator).fit(trials.X[~held_out], trials.y[~held_out])
    assert torch.equal(torch.get_rng_state(), random_before)
    proba = fitted.predict_proba(trials.X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert np.mean(fitted.predict(trials.X[held_out]) == trials.y[held_out]) > 0.8
    again = clone(estimator).fit(trials.X[~held_out], trials.y[~held_out])
    np.testing.assert_array_equal(again.predict_proba(trials.X), proba)
    assert trained_parameters(fitted) == sum(p.numel() for p in fitted.network_.parameters())
    louder = clone(estimator).fit(trials.X[~held_out] * 1e6, trials.y[~held_out])
    np.testing.assert_allclose(louder.predict_proba(trials.X * 1e6), proba, atol=0.02)


def test_validation_subjects_choose_the_epoch():
    trials = planted(subjects=4, effect=2.0)
    held_out = trials.meta["subject"].eq("03").to_numpy()
    wrong = np.where(trials.y == "rest", "arithmetic", "rest")  # the more is learned, the worse
    network = baselines.EEGNet(epochs=12, lr=1e-2, sfreq=SFREQ)
    good = clone(network).fit(
        trials.X[~held_out], trials.y[~held_out], (trials.X[held_out], trials.y[held_out])
    )
    bad = clone(network).fit(
        trials.X[~held_out], trials.y[~held_out], (trials.X[held_out], wrong[held_out])
    )
    assert bad.epoch_ < good.epoch_


def test_spatial_filters_and_the_last_layer_are_no_longer_than_published_after_training():
    """Lawhern et al. 2018: norm 1 of each spatial filter, 0.25 of the weights of each class."""
    trials = planted(subjects=2)
    fitted = baselines.EEGNet(epochs=4, lr=0.3, sfreq=SFREQ).fit(trials.X, trials.y)
    layers = fitted.network_.spatial, fitted.network_.classes
    for layer, longest in zip(layers, (1.0, 0.25), strict=True):
        norms = layer.weight.detach().flatten(1).norm(dim=1)
        assert norms.max() == pytest.approx(longest, abs=1e-5)  # steps so long reach it


def test_weights_are_shortened_where_they_are_too_long_alone():
    trials = planted(subjects=2)
    fitted = baselines.EEGNet(epochs=1, sfreq=SFREQ).fit(trials.X, trials.y)
    spatial, classes = fitted.network_.spatial.weight, fitted.network_.classes.weight
    with torch.no_grad():
        spatial[0], spatial[1], classes[0], classes[1] = 5.0, 1e-3, 5.0, 1e-3
    fitted.bound()
    for weight, longest in ((spatial, 1.0), (classes, 0.25)):
        assert weight[0].norm().item() == pytest.approx(longest, abs=1e-5)
        assert torch.equal(weight[1], torch.full_like(weight[1], 1e-3))


@pytest.mark.parametrize("network", NETWORKS)
def test_what_cannot_work_is_refused(network):
    trials = planted(subjects=2)
    with pytest.raises(UsageError, match="sampling rate is not known"):
        network().fit(trials.X, trials.y)
    with pytest.raises(UsageError, match="longer windows"):
        network(sfreq=SFREQ).fit(trials.X[..., :20], trials.y)
