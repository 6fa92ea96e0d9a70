"""Riemannian pipelines over augmented covariances, which see how a signal unfolds in time.

Carrara & Papadopoulo, IEEE Trans. Biomed. Eng. 2024 (arXiv:2302.04508). `AugmentedSearch` chooses the
order and lag by cross-validation, `chosen_tangent_space_svm` reads them off the signal.
"""

from __future__ import annotations

from typing import Literal

from sklearn.pipeline import Pipeline

from brainfm.baselines.choice import ChosenEmbedding, EmbeddingChoice
from brainfm.baselines.covariance import Covariance, Shrinkage
from brainfm.baselines.embedding import DelayEmbedding
from brainfm.baselines.pipeline import on_tangent_space
from brainfm.baselines.svm import ProbabilisticSVM
from brainfm.baselines.toeplitz import ToeplitzCovariance

Balance = Literal["balanced"]


def augmented_tangent_space_svm(
    order: int = 4,
    lag: int = 4,
    *,
    estimator: Shrinkage = "oas",
    C: float = 1.0,
    kernel: Literal["rbf", "linear"] = "rbf",
    class_weight: Balance | None = "balanced",
) -> Pipeline:
    """Delay embedding → covariance → tangent space → support vector machine.

    Carrara & Papadopoulo, IEEE Trans. Biomed. Eng. 2024 (arXiv:2302.04508).

    Parameters
    ----------
    order
        copies of every channel in the embedding.
    lag
        samples between two copies.
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the machine's regularisation.
    kernel
        kernel of the machine.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    pipeline = on_tangent_space(
        Covariance(estimator), ("svm", ProbabilisticSVM(C, kernel, class_weight))
    )
    pipeline.steps.insert(1, ("embedding", DelayEmbedding(order, lag)))
    return pipeline


def block_toeplitz_tangent_space_svm(
    order: int = 4,
    lag: int = 4,
    *,
    C: float = 1.0,
    kernel: Literal["rbf", "linear"] = "rbf",
    class_weight: Balance | None = "balanced",
) -> Pipeline:
    """Block-Toeplitz augmented covariance → tangent space → support vector machine.

    Parameters
    ----------
    order
        copies of every channel in the embedding.
    lag
        samples between two copies.
    C
        inverse strength of the machine's regularisation.
    kernel
        kernel of the machine.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    svm = ProbabilisticSVM(C, kernel, class_weight)
    return on_tangent_space(ToeplitzCovariance(order, lag), ("svm", svm))


def chosen_tangent_space_svm(
    choice: EmbeddingChoice,
    estimator: Shrinkage = "oas",
    *,
    C: float = 1.0,
    kernel: Literal["rbf", "linear"] = "rbf",
    class_weight: Balance | None = "balanced",
) -> Pipeline:
    """Augmented covariance, its order and lag read off the training signal → tangent space → SVM.

    Parameters
    ----------
    choice
        the rule: ``MutualInformationCao`` or ``MDOP``.
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the machine's regularisation.
    kernel
        kernel of the machine.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    pipeline = on_tangent_space(
        Covariance(estimator), ("svm", ProbabilisticSVM(C, kernel, class_weight))
    )
    pipeline.steps.insert(1, ("embedding", ChosenEmbedding(choice)))
    return pipeline
