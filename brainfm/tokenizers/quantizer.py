"""Vector quantisation with a codebook learned by exponential moving averages.

van den Oord et al., "Neural Discrete Representation Learning", NeurIPS 2017, appendix A.1; the
machinery is vector-quantize-pytorch's, started as TFM-Tokenizer starts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Quantized:
    """Code vectors for a sequence.

    Attributes
    ----------
    value
        (row, token, dim) code vectors; gradients pass straight through to the input.
    code
        (row, token) their indices.
    commitment
        mean squared distance of the input to its code vector, with gradient to the input only.
    """

    value: Float[Tensor, "row token dim"]
    code: Int[Tensor, "row token"]
    commitment: Float[Tensor, ""]


class Quantizer(nn.Module):
    """Nearest code vector in Euclidean distance; the codebook follows its members' mean.

    Code vectors are not normalised, nor started by k-means, nor are unused ones replaced: the
    moving average of an unused code is divided by its vanishing count, which throws the code far
    out and lets it drift back through the data later.

    Parameters
    ----------
    dim
        width of a code vector.
    n_codes
        number of codes.
    decay
        of the moving averages.
    """

    def __init__(self, dim: int, n_codes: int, *, decay: float = 0.99):
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize

        self.vq = VectorQuantize(
            dim=dim,
            codebook_size=n_codes,
            decay=decay,
            eps=1e-5,
            kmeans_init=False,
            threshold_ema_dead_code=0,
            rotation_trick=False,
            ema_update=True,
            learnable_codebook=False,
            commitment_weight=1.0,
        )
        start = torch.empty(1, n_codes, dim).uniform_(-1 / n_codes, 1 / n_codes)
        book = self.vq._codebook
        for name in ("embed", "embed_avg"):
            book.get_buffer(name).copy_(start)
        book.get_buffer("cluster_size").zero_()

    @property
    def ema_codebook(self) -> Float[Tensor, "code dim"]:
        """The code vectors. They are no parameter: no optimiser touches them."""
        return self.vq._codebook.embed[0]

    def synchronise(self) -> None:
        """Let the codebook follow the data of all processes that train together."""
        from torch.distributed import all_reduce

        self.vq._codebook.all_reduce_fn = all_reduce

    def forward(self, x: Float[Tensor, "row token dim"]) -> Quantized:
        """Quantise; in training mode also let the codebook follow."""
        value, code, commitment = self.vq(x)
        if not self.training:
            commitment = (x - value).square().mean()
        return Quantized(value, code, commitment.reshape(()))
