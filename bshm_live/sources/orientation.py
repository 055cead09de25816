"""Which way up a picture is: the eight turns and mirrors of a display matrix."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from av.buffer import Buffer
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

MATRIX_BYTES = 36  # nine integers of 32 bits: a b u, c d v, x y w


class Orientation(NamedTuple):
    """What takes a stored pixel (x, y) to its place as shown: x' = a x + c y, y' = b x + d y.

    Each is 1, -1 or 0; where the picture ends up is not part of it.
    """

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @property
    def sideways(self) -> bool:
        """Whether width and height change places."""
        return self.a == 0

    def then(self, other: Orientation) -> Orientation:
        """This one first, and then the other."""
        return Orientation(
            self.a * other.a + self.b * other.c,
            self.a * other.b + self.b * other.d,
            self.c * other.a + self.d * other.c,
            self.c * other.b + self.d * other.d,
        )

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W) or (H, W, C) as it is shown, C-contiguous."""
        if self.sideways:
            picture = cv2.transpose(picture)
        left, up = (self.c, self.b) if self.sideways else (self.a, self.d)
        if left > 0 and up > 0:
            return np.ascontiguousarray(picture)
        return cv2.flip(picture, -1 if left < 0 and up < 0 else int(left < 0))


UPRIGHT = Orientation()
MIRRORED = Orientation(a=-1)
TURNED = {  # degrees clockwise
    0: UPRIGHT,
    90: Orientation(0, 1, -1, 0),
    180: Orientation(-1, 0, 0, -1),
    270: Orientation(0, -1, 1, 0),
}


def orientation_of(frame: VideoFrame) -> Orientation:
    """The frame's own, of its container or of its H.264 or HEVC stream (SEI).

    Angles between the four right ones are taken for the nearest.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer) or matrix.buffer_size < MATRIX_BYTES:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:MATRIX_BYTES])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(0, sign(b), sign(c), 0)
    return Orientation(sign(a), 0, 0, sign(d))


def sign(value: int) -> int:
    return -1 if value < 0 else 1
