"""Light wrap: the background's light on the person's rim."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..matting.temporal import low_alpha
from ..types import Mask8, Matte, Picture, Size
from .pixels import REMAP_ROW, pairs, sample

GLOW_BLUR = 7  # low pixels: how far the background's light reaches into its own blur
SHARE_BLUR = 3  # low pixels: how far the room around a place is looked for
SHINES = 1 / 512  # of the light: less is not seen


class RimLight:
    """F + wrap share (glow - F): F is the person's colour, glow the background out of focus.

    `share` is how much of the matte around a place is room.
    """

    def __init__(self, matte: Matte, background: Picture, wrap: float, size: Size) -> None:
        height, width = matte.residual.shape[:2]
        self._size = size
        self._to_low = pairs(width / size[0], height / size[1])
        glow = cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA)
        glow = cv2.blur(glow, (GLOW_BLUR, GLOW_BLUR)).astype(np.float32)
        around = cv2.blur(low_alpha(matte), (SHARE_BLUR, SHARE_BLUR))
        self._share = np.float32(wrap) * np.clip(1 - around, 0, 1)
        self._maps = np.concatenate((glow, self._share[..., None]), 2)

    def __call__(self, where: NDArray[np.uint16], colour: NDArray[Any]) -> NDArray[np.float32]:
        """Colours (N, 3) in [0, 255] of the pixels at `where` (N, 2), lit.

        N is a multiple of REMAP_ROW.
        """
        centres = where.reshape(-1, 2 * REMAP_ROW) + np.float32(0.5)
        near = sample(self._maps, centres * self._to_low)
        lit: NDArray[np.float32] = colour + near[:, 3:] * (near[:, :3] - colour)
        return lit

    def reach(self) -> Mask8:
        """(H, W), 1 where it is seen."""
        share = cv2.resize(self._share, self._size, interpolation=cv2.INTER_LINEAR)
        return (share > SHINES).view(np.uint8)
