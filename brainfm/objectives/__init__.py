"""(tokenizer, backbone) → named losses, one idea a file."""

from brainfm.objectives.classification import Classification
from brainfm.objectives.diffusion import Diffusion
from brainfm.objectives.masked_codes import MaskedCodes
from brainfm.objectives.masked_rectangles import MaskedRectangles
from brainfm.objectives.masked_signal import MaskedSignal
from brainfm.objectives.masks import BlockMask, ChannelMask, RandomMask, RectangleMask
from brainfm.objectives.motif_reconstruction import MotifReconstruction
from brainfm.objectives.reconstruction import Reconstruction
from brainfm.objectives.regression import Regression
from brainfm.objectives.supervised import LabelledBatch, Supervised

__all__ = [
    "BlockMask",
    "ChannelMask",
    "Classification",
    "Diffusion",
    "LabelledBatch",
    "MaskedCodes",
    "MaskedRectangles",
    "MaskedSignal",
    "MotifReconstruction",
    "RandomMask",
    "Reconstruction",
    "RectangleMask",
    "Regression",
    "Supervised",
]
