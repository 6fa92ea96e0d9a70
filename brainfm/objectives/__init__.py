"""(tokenizer, backbone) → named losses, one idea a file."""

from brainfm.objectives.classification import Classification, LabelledBatch
from brainfm.objectives.diffusion import Diffusion
from brainfm.objectives.masked_codes import MaskedCodes
from brainfm.objectives.masked_rectangles import MaskedRectangles
from brainfm.objectives.motif_reconstruction import MotifReconstruction

__all__ = [
    "Classification",
    "Diffusion",
    "LabelledBatch",
    "MaskedCodes",
    "MaskedRectangles",
    "MotifReconstruction",
]
