"""What all tests share: small components, small windows, one store a session."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from brainfm.contracts import Batch, Kind

ROOT = Path(__file__).parent.parent

# A shared machine may pause at any moment: how long an example takes is no test. The examples are the same
# each time, so that a change fails for what it broke; `pytest --hypothesis-profile exploring` draws others.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, saying so, what this machine has no data or device for."""
    if not os.environ.get("BRAINFM_DATA"):
        skip = pytest.mark.skip(reason="BRAINFM_DATA names no folder of real recordings")
        for item in items:
            if "data" in item.keywords:
                item.add_marker(skip)
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="no CUDA device")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def _listens_to_ctrl_c() -> None:
    """A shell without job control has what runs in the background, and its children, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Let every fixture compute alike: the last bit depends on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _still_one_thread() -> Iterator[None]:
    """Give the next test the threads that this one had."""
    yield
    torch.set_num_threads(1)


def windows(
    n: int = 2, *, n_channels: int = 3, n_times: int = 1000, sfreq: float = 200.0, seed: int = 0
) -> Batch:
    """Return windows of noise in volts, all channels real EEG."""
    generator = torch.Generator().manual_seed(seed)
    unknown = torch.full((n, n_channels, 3), torch.nan)
    return Batch(
        signal=1e-5 * torch.randn(n, n_channels, n_times, generator=generator),
        position=unknown,
        orientation=unknown,
        kind=torch.full((n, n_channels), int(Kind.eeg)),
        mask=torch.ones(n, n_channels, dtype=torch.bool),
        sfreq=sfreq,
        recording=tuple(f"recording {i}" for i in range(n)),
        onset=torch.zeros(n),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
