"""MRN, matting refinement: large picture and unified mask to alpha and foreground."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bshm_live.compositing.grade import WEIGHTS

from .layers import Conv, Merge, stack

CELL = 4  # pixels a side that are one place of the mask's grid


class MRN(nn.Module):
    """(N, 3, 4h, 4w) RGB and (N, 1, h, w) mask to alpha and a residual.

    Returns alpha (N, 1, 4h, 4w), not yet clipped, and the foreground residual R
    (N, 3, h, w); F = clip(I + enlarge(R)), as in BackgroundMattingV2. The work
    is done on the mask's own grid: 4x4 pixels enter as channels and 4x4 values
    of alpha leave as channels, so that full size costs two moves of memory.

    Within so small a cell alpha is nearly linear in the picture (Levin, Lischinski and
    Weiss, "A closed-form solution to natural image matting", CVPR 2006): `detail`
    is how each pixel differs from its cell, `gate` how much of that is alpha.

    Widths are multiples of 16, in which processors take channels: 24 cost as
    much as 32. `slim` has half of the arithmetic, for the fastest preset.
    """

    def __init__(self, *, slim: bool = False) -> None:
        super().__init__()
        c4, c8, c16, fine, depth8 = (16, 32, 32, 16, 0) if slim else (16, 32, 48, 32, 1)
        self.patch = Conv(3, c4, kernel=CELL, stride=CELL)
        self.mask = nn.Conv2d(1, c4, 3, padding=1)
        self.s8 = nn.Sequential(Conv(c4, c8, stride=2), stack(c8, depth8))
        self.s16 = nn.Sequential(Conv(c8, c16, stride=2), stack(c16, 1))
        self.up8 = Merge(c16, c8, c8)
        self.up4 = Merge(c8, c4, c4, fine)
        self.alpha = nn.Conv2d(fine, CELL * CELL, 1)
        self.gate = nn.Conv2d(fine, CELL * CELL, 1)
        self.detail = nn.Conv2d(3, CELL * CELL, CELL, CELL, bias=False)
        self.residual = nn.Conv2d(fine, 3, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)  # type: ignore[arg-type]
        self.detail.weight.data.copy_(differences())

    def forward(self, image: Tensor, unified: Tensor) -> tuple[Tensor, Tensor]:
        cells, residual = self.cells(image, unified)
        return F.pixel_shuffle(cells, CELL), residual

    def cells(self, image: Tensor, unified: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with the 4x4 values of alpha as channels (N, 16, h, w)."""
        s4 = self.patch(image) + self.mask(unified)
        s8 = self.s8(s4)
        fine = self.up4(self.up8(self.s16(s8), s8), s4)
        return self.alpha(fine) + self.gate(fine) * self.detail(image), self.residual(fine)


def differences() -> Tensor:
    """Filters (16, 3, 4, 4): four times what each pixel's luma has more than its cell's mean."""
    pixels = CELL * CELL
    each = (torch.eye(pixels) - 1 / pixels).view(pixels, 1, CELL, CELL)
    luma = torch.from_numpy(WEIGHTS[::-1].copy())  # of R, G, B
    return CELL * each * luma.view(1, 3, 1, 1)
