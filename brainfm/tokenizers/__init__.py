"""`Batch` → `Tokens`, one idea a file."""

from brainfm.tokenizers.frozen import Frozen, pretrained
from brainfm.tokenizers.motif import MotifTokenizer

__all__ = ["Frozen", "MotifTokenizer", "pretrained"]
