"""Noise in the dark, taken out over time: where nothing moves, a pixel follows slowly.

last + w (image - last), with w from CALM_REST at rest to 1 where a block of pixels changes in
the mean, where a pixel changes much, and where the picture is bright (calm_share in pixel.h).
A block's mean has a fifth of the noise, so that what moves is told from what only flickers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kernels.call import Calm as Arguments
from ..kernels.call import rows_address, run

if TYPE_CHECKING:
    from ..types import Picture, Size

BLOCK_ROWS = 4  # pixels of a block: CALM_TALL in kernels.cpp


class Calm:
    """For pictures of one size. What it gives is written anew for the next frame."""

    def __init__(self, size: Size, threads: int = 0) -> None:
        width, height = size
        self._threads = threads
        self._fresh = True
        self._last = np.empty((height, width, 3), np.int16)
        self._out: Picture = np.empty((height, width, 3), np.uint8)

    def __call__(self, image: Picture, amount: float) -> Picture:
        """The picture (H, W, 3) with its noise filtered; `amount` in [0, 1]."""
        height, width = self._out.shape[:2]
        place, stride = rows_address(image, self._out.shape)
        arguments = Arguments(
            image=place,
            last=self._last.ctypes.data,
            out=self._out.ctypes.data,
            image_stride=stride,
            width=width,
            height=height,
            amount=amount,
            fresh=self._fresh,
        )
        run("calm", arguments, -(-height // BLOCK_ROWS), self._threads)
        self._fresh = False
        return self._out
