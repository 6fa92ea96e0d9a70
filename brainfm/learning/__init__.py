"""The only training loop, its checkpoints, and the fine-tuned estimator."""

from brainfm.learning.finetuned import Finetuned, Untrained
from brainfm.learning.train import Train

__all__ = ["Finetuned", "Train", "Untrained"]
