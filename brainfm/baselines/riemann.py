"""Riemannian pipelines: what a foundation model has to beat.

Each function returns a scikit-learn pipeline over X (trial, channel, time) in SI units. Nothing is
learned outside the training windows, and the global scale of X changes nothing.
"""

from __future__ import annotations

from typing import Literal

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from brainfm.baselines.covariance import Covariance, Scale, Shrinkage
from brainfm.baselines.embedding import DelayEmbedding
from brainfm.baselines.pipeline import SmallMatrixPipeline
from brainfm.baselines.svm import ProbabilisticSVM

Balance = Literal["balanced"]


def mdm(estimator: Shrinkage = "oas") -> Pipeline:
    """Covariance → minimum distance to the classes' Riemannian means.

    Barachant et al., IEEE Trans. Biomed. Eng. 59 (2012) 920. Classes count alike whatever their
    number of windows.

    Parameters
    ----------
    estimator
        covariance estimator, see `Covariance`.
    """
    from pyriemann.classification import MDM

    return SmallMatrixPipeline(
        [("scale", Scale()), ("covariance", Covariance(estimator)), ("mdm", MDM())]
    )


def tangent_space_lr(
    estimator: Shrinkage = "oas", C: float = 1.0, class_weight: Balance | None = "balanced"
) -> Pipeline:
    """Covariance → tangent space at the Riemannian mean → logistic regression.

    Barachant et al., Neurocomputing 112 (2013) 172.

    Parameters
    ----------
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the regression's L2 penalty.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    from pyriemann.tangentspace import TangentSpace

    return SmallMatrixPipeline(
        [
            ("scale", Scale()),
            ("covariance", Covariance(estimator)),
            ("tangent", TangentSpace()),
            ("lr", LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)),
        ]
    )


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
    from pyriemann.tangentspace import TangentSpace

    return SmallMatrixPipeline(
        [
            ("scale", Scale()),
            ("embedding", DelayEmbedding(order, lag)),
            ("covariance", Covariance(estimator)),
            ("tangent", TangentSpace()),
            ("svm", ProbabilisticSVM(C, kernel, class_weight)),
        ]
    )
