"""`Tokens` → `Features`, one idea a file."""

from brainfm.backbones.bimamba import BiMamba
from brainfm.backbones.motif_encoder import MotifEncoder
from brainfm.backbones.patch_transformer import PatchTransformer
from brainfm.backbones.series import SeriesBackbone, SeriesEmbedder
from brainfm.backbones.state_space_denoiser import StateSpaceDenoiser

__all__ = [
    "BiMamba",
    "MotifEncoder",
    "PatchTransformer",
    "SeriesBackbone",
    "SeriesEmbedder",
    "StateSpaceDenoiser",
]
