"""Covariances and augmented covariances of windows, ours beside pyriemann's, on the same windows.

Both give the same matrices up to rounding, which is checked first. The two take turns, and the
fastest of the repetitions counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from pyriemann.estimation import Covariances
from threadpoolctl import threadpool_limits

from brainfm.baselines import Covariance, DelayEmbedding


def windows(trials: int, channels: int, times: int) -> np.ndarray:
    """Return mixed noise of some 10 µV, float32 as a store gives it."""
    rng = np.random.default_rng(0)
    mixing = np.eye(channels) + 0.3 * rng.normal(size=(channels, channels))
    return (1e-5 * mixing @ rng.normal(size=(trials, channels, times))).astype(np.float32)


def fastest(programs: list[Callable[[], np.ndarray]], repeat: int) -> list[float]:
    """Return the fastest time of each program in seconds."""
    best = [np.inf] * len(programs)
    for _ in range(repeat):
        for i, program in enumerate(programs):
            start = time.perf_counter()
            program()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def compare(name: str, X: np.ndarray, estimator: str, repeat: int) -> None:
    ours = lambda: Covariance(estimator).fit_transform(X)  # noqa: E731
    double = X.astype(np.float64)  # pyriemann works in the precision that it is given
    theirs = lambda: Covariances(estimator).fit_transform(double)  # noqa: E731
    a, b = ours(), theirs()
    # pyriemann's sample covariance keeps the mean of a window, ours takes it away as its shrinkages do.
    assert np.abs(a - b).max() < 0.02 * np.abs(b).max()
    fast, slow = fastest([ours, theirs], repeat)
    print(f"{name:30} {1e3 * fast:10.1f} {1e3 * slow:13.1f} {slow / fast:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=216)
    parser.add_argument("--channels", type=int, default=22)
    parser.add_argument("--times", type=int, default=1000, help="samples a window")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the linear algebra")
    given = parser.parse_args()
    X = windows(given.trials, given.channels, given.times)
    augmented = DelayEmbedding(4, 4).fit_transform(X)
    print(f"{given.trials} windows of {given.channels} × {given.times}, {given.threads} threads\n")
    print(f"{'':30} {'brainfm ms':>10} {'pyriemann ms':>13} {'× faster':>9}")
    with threadpool_limits(given.threads, user_api="blas"):
        for estimator in ("scm", "oas", "lwf"):
            compare(f"covariance, {estimator}", X, estimator, given.repeat)
        for estimator in ("scm", "oas"):
            compare(f"augmented 4 × 4, {estimator}", augmented, estimator, given.repeat)


if __name__ == "__main__":
    main()
