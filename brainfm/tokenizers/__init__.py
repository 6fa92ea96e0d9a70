"""`Batch` → `Tokens`, one idea a file."""

from brainfm.tokenizers.cached import Cached, TokenCache
from brainfm.tokenizers.frozen import Frozen, Pretrained
from brainfm.tokenizers.motif import MotifTokenizer
from brainfm.tokenizers.mu_law import MuLawPatches

__all__ = ["Cached", "Frozen", "MotifTokenizer", "MuLawPatches", "Pretrained", "TokenCache"]
