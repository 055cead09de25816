"""MPN, mask prediction: a small picture and a rough hint to a coarse mask."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Context, Conv, Merge, cat, enlarge, stack


class MPN(nn.Module):
    """(N, 3, h, w) RGB in [0, 1] and (N, 1, h, w) hint to (N, 1, h, w) mask logits.

    The hint is the last matte, a box or a scribble; all zero where there is
    none. The mask is decided on a grid four times coarser than the picture:
    right in shape, not in detail. `features` are the maps at 1/4, 1/8 and 1/16
    (decoder) that distillation compares with the teacher's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.s2 = Conv(4, 16, stride=2)
        self.s4 = nn.Sequential(Conv(16, 32, stride=2), stack(32, 1))
        self.s8 = nn.Sequential(Conv(32, 56, stride=2), stack(56, 2))
        self.s16 = nn.Sequential(Conv(56, 96, stride=2), stack(96, 3))
        self.s32 = nn.Sequential(Conv(96, 128, stride=2), stack(128, 2), Context(128))
        self.up16 = Merge(128, 96, 80)
        self.up8 = Merge(80, 56, 48)
        self.up4 = Merge(48, 32, 32)
        self.head = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, image: Tensor, hint: Tensor) -> tuple[Tensor, list[Tensor]]:
        s4 = self.s4(self.s2(cat(image, hint)))
        s8 = self.s8(s4)
        s16 = self.s16(s8)
        s32 = self.s32(s16)
        u16 = self.up16(s32, s16)
        u8 = self.up8(u16, s8)
        u4 = self.up4(u8, s4)
        return enlarge(self.head(u4), 4), [u4, u8, u16]
