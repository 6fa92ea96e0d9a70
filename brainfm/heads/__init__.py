"""`Features` → prediction."""

from brainfm.heads.attention_pooling import AttentionPooling
from brainfm.heads.latent_fusion import LatentFusionHead
from brainfm.heads.linear import LinearHead
from brainfm.heads.mamba import MambaHead
from brainfm.heads.stamp import StampHead

__all__ = [
    "AttentionPooling",
    "LatentFusionHead",
    "LinearHead",
    "MambaHead",
    "StampHead",
]
