"""MRN, matting refinement: large picture and unified mask to alpha and foreground."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Conv, Merge, stack


class MRN(nn.Module):
    """(N, 3, 4h, 4w) RGB and (N, 1, h, w) mask to logits and a residual.

    Returns alpha logits (N, 1, 4h, 4w) and the foreground residual R
    (N, 3, h, w); F = clip(I + enlarge(R)), as in BackgroundMattingV2. The work
    is done on the mask's own grid: 4x4 pixels enter as channels and 4x4 values
    of alpha leave as channels, so that full size costs two moves of memory.
    `slim` has a third of the arithmetic, for the fastest preset.
    """

    def __init__(self, *, slim: bool = False) -> None:
        super().__init__()
        c4, c8, c16, u8, depth8 = (16, 24, 32, 24, 0) if slim else (24, 32, 48, 32, 1)
        self.patch = Conv(3, c4, kernel=4, stride=4)
        self.mask = nn.Conv2d(1, c4, 3, padding=1)
        self.s8 = nn.Sequential(Conv(c4, c8, stride=2), stack(c8, depth8))
        self.s16 = nn.Sequential(Conv(c8, c16, stride=2), stack(c16, 1))
        self.up8 = Merge(c16, c8, u8)
        self.up4 = Merge(u8, c4, c4)
        self.alpha = nn.Conv2d(c4, 16, 1)
        self.residual = nn.Conv2d(c4, 3, 1)

    def forward(self, image: Tensor, unified: Tensor) -> tuple[Tensor, Tensor]:
        cells, residual = self.cells(image, unified)
        return F.pixel_shuffle(cells, 4), residual

    def cells(self, image: Tensor, unified: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with the 4x4 values of alpha as channels (N, 16, h, w)."""
        s4 = self.patch(image) + self.mask(unified)
        s8 = self.s8(s4)
        fine = self.up4(self.up8(self.s16(s8), s8), s4)
        return self.alpha(fine), self.residual(fine)
