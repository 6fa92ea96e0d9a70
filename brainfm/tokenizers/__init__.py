"""`Batch` → `Tokens`, one idea a file."""

from brainfm.tokenizers.cached import Cached, WindowCache
from brainfm.tokenizers.frozen import Frozen, Pretrained
from brainfm.tokenizers.montage_patches import MontagePatches
from brainfm.tokenizers.motif import MotifTokenizer
from brainfm.tokenizers.mu_law import MuLawPatches
from brainfm.tokenizers.patches import Patches

__all__ = [
    "Cached",
    "Frozen",
    "MontagePatches",
    "MotifTokenizer",
    "MuLawPatches",
    "Patches",
    "Pretrained",
    "WindowCache",
]
