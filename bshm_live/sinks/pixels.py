"""BGR pictures as the bytes that cameras carry: the one place where output pixels are converted.

What is YCbCr is BT.601 in limited range, at every size: that is what browsers and calls
take every camera for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..types import Size

if TYPE_CHECKING:
    from ..types import Picture


@dataclass(frozen=True)
class PixelFormat:
    """One way to lay out a picture whose width and height are even.

    `fourcc` is its name in V4L2, `spa` its number in PipeWire; a row of a picture of
    width w is w * `row` bytes, and there are h * `rows` rows, those of all planes together.
    """

    name: str
    fourcc: str
    spa: int
    row: int
    rows: float
    convert: Callable[[Picture, Picture], None]

    def stride(self, size: Size) -> int:
        """Bytes from one row to the next."""
        return size[0] * self.row

    def empty(self, size: Size) -> Picture:
        """Room for one picture."""
        return np.zeros((int(size[1] * self.rows), self.stride(size)), np.uint8)


def _i420(picture: Picture, out: Picture) -> None:
    cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420, dst=out)


def _nv12(picture: Picture, out: Picture) -> None:
    height, width = picture.shape[:2]
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    out[:height] = planes[:height]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    cv2.merge(tuple(chroma), dst=out[height:].reshape(height // 2, width // 2, 2))


def _yuyv(picture: Picture, out: Picture) -> None:
    cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_YUYV, dst=out.reshape(*picture.shape[:2], 2))


def _bgrx(picture: Picture, out: Picture) -> None:
    cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA, dst=out.reshape(*picture.shape[:2], 4))


I420 = PixelFormat("I420", "YU12", 2, 1, 1.5, _i420)
YUYV = PixelFormat("YUYV", "YUYV", 4, 2, 1, _yuyv)
NV12 = PixelFormat("NV12", "NV12", 23, 1, 1.5, _nv12)
BGRX = PixelFormat("BGRx", "XR24", 8, 4, 1, _bgrx)
BY_NAME = {found.name: found for found in (I420, YUYV, NV12)}
