"""Gram matrices of a support vector machine's kernels, between known windows and from new ones to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float64
from sklearn.metrics.pairwise import rbf_kernel

Kernel = Literal["rbf", "linear"]
Vectors = Float64[np.ndarray, "trial feature"]
NewVectors = Float64[np.ndarray, "new feature"]


def _linear(known: Vectors, new: NewVectors) -> tuple[np.ndarray, np.ndarray]:
    return known @ known.T, new @ known.T


def _rbf(known: Vectors, new: NewVectors) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gaussian kernel with scikit-learn's width ``"scale"``."""
    width = 1 / (known.shape[1] * known.var())
    return rbf_kernel(known, gamma=width), rbf_kernel(new, known, gamma=width)


GRAMS: dict[Kernel, Callable[[Vectors, NewVectors], tuple[np.ndarray, np.ndarray]]] = {
    "linear": _linear,
    "rbf": _rbf,
}
