"""MPN, mask prediction: a small picture and a rough hint to a coarse mask."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Context, Merge, enlarge
from .lite0 import Encoder


class MPN(nn.Module):
    """(N, 3, h, w) RGB in [0, 1] and (N, 1, h, w) hint to (N, 1, h, w) mask logits.

    The hint is the last matte, a box or a scribble; all zero where there is
    none. The mask is decided on a grid four times coarser than the picture:
    right in shape, not in detail. Also returned are the maps at 1/4 and 1/8,
    which distillation compares with the teacher's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.context = Context(192)
        self.up16 = Merge(192, 112, 80)
        self.up8 = Merge(80, 40, 48)
        self.up4 = Merge(48, 24, 32)
        self.head = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, image: Tensor, hint: Tensor) -> tuple[Tensor, list[Tensor]]:
        s4, s8, s16, s32 = self.encoder(image, hint)
        u8 = self.up8(self.up16(self.context(s32), s16), s8)
        u4 = self.up4(u8, s4)
        return enlarge(self.head(u4), 4), [u4, u8]
