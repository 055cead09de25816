"""The person stands small at a place of the background, as a presenter before slides."""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import SettingsError
from ..matting.window import Cropper, cut
from ..types import Layers, Mask8, Picture, Place, Size, Window
from .framing import STEP_MOST_S, Follower, Vector

SOLID = 255
LEAST = 32  # pixels: the height of a person who stands somewhere


class Placer:
    """Moves layers of one size to a place in it, softly where that changes.

    They are taken over `black`: there a composite is the person's colour times alpha, which
    can be scaled as it is.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        width, height = size
        self.black: Picture = np.zeros((height, width, 3), np.uint8)
        self._composite, self._foreground = np.empty_like(self.black), np.empty_like(self.black)
        self._alpha: Mask8 = np.empty((height, width), np.uint8)
        self._everywhere = np.array([width / 2 / height, 1.0, 1.0])
        self._follower = Follower(self._everywhere)
        self._time = 0.0

    def step(self, place: Place | None, time: float) -> bool:
        """Where the person stands in the frame of this `time`; False: in all of the picture."""
        wanted = self._everywhere
        if place is not None:
            wanted = np.array(place.pixels(self.size)) / self.size[1]
        seconds = min(max(0.0, time - self._time), STEP_MOST_S)
        self._time = time
        return not np.array_equal(self._follower.step(wanted, seconds), self._everywhere)

    def jump(self, place: Place | None) -> None:
        """There at once: nothing was shown before."""
        if place is not None:
            self._follower = Follower(np.array(place.pixels(self.size)) / self.size[1])

    def __call__(self, layers: Layers, backdrop: Picture) -> Layers:
        """Layers over black, scaled and before `backdrop` (H, W, 3); valid until the next call."""
        composite, alpha, foreground = layers
        np.copyto(self._composite, backdrop)
        self._alpha[...] = 0
        rows, columns, window = self._part(self._follower.place)
        size = columns.stop - columns.start, rows.stop - rows.start
        if min(size) > 0:
            share: Mask8 = cut(alpha, window, size)
            three = cv2.merge([share] * 3)
            colour = cv2.min(Cropper(size)(composite, window), three)
            behind = backdrop[rows, columns]
            kept = cv2.multiply(behind, cv2.bitwise_not(three), scale=1 / SOLID)
            self._composite[rows, columns] = cv2.add(colour, kept)
            self._alpha[rows, columns] = share
        if foreground is None:
            return self._composite, self._alpha, None
        self._foreground[...] = 0
        if min(size) > 0:
            self._foreground[rows, columns] = straight(colour, share)
        return self._composite, self._alpha, self._foreground

    def _part(self, place: Vector) -> tuple[slice, slice, Window]:
        """Rows and columns of the output that the layers reach, and what of them lies there."""
        width, height = self.size
        x, y, tall = (place * height).tolist()
        wide = tall * width / height
        left, top = x - wide / 2, y - tall
        columns = slice(max(0, round(left)), min(width, round(left + wide)))
        rows = slice(max(0, round(top)), min(height, round(top + tall)))
        scale = height / tall
        across, down = columns.stop - columns.start, rows.stop - rows.start
        corner = (columns.start - left) * scale, (rows.start - top) * scale
        return rows, columns, Window(*corner, across * scale, down * scale)


def straight(colour: Picture, share: Mask8) -> Picture:
    """The colour that was multiplied with a share (H, W) of 255; black where that is 0."""
    weight = SOLID / np.maximum(share, 1).astype(np.float32)
    return np.minimum(np.rint(colour * weight[..., None]), SOLID).astype(np.uint8)


def check_place(place: Place, size: Size) -> Place:
    """The same, if an output of `size` has it. Raises SettingsError."""
    x, y, height = place.pixels(size)
    if not LEAST <= height <= size[1]:
        raise SettingsError(
            f"--place {place.text}: the height must be {LEAST} pixels to that of the "
            f"output, {size[1]}; try 40%"
        )
    if not (0 <= x <= size[0] and 0 < y <= size[1] + height / 2):
        raise SettingsError(
            f"--place {place.text}: not in the output, which is {size[0]}x{size[1]}; "
            "try 85%,100%,40%"
        )
    return place
