"""`Tokens` → `Features`, one idea a file."""

from brainfm.backbones.bimamba import BiMamba
from brainfm.backbones.motif_encoder import MotifEncoder

__all__ = ["BiMamba", "MotifEncoder"]
