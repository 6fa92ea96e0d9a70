"""`Batch` → `Tokens`, one idea a file."""

from brainfm.tokenizers.cached import Cached, TokenCache
from brainfm.tokenizers.frozen import Frozen, Pretrained
from brainfm.tokenizers.motif import MotifTokenizer

__all__ = ["Cached", "Frozen", "MotifTokenizer", "Pretrained", "TokenCache"]
