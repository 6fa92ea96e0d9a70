"""The only training loop, its checkpoints, and the fine-tuned estimators."""

from brainfm.learning.adaptation import FrozenProbe, Full, LoRA, RidgeProbe
from brainfm.learning.finetuned import Finetuned, FinetunedRegressor, Untrained, UntrainedRegressor
from brainfm.learning.train import Train

__all__ = [
    "Finetuned",
    "FinetunedRegressor",
    "FrozenProbe",
    "Full",
    "LoRA",
    "RidgeProbe",
    "Train",
    "Untrained",
    "UntrainedRegressor",
]
