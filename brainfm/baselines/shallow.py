"""ShallowConvNet: filter-bank common spatial patterns as a network."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from brainfm.baselines.network import NetworkClassifier, Shape


class ShallowConvNet(NetworkClassifier):
    """Temporal filters, spatial filters, squares, means over time and a logarithm, trained from scratch.

    Schirrmeister et al., Human Brain Mapping 38 (2017) 5391. At 250 Hz, 22 channels, 1,125 samples and
    four classes it has 47,364 weights as published; at other rates its kernels last as long (0.1 s, pooled
    over 0.3 s every 0.06 s).

    Parameters
    ----------
    epochs
        passes over the training windows.
    batch
        windows a step.
    lr
        Adam's step size.
    random_state
        seeds weights, order and dropout; the evaluation fills it in.
    sfreq
        sampling rate in Hz; the evaluation fills it in.
    """

    def build(self, shape: Shape) -> nn.Module:
        """Return the untrained network."""
        kernel, pool = round(0.1 * shape.sfreq), round(0.3 * shape.sfreq)
        shape.check_length(kernel + pool - 1, "ShallowConvNet")
        return _Network(shape, kernel=kernel, pool=pool, stride=round(0.06 * shape.sfreq))


class _Network(nn.Sequential):
    """Layers over (batch, 1, channel, time), 40 filters wide."""

    def __init__(
        self, shape: Shape, *, kernel: int, pool: int, stride: int, width: int = 40
    ) -> None:
        pooled = (shape.n_times - kernel + 1 - pool) // stride + 1
        super().__init__(
            OrderedDict(
                view=nn.Unflatten(1, (1, shape.n_channels)),
                filters=nn.Conv2d(1, width, (1, kernel)),
                spatial=nn.Conv2d(width, width, (shape.n_channels, 1), bias=False),
                norm=nn.BatchNorm2d(width),
                square=_Square(),
                pool=nn.AvgPool2d((1, pool), (1, stride)),
                log=_Log(),
                dropout=nn.Dropout(0.5),
                flat=nn.Flatten(),
                classes=nn.Linear(width * pooled, shape.n_classes),
            )
        )


class _Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class _Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        # A silent filter has no logarithm.
        return x.clamp(min=1e-6).log()
