"""Vector quantisation with a codebook learned by exponential moving averages.

van den Oord et al., "Neural Discrete Representation Learning", NeurIPS 2017, appendix A.1; the
machinery is vector-quantize-pytorch's, started as TFM-Tokenizer starts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
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
        self.n_codes, self.decay = n_codes, decay
        self.seen: list[Tensor] | None = None
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

    def gather(self) -> None:
        """Keep the codebook as it is until `follow`, so that all parts of a step meet the same one."""
        self.seen = []

    @torch.no_grad()
    def follow(self, parts: int) -> None:
        """Let the codebook follow what all parts, on all processes, have shown it since `gather`.

        It takes as many updates as each part has calls, as one whole batch would make it take.

        Parameters
        ----------
        parts
            that this process has computed.
        """
        shown, self.seen = self.seen or [], None
        book, views = self.vq._codebook, len(shown) // parts
        for view in range(views):
            total = torch.stack(shown[view::views]).sum(0)
            if dist.is_initialized():
                dist.all_reduce(total)
            for name, new in (("cluster_size", total[:, 0]), ("embed_avg", total[:, 1:])):
                book.get_buffer(name).lerp_(new[None], 1 - self.decay)
            book.update_ema()

    def forward(self, x: Float[Tensor, "row token dim"]) -> Quantized:
        """Quantise; in training mode also let the codebook follow, or remember what it shall follow."""
        value, code, commitment = self.vq(x, freeze_codebook=self.seen is not None)
        if self.training and self.seen is not None:
            self.seen.append(self._totals(x.detach(), code))
        if not self.training:
            commitment = (x - value).square().mean()
        return Quantized(value, code, commitment.reshape(()))

    def _totals(
        self, x: Float[Tensor, "row token dim"], code: Int[Tensor, "row token"]
    ) -> Float[Tensor, "code one_and_dim"]:
        """Return of each code how many members it has, and their sum."""
        members = x.flatten(0, 1).float()
        members = torch.cat([torch.ones_like(members[:, :1]), members], dim=1)
        zeros = members.new_zeros(self.n_codes, members.shape[1])
        return zeros.index_add_(0, code.flatten(), members)
