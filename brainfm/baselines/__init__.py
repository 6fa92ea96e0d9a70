"""Estimators that need no pretraining, with the same ``fit`` and ``predict_proba``."""

from brainfm.baselines.augmented import (
    augmented_tangent_space_svm,
    block_toeplitz_tangent_space_svm,
    chosen_tangent_space_svm,
)
from brainfm.baselines.band import InBand
from brainfm.baselines.bandpower import LogBandPower, log_bandpower_lda
from brainfm.baselines.choice import ChosenEmbedding, EmbeddingChoice
from brainfm.baselines.covariance import Covariance, Scale
from brainfm.baselines.eegnet import EEGNet
from brainfm.baselines.embedding import DelayEmbedding
from brainfm.baselines.evoked import EvokedCovariance, xdawn_tangent_space_lr
from brainfm.baselines.mdop import MDOP
from brainfm.baselines.mutual_information import MutualInformationCao
from brainfm.baselines.ridge import LeftOutRidge
from brainfm.baselines.riemann import (
    fgmdm,
    mdm,
    tangent_space_elastic_net,
    tangent_space_lr,
    tangent_space_ridge,
    tangent_space_svm,
)
from brainfm.baselines.search import AugmentedSearch
from brainfm.baselines.shallow import ShallowConvNet
from brainfm.baselines.spectral import (
    FilterBankTangent,
    LogCospectra,
    filter_bank_lr,
    log_cospectra_lr,
)
from brainfm.baselines.tangent import TangentSpace
from brainfm.baselines.toeplitz import ToeplitzCovariance

__all__ = [
    "MDOP",
    "AugmentedSearch",
    "ChosenEmbedding",
    "Covariance",
    "DelayEmbedding",
    "EEGNet",
    "EmbeddingChoice",
    "EvokedCovariance",
    "FilterBankTangent",
    "InBand",
    "LeftOutRidge",
    "LogBandPower",
    "LogCospectra",
    "MutualInformationCao",
    "Scale",
    "ShallowConvNet",
    "TangentSpace",
    "ToeplitzCovariance",
    "augmented_tangent_space_svm",
    "block_toeplitz_tangent_space_svm",
    "chosen_tangent_space_svm",
    "fgmdm",
    "filter_bank_lr",
    "log_bandpower_lda",
    "log_cospectra_lr",
    "mdm",
    "tangent_space_elastic_net",
    "tangent_space_lr",
    "tangent_space_ridge",
    "tangent_space_svm",
    "xdawn_tangent_space_lr",
]
