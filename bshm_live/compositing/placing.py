"""The person stands small at a place of the background, as a presenter before slides."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np

from ..errors import SettingsError
from ..matting.window import FEWER, Cropper, cut
from ..types import Layers, Mask8, Picture, Place, Size, Window
from .framing import STEP_MOST_S, Follower

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
        self._alpha: Mask8 = np.zeros((height, width), np.uint8)
        self._covered = np.s_[:0, :0]  # what was written of alpha
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
        self._alpha[self._covered] = 0
        x, y, wide, tall = self._around(cv2.boundingRect(alpha))
        rows, columns, window = self._part(x, y, wide, tall)
        size = columns.stop - columns.start, rows.stop - rows.start
        self._covered = place = np.s_[rows, columns]
        if min(size) > 0:
            own = np.s_[y : y + tall, x : x + wide]
            share: Mask8 = cut(alpha[own], window, size)
            three = cv2.merge([share] * 3)
            colour = cv2.min(Cropper(size)(composite[own], window), three)
            kept = cv2.multiply(backdrop[place], cv2.bitwise_not(three), scale=1 / SOLID)
            self._composite[place] = cv2.add(colour, kept)
            self._alpha[place] = share
        if foreground is None:
            return self._composite, self._alpha, None
        self._foreground[...] = 0
        if min(size) > 0:
            self._foreground[place] = straight(colour, share)
        return self._composite, self._alpha, self._foreground

    def _around(self, box: Sequence[int]) -> tuple[int, int, int, int]:
        """A box of the layers and what is scaled together with its edges: x, y, width, height.

        What is halved before it is scaled begins at whole pairs of pixels.
        """
        scale, step = 1 / self._follower.place[2], 1
        while scale >= FEWER * step:
            step *= 2
        margin = step * (2 + ceil(scale / step))
        ends = []
        for start, length, side in zip(box[:2], box[2:], self.size, strict=True):
            first = max(0, (start - margin) // step * step)
            ends.append((first, min(side, -(-(start + length + margin) // step) * step) - first))
        (x, wide), (y, tall) = ends
        return x, y, wide, tall

    def _part(self, x: int, y: int, wide: int, tall: int) -> tuple[slice, slice, Window]:
        """Rows and columns of the output that a box of the layers reaches, and what of the box
        lies there."""
        width, height = self.size
        middle, foot, share = self._follower.place.tolist()
        scale = 1 / share
        left = middle * height + (x - width / 2) / scale
        top = foot * height + (y - height) / scale
        columns = slice(max(0, round(left)), min(width, round(left + wide / scale)))
        rows = slice(max(0, round(top)), min(height, round(top + tall / scale)))
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
