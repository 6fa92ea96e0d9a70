"""`Tokens` → `Features`, one idea a file."""

from brainfm.backbones.motif_encoder import MotifEncoder

__all__ = ["MotifEncoder"]
