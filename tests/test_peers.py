"""Riemannian baselines from windows to scores, beside the same written with pyriemann and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from planted import SFREQ, planted
from pyriemann.classification import MDM, FgMDM
from pyriemann.estimation import Covariances, XdawnCovariances
from pyriemann.tangentspace import TangentSpace
from scipy.signal import butter, sosfiltfilt
from sklearn.covariance import oas
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from brainfm import baselines

BANDS = ((4.0, 8.0), (8.0, 13.0))


@pytest.fixture(scope="module")
def windows():
    """Training and test windows in tens of microvolts, where the peers' tolerances hold."""
    trials = planted(subjects=4, windows=10, effect=2.0)
    X, test = trials.X.astype(np.float64) * 1e5, trials.meta["subject"].eq("03").to_numpy()
    return X[~test], trials.y[~test], X[test]


def lr():
    return LogisticRegression(class_weight="balanced", max_iter=1000)


def net():
    return LogisticRegression(
        l1_ratio=0.15,
        solver="saga",
        class_weight="balanced",
        max_iter=10_000,
        tol=1e-3,
        random_state=0,
    )


PEERS = {
    "mdm": (baselines.mdm(), lambda: make_pipeline(Covariances("oas"), MDM())),
    "fgmdm": (baselines.fgmdm(), lambda: make_pipeline(Covariances("oas"), FgMDM())),
    "tangent space + LR": (
        baselines.tangent_space_lr(),
        lambda: make_pipeline(Covariances("oas"), TangentSpace(), lr()),
    ),
    "tangent space + LR, lwf": (
        baselines.tangent_space_lr("lwf"),
        lambda: make_pipeline(Covariances("lwf"), TangentSpace(), lr()),
    ),
    "tangent space + elastic net": (
        baselines.tangent_space_elastic_net(),
        lambda: make_pipeline(Covariances("oas"), TangentSpace(), net()),
    ),
    "xDAWN": (
        baselines.xdawn_tangent_space_lr(2),
        lambda: make_pipeline(
            XdawnCovariances(2, estimator="oas", xdawn_estimator="oas"), TangentSpace(), lr()
        ),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_probabilities_are_the_peers(name, windows):
    X, y, new = windows
    ours, theirs = PEERS[name]
    got, want = ours.fit(X, y).predict_proba(new), theirs().fit(X, y).predict_proba(new)
    np.testing.assert_allclose(got, want, atol=1e-8)
    assert np.ptp(want[:, 0]) > 0.1


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_distances_of_the_machine_are_the_peers(kernel, windows):
    X, y, new = windows
    ours = baselines.tangent_space_svm(kernel=kernel).fit(X, y)
    machine = SVC(kernel=kernel, class_weight="balanced")
    theirs = make_pipeline(Covariances("oas"), TangentSpace(), machine).fit(X, y)
    np.testing.assert_allclose(
        ours.decision_function(new), theirs.decision_function(new), atol=1e-5
    )


def test_a_filter_bank_is_the_readable_one(windows):
    X, _, new = windows
    want = []
    for band in BANDS:
        filters = butter(4, band, "bandpass", fs=SFREQ, output="sos")
        space = make_pipeline(Covariances("oas"), TangentSpace()).fit(sosfiltfilt(filters, X))
        want.append(space.transform(sosfiltfilt(filters, new)))
    got = baselines.FilterBankTangent(BANDS, sfreq=SFREQ).fit(X).transform(new)
    np.testing.assert_allclose(got, np.hstack(want), atol=1e-6)


def test_log_cospectra_are_the_readable_ones(windows):
    _, _, new = windows
    got = baselines.LogCospectra(BANDS, segment=1.0, sfreq=SFREQ).fit_transform(new)
    upper = np.triu_indices(new.shape[1])
    weight = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
    for window, vector in zip(new[:3], got[:3], strict=True):
        for band, part in zip(BANDS, np.split(vector, len(BANDS)), strict=True):
            values, vectors = np.linalg.eigh(shrunk_cospectrum(window, band))
            want = sum(np.log(v) * np.outer(e, e) for v, e in zip(values, vectors.T, strict=True))
            np.testing.assert_allclose(part, want[upper] * weight, atol=1e-9)


def shrunk_cospectrum(window, band):
    """Return the shrunk cospectrum of a band, of segments of 1 s that overlap by half."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(100) / 100)
    values = []
    for start in range(0, window.shape[1] - 99, 50):
        segment = window[:, start : start + 100]
        spectrum = np.fft.rfft((segment - segment.mean(axis=1, keepdims=True)) * hann)
        values += [spectrum[:, f] for f in range(51) if band[0] <= f < band[1]]
    parts = np.array([part for value in values for part in (value.real, value.imag)])
    return 2 * oas(parts, assume_centered=True)[0]
