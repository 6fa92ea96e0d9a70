"""The nested search over augmented covariances, ours beside scikit-learn's over MOABB's pipeline.

One subject's session of simulated motor-imagery windows (or a recorded one: ``--windows FILE.npz`` with
X and y), divided in 5 outer folds; in each, both choose order, lag, C and kernel by 5 inner folds and
are tested. Choices must be equal and scores equal to 1e-9, which is checked. Seconds are of the processor.

``--orders 10 --lags 10`` is the full grid of MOABB's ``AUG_TANG_SVM_grid``; at the default size the peer
takes four minutes a fold for it, with more channels or windows hours. ``--cells N`` gives the peer N pairs
of order and lag drawn at random, still all of them to ours, checks the peer's scores against ours, and
scales the peer's seconds up to the whole grid.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from itertools import product

import numpy as np
from moabb.pipelines.features import AugmentedDataset
from pyriemann.estimation import Covariances
from pyriemann.tangentspace import TangentSpace
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from brainfm.baselines import AugmentedSearch
from brainfm.baselines.search import Setting

MACHINES = {"C": (0.5, 1.0, 1.5), "kernels": ("rbf", "linear")}


def session(trials: int, channels: int, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return autoregressive noise in µV, in which the classes differ by one source's rhythm."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(trials, channels, times + 50))
    for t in range(2, times + 50):
        X[..., t] += 1.6 * X[..., t - 1] - 0.8 * X[..., t - 2]
    y = np.arange(trials) % 2
    phase = rng.uniform(0, 2 * np.pi, (trials, 1))
    source = np.sin(2 * np.pi * 11 * np.arange(times) / 160 + phase) * (1 + 0.7 * y[:, None])
    return 5 * X[..., 50:] + 10 * rng.normal(size=(channels, 1)) * source[:, None], y


def peer(cells: list[tuple[int, int]]) -> GridSearchCV:
    """Return scikit-learn's search over (lag, order) pairs, in the order in which it walks a grid."""
    machine = make_pipeline(AugmentedDataset(), Covariances("cov"), TangentSpace(), SVC())
    grid = [
        {
            "augmenteddataset__order": [order], "augmenteddataset__lag": [lag],
            "svc__C": list(MACHINES["C"]), "svc__kernel": list(MACHINES["kernels"]),
        }
        for lag, order in cells
    ]  # fmt: skip
    return GridSearchCV(machine, grid, cv=5, scoring="roc_auc")


def timed(search: BaseEstimator, X: np.ndarray, y: np.ndarray, fold: tuple) -> tuple[float, float]:
    """Return seconds of processor time and the score on the outer test windows."""
    train, test = fold
    start = time.process_time()
    search.fit(X[train], y[train])
    seconds = time.process_time() - start
    return seconds, float(roc_auc_score(y[test], search.decision_function(X[test])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=45)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--times", type=int, default=481, help="samples a window")
    parser.add_argument("--orders", type=int, default=10, help="orders 1 to this")
    parser.add_argument("--lags", type=int, default=1, help="lags 1 to this")
    parser.add_argument(
        "--cells", type=int, help="pairs of order and lag for the peer; all if not given"
    )
    parser.add_argument("--outer", type=int, default=1, help="how many of the 5 outer folds")
    parser.add_argument("--windows", help="an .npz with X (trial, channel, time) and y")
    given = parser.parse_args()
    # At high orders windows in a narrow band are nearly singular; the peer says so on every fit.
    warnings.filterwarnings("ignore", message="Convergence not reached")
    X, y = session(given.trials, given.channels, given.times)
    if given.windows:
        with np.load(given.windows) as recorded:
            X, y = recorded["X"], np.unique(recorded["y"], return_inverse=True)[1]
    orders, lags = range(1, given.orders + 1), range(1, given.lags + 1)
    cells = list(product(lags, orders))
    drawn = sorted(random.Random(0).sample(cells, given.cells)) if given.cells else cells
    print(f"{len(X)} windows of {X.shape[1]} × {X.shape[2]}, ", end="")
    print(f"orders and lags to {orders[-1]}, {lags[-1]}")
    if given.cells:
        print(f"the peer's seconds are scaled from {len(drawn)} of {len(cells)} pairs")
    print()
    print(
        f"{'fold':4} {'order lag C kernel':>22} {'AUROC':>6} {'brainfm s':>10} {'peer s':>8} {'×':>6}"
    )
    total = np.zeros(2)
    with threadpool_limits(1, user_api="blas"):
        folds = list(StratifiedKFold(5).split(X, y))[: given.outer]
        for index, fold in enumerate(folds):
            ours = AugmentedSearch(
                tuple(orders), tuple(lags), **MACHINES, estimator="scm", scoring="auroc",
                class_weight=None,
            )  # fmt: skip
            theirs = peer(drawn)
            (fast, score), (slow, same) = (timed(s, X, y, fold) for s in (ours, theirs))
            slow *= len(cells) / len(drawn)
            check(ours, theirs)
            if drawn == cells:
                check_choice(ours, theirs)
                assert abs(score - same) < 1e-9
            total += fast, slow
            best = ours.best_setting_
            chosen = f"{best.order} {best.lag} {best.C} {best.kernel}"
            print(
                f"{index:4} {chosen:>22} {score:6.3f} {fast:10.2f} {slow:8.2f} {slow / fast:6.1f}"
            )
    print(
        f"\nin total {total[0]:.1f} s beside {total[1]:.1f} s: {total[1] / total[0]:.1f} × faster"
    )


def check(ours: AugmentedSearch, theirs: GridSearchCV) -> None:
    """Fail where an inner score differs."""
    for params, want in zip(
        theirs.cv_results_["params"], theirs.cv_results_["mean_test_score"], strict=True
    ):
        assert abs(ours.validation_scores_[setting(params)] - want) < 1e-9


def check_choice(ours: AugmentedSearch, theirs: GridSearchCV) -> None:
    """Fail where the choice differs."""
    assert ours.best_setting_ == setting(theirs.best_params_)


def setting(params: dict) -> Setting:
    order, lag = params["augmenteddataset__order"], params["augmenteddataset__lag"]
    return Setting(order, lag, params["svc__C"], params["svc__kernel"])


if __name__ == "__main__":
    main()
