"""EEGNet: temporal filters, a spatial filter for each, and a separable convolution."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from brainfm.baselines.network import NetworkClassifier, Shape


class EEGNet(NetworkClassifier):
    """EEGNet-8,2, a network of some two thousand weights, trained from scratch.

    Lawhern et al., J. Neural Eng. 15 (2018) 056013. At 128 Hz, 64 channels, 128 samples and two classes
    it has 2,258 weights as published; at other rates its kernels last as long (½ s and ⅛ s). After every
    step each spatial filter is shortened to norm 1 and each class's weights of the last layer to norm 0.25,
    as published.

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
        shape.check_length(32, "EEGNet")
        return _Network(shape)

    @torch.no_grad()
    def bound(self) -> None:
        """Shorten what is longer than published."""
        for name, longest in (("spatial.weight", 1.0), ("classes.weight", 0.25)):
            self.network_.get_parameter(name).renorm_(p=2, dim=0, maxnorm=longest)


class _Network(nn.Sequential):
    """Layers over (batch, 1, channel, time); 8 temporal filters, 2 spatial ones for each."""

    def __init__(self, shape: Shape, *, temporal: int = 8, spatial: int = 2) -> None:
        width = temporal * spatial
        half, eighth = round(shape.sfreq / 2), round(shape.sfreq / 8)
        super().__init__(
            OrderedDict(
                view=nn.Unflatten(1, (1, shape.n_channels)),
                pad=_same(half),
                filters=nn.Conv2d(1, temporal, (1, half), bias=False),
                norm=nn.BatchNorm2d(temporal, 1e-3, 0.01),
                spatial=nn.Conv2d(
                    temporal, width, (shape.n_channels, 1), groups=temporal, bias=False
                ),
                spatial_norm=nn.BatchNorm2d(width, 1e-3, 0.01),
                elu=nn.ELU(),
                pool=nn.AvgPool2d((1, 4)),
                dropout=nn.Dropout(0.5),
                depthwise_pad=_same(eighth),
                depthwise=nn.Conv2d(width, width, (1, eighth), groups=width, bias=False),
                pointwise=nn.Conv2d(width, width, 1, bias=False),
                last_norm=nn.BatchNorm2d(width, 1e-3, 0.01),
                last_elu=nn.ELU(),
                last_pool=nn.AvgPool2d((1, 8)),
                last_dropout=nn.Dropout(0.5),
                flat=nn.Flatten(),
                classes=nn.Linear(width * (shape.n_times // 32), shape.n_classes),
            )
        )


def _same(kernel: int) -> nn.Module:
    """Return the padding after which a filter leaves as many samples as there were."""
    return nn.ZeroPad2d(((kernel - 1) // 2, kernel // 2, 0, 0))
