"""What an estimator asks to be told, how many numbers it has learned, and what a prediction costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.pipeline import Pipeline

# What a prediction reads, in scikit-learn's and pyriemann's estimators.
LINEAR = ("coef_", "intercept_")


def filled_in(estimator: BaseEstimator, known: Mapping[str, Any]) -> BaseEstimator:
    """Return a clone in which every parameter of a known name is set, also of a step in a pipeline.

    Parameters
    ----------
    estimator
        never fitted itself.
    known
        values by the parameter's name, such as ``sfreq``, ``sensors`` and ``random_state``.
    """
    copy = clone(estimator)
    asked = {p: p.rpartition("__")[2] for p in copy.get_params(deep=True)}
    return copy.set_params(**{p: known[name] for p, name in asked.items() if name in known})


def trained_parameters(fitted: Any) -> int:
    """Count the numbers that fitting has set and that a prediction depends on.

    An estimator that knows says so by ``n_trained_parameters_``. Of a pipeline the steps are added
    up. A linear model has its coefficients and intercepts; what it made them of (means,
    covariances) does not count. Of all others every public array of fitted floating-point numbers
    counts, a symmetric matrix by its upper half, and so do the estimators that they fitted inside.

    Parameters
    ----------
    fitted
        an estimator after ``fit``.
    """
    if hasattr(fitted, "n_trained_parameters_"):
        return int(fitted.n_trained_parameters_)
    if hasattr(fitted, "best_estimator_"):
        return trained_parameters(fitted.best_estimator_)
    if isinstance(fitted, Pipeline):
        return sum(trained_parameters(step) for _, step in fitted.steps)
    if hasattr(fitted, "coef_"):
        return sum(np.size(getattr(fitted, name, ())) for name in LINEAR)
    return sum(_size(value) for name, value in vars(fitted).items() if _is_fitted(name)) + sum(
        trained_parameters(inner) for inner in _inside(fitted)
    )


def flops_per_window(fitted: Any, X: Any) -> int | None:
    """Count the operations of predicting one window, see `brainfm.layers.flops`.

    Parameters
    ----------
    fitted
        an estimator after ``fit``.
    X
        (trial, channel, time) windows, one or more.

    Returns
    -------
    flops
        None where the estimator has no network, since what NumPy computes is not counted.
    """
    if not any(_has_network(part) for part in _with_inside(fitted)):
        return None
    from brainfm.layers.flops import count_flops

    # A window of its own: what others have seen, or counted with, would be remembered and cost nothing.
    window = np.asarray(X[:1]) * np.float32(np.random.default_rng().uniform(1, 1.1))
    predict = fitted.predict if is_regressor(fitted) else fitted.predict_proba
    return count_flops(lambda: predict(window))[1]


def scans_of(fitted: Any) -> list[str]:
    """Return the paths of the selective scan that a fitted estimator's networks have taken."""
    holders = [part for part in _with_inside(fitted) if _has_network(part)]
    if not holders:
        return []
    from torch.nn import Module

    from brainfm.layers.mamba import kernels

    networks = [v for part in holders for v in vars(part).values() if isinstance(v, Module)]
    return sorted({kernel for network in networks for kernel in kernels(network)})


def _with_inside(fitted: Any) -> Iterator[Any]:
    """Yield an estimator and all that it fitted inside."""
    yield fitted
    steps = [step for _, step in fitted.steps] if isinstance(fitted, Pipeline) else []
    for inner in (*steps, *_inside(fitted)):
        yield from _with_inside(inner)


def _has_network(fitted: Any) -> bool:
    """Say whether one of its attributes is a module of PyTorch, which need not be imported to know."""
    names = {f"{k.__module__}.{k.__name__}" for v in vars(fitted).values() for k in type(v).__mro__}
    return "torch.nn.modules.module.Module" in names


def _inside(fitted: Any) -> list[BaseEstimator]:
    """Return the estimators that ``fit`` has made, which the constructor was not given."""
    given = set(fitted.get_params(deep=False)) if isinstance(fitted, BaseEstimator) else set()
    made = [value for name, value in vars(fitted).items() if name not in given]
    flat = [v for value in made for v in (value if isinstance(value, list) else [value])]
    return [v for v in flat if isinstance(v, BaseEstimator)]


def _is_fitted(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _size(value: Any) -> int:
    """Return the free numbers of an array, 0 for what is not an array of floats."""
    array = np.asarray(value) if isinstance(value, np.ndarray | float) else np.empty(0)
    if not np.issubdtype(array.dtype, np.floating):
        return 0
    *_, rows, columns = (1, 1, *array.shape)
    if rows == columns > 1 and np.allclose(array, array.swapaxes(-1, -2)):
        return array.size // rows**2 * (rows * (rows + 1) // 2)
    return array.size
