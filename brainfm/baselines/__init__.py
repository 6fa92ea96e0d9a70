"""Estimators that need no pretraining, with the same ``fit`` and ``predict_proba``."""

from brainfm.baselines.bandpower import LogBandPower, log_bandpower_lda
from brainfm.baselines.covariance import Covariance, Scale
from brainfm.baselines.embedding import DelayEmbedding
from brainfm.baselines.riemann import augmented_tangent_space_svm, mdm, tangent_space_lr

__all__ = [
    "Covariance",
    "DelayEmbedding",
    "LogBandPower",
    "Scale",
    "augmented_tangent_space_svm",
    "log_bandpower_lda",
    "mdm",
    "tangent_space_lr",
]
