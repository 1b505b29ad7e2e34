"""The compact network: Cellpose's outputs from a stride-2 residual U-Net.

Input and output have the full resolution; everything between runs at half of it
or less (pixel-unshuffle in, pixel-shuffle out), which is what makes it fast on a
laptop. There is no global pooling and batch normalisation uses stored statistics,
so a pixel's output depends only on its surroundings.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

INPUT_CHANNELS = 2
"""Channel 0: the objects (marker, or the only channel). Channel 1: nuclei, or zeros."""

OUTPUT_CHANNELS = 3
"""Flow along y, flow along x (both 5 times a unit vector), logit of being in a cell."""

STRIDE = 16
"""Height and width of the input must be multiples of this."""

WIDTHS = (32, 64, 128, 256)
"""Feature maps at 1/2, 1/4, 1/8 and 1/16 of the resolution."""


def _conv_norm(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )


class _Residual(nn.Module):
    """Two 3×3 convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv_norm(width, width)
        self.second = _conv_norm(width, width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.act(self.first(x))
        out: torch.Tensor = self.act(self.second(inner).add_(x))
        return out


class _Up(nn.Module):
    """To twice the resolution, and the encoder's features added."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.mix = _conv_norm(outputs, outputs)
        self.act = nn.ReLU(inplace=True)
        self.block = _Residual(outputs)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        up = nn.functional.interpolate(self.project(x), scale_factor=2.0, mode="nearest")
        out: torch.Tensor = self.block(self.act(self.mix(up.add_(skip))))
        return out


class CompactNet(nn.Module):
    """About 2.6 million parameters; 2 channels in, Cellpose's 3 out.

    Shapes
    ------
    input : float32 (N, 2, H, W), H and W multiples of 16
    output : float32 (N, 3, H, W)
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.unshuffle = nn.PixelUnshuffle(2)
        self.act = nn.ReLU(inplace=True)
        self.stem = _conv_norm(INPUT_CHANNELS * 4, widths[0])
        self.encoder = nn.ModuleList(_Residual(width) for width in widths)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_conv_norm(a, b, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(_Up(b, a) for a, b in reversed(pairs))
        self.head = nn.Conv2d(widths[0], OUTPUT_CHANNELS * 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Flows and cell logit of a batch; see the class for shapes."""
        x = self.act(self.stem(self.unshuffle(x)))
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(x)
            if level < len(self.down):
                skips.append(x)
                x = self.act(self.down[level](x))
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(x, skip)
        out: torch.Tensor = self.shuffle(self.head(x))
        return out


def fuse_batch_norm(net: CompactNet) -> CompactNet:
    """Fold every batch norm into the convolution before it; same outputs to rounding, fewer passes.

    Parameters
    ----------
    net : CompactNet
        In evaluation mode; changed in place.

    Returns
    -------
    CompactNet
        The same object.
    """
    modules: list[Any] = list(net.modules())
    for module in modules:
        if isinstance(module, nn.Sequential) and len(module) == 2:
            conv, norm = module[0], module[1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[0] = nn.utils.fusion.fuse_conv_bn_eval(conv, norm)
                module[1] = nn.Identity()
    return net
