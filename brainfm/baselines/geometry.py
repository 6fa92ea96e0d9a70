"""Affine-invariant geometry of positive definite matrices: the mean and the tangent space at it.

The mean is the fixed point of M ← M^½ exp(mean_i log(M^-½ X_i M^-½)) M^½ (Pennec et al. 2006). Each
step costs an eigendecomposition a matrix, so what counts is the number of steps: a start near the
mean and Anderson's acceleration (1965) of the fixed point make it about half.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from brainfm.errors import WorkError

Matrix = Float64[np.ndarray, "channel channel"]
Matrices = Float64[np.ndarray, "trial channel channel"]

MEMORY = 3
MAX_STEPS = 50
# Nearly singular matrices leave steps of pure rounding. Once this small, a step that does not shrink is one.
ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Tangent:
    """The tangent space at the mean of some matrices, with these matrices in it.

    Attributes
    ----------
    root, whitener
        square root of the mean, and its inverse.
    logarithms
        log(whitener @ X_i @ whitener) of the matrices that the mean is of; they sum to zero.
    """

    root: Matrix
    whitener: Matrix
    logarithms: Matrices

    @property
    def reference(self) -> Matrix:
        """The mean itself."""
        return self.root @ self.root

    def project(self, X: Matrices) -> Matrices:
        """Return the logarithms of other matrices."""
        return logarithms(X, self.whitener)

    def expand(self, logarithm: Matrix) -> Matrix:
        """Return the positive definite matrix whose logarithm this is."""
        return _symmetric(self.root @ exponential(logarithm) @ self.root)


def karcher(X: Matrices, start: Matrix | None = None, *, tolerance: float = 1e-8) -> Tangent:
    """Find the Riemannian mean of matrices, and their logarithms at it.

    Parameters
    ----------
    X
        symmetric positive definite matrices.
    start
        where to begin; the arithmetic mean when not given. It changes nothing but the time.
    tolerance
        largest Frobenius norm of the mean logarithm; of nearly singular matrices what rounding leaves.

    Raises
    ------
    WorkError
        When a matrix is not positive definite, or the mean is not found.
    """
    mean = X.mean(axis=0) if start is None else start
    origin_root, origin_whitener = roots(mean)
    mixing = _Anderson(np.zeros_like(mean))
    last = np.inf
    for _ in range(MAX_STEPS):
        root, whitener = roots(mean)
        logs = logarithms(X, whitener)
        step = logs.mean(axis=0)
        length = np.linalg.norm(step)
        if length <= tolerance or last / 2 < length < ROUNDING:
            return Tangent(root, whitener, logs)
        last = length
        further = root @ exponential(step) @ root
        place = mixing.next(logarithms(further[None], origin_whitener)[0])
        mean = _symmetric(origin_root @ exponential(place) @ origin_root)
    raise WorkError(
        f"The mean of {len(X)} covariance matrices was not found in {MAX_STEPS} steps: they are "
        "nearly singular, so use a shrinkage estimator such as oas or fewer channels."
    )


def roots(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Return the square root of a positive definite matrix and the root's inverse."""
    values, vectors = _eigen(matrix)
    root = np.sqrt(values)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def logarithms(X: Matrices, whitener: Matrix) -> Matrices:
    """Return log(whitener @ X_i @ whitener) of every matrix."""
    values, vectors = _eigen(_symmetric(whitener @ X @ whitener))
    return (vectors * np.log(values)[:, None, :]) @ vectors.swapaxes(-1, -2)


def exponential(matrix: Matrix) -> Matrix:
    """Return the exponential of a symmetric matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.exp(values)) @ vectors.T


def vectorised(X: Matrices) -> Float64[np.ndarray, "trial feature"]:
    """Return the upper triangles as vectors of the same norm, row by row."""
    rows, columns = np.triu_indices(X.shape[-1])
    weight = np.where(rows == columns, 1.0, np.sqrt(2.0))
    return X[:, rows, columns] * weight


class _Anderson:
    """Mixes the last images of a fixed point so that their residuals cancel."""

    def __init__(self, place: np.ndarray) -> None:
        self.place = place
        self.images: deque[np.ndarray] = deque(maxlen=MEMORY + 1)
        self.residuals: deque[np.ndarray] = deque(maxlen=MEMORY + 1)

    def next(self, image: np.ndarray) -> np.ndarray:
        """Return where to go from ``place``, whose image is given."""
        self.images.append(image.ravel())
        self.residuals.append((image - self.place).ravel())
        mixed = self.images[-1]
        if len(self.images) > 1:
            change = np.stack([self.residuals[-1] - r for r in list(self.residuals)[:-1]], axis=1)
            moved = np.stack([self.images[-1] - g for g in list(self.images)[:-1]], axis=1)
            share = np.linalg.lstsq(change, self.residuals[-1], rcond=None)[0]
            mixed = mixed - moved @ share
        self.place = _symmetric(mixed.reshape(image.shape))
        return self.place


def _eigen(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(X)
    # Below this an eigenvalue is rounding, and its logarithm noise.
    smallest = values[..., -1:] * np.finfo(np.float64).eps
    if not (values > smallest).all():
        raise WorkError(
            "A covariance matrix is not positive definite (a flat channel, an average reference, or "
            "more channels than samples): use a shrinkage estimator such as oas."
        )
    return values, vectors


def _symmetric(X: np.ndarray) -> np.ndarray:
    return (X + X.swapaxes(-1, -2)) / 2
