"""`Features` → prediction."""

from brainfm.heads.linear import LinearHead
from brainfm.heads.mamba import MambaHead

__all__ = ["LinearHead", "MambaHead"]
