"""Affine-invariant geometry of positive definite matrices: the mean and the tangent space at it.

The mean (Pennec et al. 2006) is where the logarithms log(M^-½ X_i M^-½) sum to zero. Seeing the matrices
from a place costs an eigendecomposition each, which is nearly all the time there is, so places must be
few. The decomposition also tells how the logarithms turn when the place moves, for products of matrices
alone: by this derivative Newton's method needs a third of the places that the
fixed point M ← M^½ exp(mean_i log_i) M^½ does, and the last short step is taken without looking again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int

from brainfm.errors import WorkError

Matrix = Float64[np.ndarray, "channel channel"]
Matrices = Float64[np.ndarray, "trial channel channel"]

MAX_PLACES, MAX_PRODUCTS = 50, 100
# Nearly singular matrices leave steps of pure rounding. Once this small, one that does not shrink is one.
ROUNDING = 1e-4
# From within this norm of the mean logarithm Newton's steps square the distance.
NEAR = 0.1


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


@dataclass(frozen=True, eq=False)
class Sight:
    """Matrices as seen from a place: whitened by it, and decomposed.

    Attributes
    ----------
    root, whitener
        square root of the place, and its inverse.
    logs
        logarithms of the whitened matrices' eigenvalues.
    vectors
        their eigenvectors, in columns.
    """

    root: Matrix
    whitener: Matrix
    logs: Float64[np.ndarray, "trial channel"]
    vectors: Matrices

    @classmethod
    def of(cls, X: Matrices, place: Matrix) -> Sight:
        """Look at matrices from a place; ``WorkError`` where one is not positive definite."""
        root, whitener = roots(place)
        values, vectors = _eigen(_symmetric(whitener @ X @ whitener))
        return cls(root, whitener, np.log(values), vectors)

    def take(self, rows: Int[np.ndarray, " row"]) -> Sight:
        """Return the sight of some of the matrices."""
        return Sight(self.root, self.whitener, self.logs[rows], self.vectors[rows])

    @cached_property
    def mean(self) -> Matrix:
        """The mean logarithm: zero where the place is the mean of the matrices."""
        return self._averaged(self.vectors * self.logs[:, None, :])

    @cached_property
    def curvature(self) -> Matrices:
        """How much faster than the place a logarithm moves, by pairs of eigenvectors: h coth h ≥ 1."""
        half = (self.logs[:, :, None] - self.logs[:, None, :]) / 2
        return np.divide(half, np.tanh(half), out=np.ones_like(half), where=half != 0)

    def step(self, accuracy: float) -> Matrix:
        """Return the logarithm of the place where the mean logarithm vanishes to first order.

        Parameters
        ----------
        accuracy
            norm of the mean logarithm, to first order, at which conjugate gradients end.
        """
        step = self.mean
        left = step - self._change(step)
        direction, square = left, (left * left).sum()
        for _ in range(MAX_PRODUCTS):
            if square <= accuracy**2:
                break
            change = self._change(direction)
            share = square / (direction * change).sum()
            step, left = step + share * direction, left - share * change
            last, square = square, (left * left).sum()
            direction = left + square / last * direction
        return _symmetric(step)

    def at(self, step: Matrix) -> Matrix:
        """Return the place whose logarithm, as seen from here, this is."""
        return _symmetric(self.root @ exponential(step) @ self.root)

    def from_nearby(self, step: Matrix) -> Tangent:
        """Return the tangent space a short step away, right to the square of its length."""
        root, whitener = roots(self.at(step))
        turn = whitener @ self.root @ exponential(step / 2)
        inner = -self._turned(step)
        diagonal = np.arange(inner.shape[-1])
        inner[:, diagonal, diagonal] += self.logs
        vectors = turn @ self.vectors
        return Tangent(root, whitener, vectors @ inner @ vectors.swapaxes(-1, -2))

    def _turned(self, step: Matrix) -> Matrices:
        """Return by how much a step shortens each logarithm, in the basis of its eigenvectors."""
        turned = self.vectors.swapaxes(-1, -2) @ (step @ self.vectors)
        turned *= self.curvature
        return turned

    def _change(self, step: Matrix) -> Matrix:
        """Return by how much a step shortens the mean logarithm."""
        return self._averaged(self.vectors @ self._turned(step))

    def _averaged(self, left: Matrices) -> Matrix:
        """Return the mean of ``left @ vectors.T``, as one product of flat matrices."""
        flat = left.swapaxes(0, 1).reshape(left.shape[1], -1)
        return flat @ self._flat.T / len(left)

    @cached_property
    def _flat(self) -> Float64[np.ndarray, "channel trial_channel"]:
        return self.vectors.swapaxes(0, 1).reshape(self.vectors.shape[1], -1)


def approach(X: Matrices) -> Sight:
    """Look at matrices from somewhere near their mean; `karcher` says what can fail."""
    place = X.mean(axis=0)
    for _ in range(MAX_PLACES):
        sight = Sight.of(X, place)
        length = float(np.linalg.norm(sight.mean))
        if length <= NEAR:
            return sight
        place = sight.at(sight.step(NEAR * length))
    raise _not_found(X)


def karcher(X: Matrices, start: Matrix | None = None, *, tolerance: float = 1e-8) -> Tangent:
    """Find the Riemannian mean of matrices, and their logarithms at it.

    Parameters
    ----------
    X
        symmetric positive definite matrices.
    start
        where to begin; the arithmetic mean when not given. It changes nothing but the time.
    tolerance
        largest square of the last step's Frobenius norm, which bounds the error that it leaves; of nearly
        singular matrices what rounding leaves.

    Raises
    ------
    WorkError
        When a matrix is not positive definite, or the mean is not found.
    """
    place, last = X.mean(axis=0) if start is None else start, np.inf
    for _ in range(MAX_PLACES):
        sight = Sight.of(X, place)
        length = float(np.linalg.norm(sight.mean))
        step = sight.step(max(tolerance / 10, length * min(NEAR, length)))
        if (step * step).sum() <= tolerance or last / 2 < length < ROUNDING:
            return sight.from_nearby(step)
        place, last = sight.at(step), length
    raise _not_found(X)


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


def _not_found(X: Matrices) -> WorkError:
    return WorkError(
        f"The mean of {len(X)} covariance matrices was not found in {MAX_PLACES} steps: they are "
        "nearly singular, so use a shrinkage estimator such as oas or fewer channels."
    )
