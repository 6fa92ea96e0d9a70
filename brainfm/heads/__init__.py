"""`Features` → prediction."""

from brainfm.heads.latent_fusion import LatentFusionHead
from brainfm.heads.linear import LinearHead

__all__ = ["LatentFusionHead", "LinearHead"]
