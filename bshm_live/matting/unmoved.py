"""What the networks said of a frame, for the next one that shows the same."""

from __future__ import annotations

import numpy as np

from ..types import HostMatte, Picture, Tensor

BLOCK = 8  # pixels of the small picture: a block's mean has little of a webcam's noise
MOVED = 4 / 255  # change of a block's mean, from which on something moved
HINT_MOVED = 0.1  # the same, of the last matte
HINT_STILL = 0.004  # of any pixel of it: under a level of 255


class Unmoved:
    """The last frame's masks and matte."""

    def __init__(self) -> None:
        self._low = self._hint = np.empty(0, np.float32)
        self._masks: tuple[Tensor, Tensor] | None = None
        self._matte: HostMatte | None = None

    def matte(self, guide: Picture, hint: Tensor) -> HostMatte | None:
        """The last matte, where it is of the very same picture and hint."""
        last = self._matte
        if last is None or np.abs(hint - self._hint).max() > HINT_STILL:
            return None
        return last if np.array_equal(guide, last.guide) else None

    def masks(self, low: Tensor, hint: Tensor) -> tuple[Tensor, Tensor] | None:
        """The last coarse and unified masks (1, 1, h, w), where nothing moved since; never
        twice: every second frame has masks of its own."""
        masks, self._masks = self._masks, None
        if masks is None or change(low, self._low) > MOVED:
            return None
        return None if change(hint, self._hint) > HINT_MOVED else masks

    def keep(
        self, low: Tensor, hint: Tensor, masks: tuple[Tensor, Tensor], matte: HostMatte
    ) -> None:
        """Of a frame that had masks of its own. `low` may be overwritten afterwards."""
        self._low, self._hint = low.copy(), hint
        self._masks, self._matte = masks, matte


def change(one: Tensor, other: Tensor) -> float:
    """The most that the mean of a block differs, of (1, C, h, w) in [0, 1]."""
    _, channels, height, width = one.shape
    blocks = (channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float(np.abs((one - other).reshape(blocks).mean((2, 4))).max())
