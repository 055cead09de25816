"""Building blocks that the three networks share.

Only dense 3x3 and 1x1 convolutions with BatchNorm and ReLU: they fuse into one
kernel each at export and run well on every runtime. The residual block is the
fused MBConv of EfficientNetV2 (Tan and Le, ICML 2021).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Sequential):
    """k x k convolution, BatchNorm, ReLU; same size, or 1/stride of it."""

    def __init__(self, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> None:
        padding = (kernel - stride) // 2 if kernel == stride else kernel // 2
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(inplace=True),
        )


class Block(nn.Module):
    """Fused MBConv: 3x3 to twice the channels, 1x1 back, added to the input."""

    def __init__(self, channels: int, expand: int = 2) -> None:
        super().__init__()
        self.widen = Conv(channels, channels * expand)
        self.narrow = nn.Sequential(
            nn.Conv2d(channels * expand, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.widen(x))


class Context(nn.Module):
    """Adds what the whole picture says to every place (global average, 1x1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(x.mean((2, 3), keepdim=True))


class Merge(nn.Module):
    """Decoder step: doubles the deep map's size, adds the skip map, one 3x3 to `wide` channels."""

    def __init__(self, deep: int, skip: int, cout: int, wide: int | None = None) -> None:
        super().__init__()
        self.deep = nn.Conv2d(deep, cout, 1, bias=False)
        self.skip = nn.Conv2d(skip, cout, 1)
        self.conv = Conv(cout, wide or cout)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.conv(enlarge(self.deep(deep), 2) + self.skip(skip))


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear, pixel centres aligned (half_pixel in ONNX)."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


def stack(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(depth)))


def cat(*maps: Tensor) -> Tensor:
    return torch.cat(maps, 1)
