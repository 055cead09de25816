"""What the soft band takes from its neighbourhood: alpha's slope, and both colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.call import MAPS, MOMENTS, Model, Scratch, address, run
from ..types import Mask8, Matte, Shape

REFINED = 4  # pixels of the matte to a low one
FEW = 1 << 14  # low pixels: less work than waking another thread
ROW_BYTES = 88  # of scratch memory to a low pixel
PERSON, SLOPE, ROOM, SHARE = slice(0, 3), 3, slice(4, 7), 7  # of the maps


class EdgeModel:
    """Maps of a matte (H, W), four pixels to a place; their memory is used again for the next.

    Alpha follows the picture's brightness: the fast guided filter's slope A =
    cov(grey, alpha) / (var(grey) + eps) (He and Sun, 2015), used only for what the
    matte's size could not hold: alpha += A (grey at full size - grey at the
    matte's size). At equal sizes it changes nothing.

    The foreground is that of blur fusion (Forte, ICIP 2021): F = p + alpha (I -
    alpha p - (1 - alpha) r), where p and r are the mean colours of person and room
    around a pixel. They come from the small picture, p from what MRN says is the
    person's colour there; what is surely one or the other counts most.

    `levels` and `grey` are (H, W) uint8; `maps` is (ceil(H / 4), ceil(W / 4), 8): person
    B, G, R, slope A, room B, G, R in levels, and `wrap` times the room's share around.
    """

    def __init__(self, shape: Shape, threads: int = 0) -> None:
        tall, wide = shape
        self.shape, self.low = (tall, wide), (-(-tall // REFINED), -(-wide // REFINED))
        self._threads = 1 if self.low[0] * self.low[1] < FEW else threads
        self.levels: Mask8 = np.empty(self.shape, np.uint8)
        self.grey: Mask8 = np.empty(self.shape, np.uint8)
        self.maps = np.empty((*self.low, MAPS), np.float32)
        self._moments = np.empty((*self.low, MOMENTS), np.float32)
        self._own = np.empty((*self.low, MAPS), np.float32)
        self._scratch = Scratch(self.low[1] * ROW_BYTES)
        self._arguments = Model(
            levels=self.levels.ctypes.data,
            grey=self.grey.ctypes.data,
            moments=self._moments.ctypes.data,
            own=self._own.ctypes.data,
            maps=self.maps.ctypes.data,
            scratch=self._scratch.address,
            lane_bytes=self._scratch.lane_bytes,
            wide=wide,
            tall=tall,
            w=self.low[1],
            h=self.low[0],
        )

    def __call__(self, matte: Matte, wrap: float = 0.0) -> None:
        """Of another matte of the same size."""
        alpha, guide = np.ascontiguousarray(matte.alpha), np.ascontiguousarray(matte.guide)
        residual: NDArray[np.float32] = np.ascontiguousarray(matte.residual)
        arguments = self._arguments
        arguments.alpha = address(alpha, self.shape, np.float32)
        arguments.guide = address(guide, (*self.shape, 3), np.uint8)
        arguments.residual = address(residual, (*self.low, 3), np.float32)
        arguments.wrap = wrap
        run("moments", arguments, self.low[0], self._threads)
        run("model", arguments, self.low[0], self._threads)
