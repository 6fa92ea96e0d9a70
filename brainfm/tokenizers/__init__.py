"""`Batch` → `Tokens`, one idea a file."""

from brainfm.tokenizers.frozen import Frozen, Pretrained
from brainfm.tokenizers.motif import MotifTokenizer

__all__ = ["Frozen", "MotifTokenizer", "Pretrained"]
