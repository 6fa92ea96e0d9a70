"""`Features` → prediction."""

from brainfm.heads.latent_fusion import LatentFusionHead
from brainfm.heads.linear import LinearHead
from brainfm.heads.mamba import MambaHead

__all__ = [
    "LatentFusionHead",
    "LinearHead",
    "MambaHead",
]
