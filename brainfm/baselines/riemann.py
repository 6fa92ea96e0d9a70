"""Riemannian pipelines: what a foundation model has to beat.

Each function returns a scikit-learn pipeline over X (trial, channel, time) in SI units. Nothing is
learned outside the training windows, and the global scale of X changes nothing.
"""

from __future__ import annotations

from typing import Literal

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from brainfm.baselines.covariance import Covariance, Scale, Shrinkage
from brainfm.baselines.pipeline import (
    DiscriminantPipeline,
    SmallMatrixPipeline,
    on_tangent_space,
)
from brainfm.baselines.ridge import LeftOutRidge
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
    lr = LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)
    return on_tangent_space(Covariance(estimator), ("lr", lr))


def fgmdm(estimator: Shrinkage = "oas") -> Pipeline:
    """Covariance → geodesic filter by discriminant analysis → minimum distance to mean.

    Barachant et al., "Riemannian geometry applied to BCI classification", LVA/ICA 2010.

    Parameters
    ----------
    estimator
        covariance estimator, see `Covariance`.
    """
    from pyriemann.classification import FgMDM

    return DiscriminantPipeline(
        [("scale", Scale()), ("covariance", Covariance(estimator)), ("fgmdm", FgMDM())]
    )


def tangent_space_svm(
    estimator: Shrinkage = "oas",
    C: float = 1.0,
    *,
    kernel: Literal["rbf", "linear"] = "linear",
    class_weight: Balance | None = "balanced",
) -> Pipeline:
    """Covariance → tangent space at the Riemannian mean → support vector machine.

    Parameters
    ----------
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the machine's regularisation.
    kernel
        kernel of the machine.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    return on_tangent_space(
        Covariance(estimator), ("svm", ProbabilisticSVM(C, kernel, class_weight))
    )


def tangent_space_elastic_net(
    estimator: Shrinkage = "oas",
    C: float = 1.0,
    *,
    l1_ratio: float = 0.15,
    class_weight: Balance | None = "balanced",
) -> Pipeline:
    """Covariance → tangent space → logistic regression with an elastic net.

    As "Cov+EN" in Carrara & Papadopoulo (arXiv:2302.04508), which beats many a deep network.

    Parameters
    ----------
    estimator
        covariance estimator, see `Covariance`.
    C
        inverse strength of the penalty.
    l1_ratio
        share of the L1 penalty.
    class_weight
        ``"balanced"`` gives every class the same total weight.
    """
    # saga draws the trials at random; a fixed seed keeps results the same from run to run.
    net = LogisticRegression(
        C=C, l1_ratio=l1_ratio, solver="saga", class_weight=class_weight,
        max_iter=10_000, tol=1e-3, random_state=0,
    )  # fmt: skip
    return on_tangent_space(Covariance(estimator), ("net", net))


def tangent_space_ridge(estimator: Shrinkage = "oas") -> Pipeline:
    """Covariance → tangent space at the Riemannian mean → ridge regression, to predict a number.

    Sabbagh et al., NeuroImage 222 (2020) 116893. The penalty has the least squared error on training
    subjects left out in turn, where ``fit`` is told the windows' ``groups``, else on windows.

    Parameters
    ----------
    estimator
        covariance estimator, see `Covariance`.
    """
    return on_tangent_space(Covariance(estimator), ("ridge", LeftOutRidge()))
