"""The part of the camera's picture that is shown: cut to a thousandth of a pixel, and moved.

What was seen in another part before is moved along, so that it lies where it is seen now.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..kernels.call import Crop, Scratch, prepare_once, rows_address, run, sides_of
from ..types import Matrix, Picture, Size, Window

FEWER = 2.0  # times: a part that is so much larger than what is made of it is halved first


class Cropper:
    """Parts of pictures at one size (width, height); bilinear, by the formulas of `resized`.

    A part of that size whose corner lies on a pixel keeps its pixels as they are.
    """

    def __init__(self, size: Size, threads: int = 0) -> None:
        self.size, self._threads = size, threads
        self._sides = sides_of(size[0])
        self._scratch = Scratch(2 * 2 * 3 * size[0])  # two rows, 16 bits each
        self._arguments = Crop(
            sides=self._sides.ctypes.data,
            scratch=self._scratch.address,
            lane_bytes=self._scratch.lane_bytes,
            wide=size[0],
            tall=size[1],
        )

    def __call__(self, picture: Picture, window: Window) -> Picture:
        """A new picture. The window lies inside of this one."""
        (wide, tall), arguments = self.size, self._arguments
        picture, window = reduced(picture, window, self.size)
        arguments.height, arguments.width = picture.shape[:2]
        arguments.picture, arguments.stride = rows_address(picture, picture.shape)
        arguments.left, arguments.top = window.left, window.top
        arguments.scale_x, arguments.scale_y = window.width / wide, window.height / tall
        prepare_once("crop_sides", arguments)
        out: Picture = np.empty((tall, wide, 3), np.uint8)
        arguments.out = out.ctypes.data
        run("crop", arguments, tall, self._threads)
        return out


def reduced(layer: NDArray[Any], window: Window, size: Size) -> tuple[NDArray[Any], Window]:
    """A layer (H, W) or (H, W, C) halved while the window in it is twice as large as `size`."""
    while min(window.width / size[0], window.height / size[1]) >= FEWER:
        height, width = layer.shape[:2]
        half = (max(1, width // 2), max(1, height // 2))
        layer = cv2.resize(layer, half, interpolation=cv2.INTER_AREA)
        x, y = half[0] / width, half[1] / height
        sides = window.left * x, window.top * y, window.width * x, window.height * y
        window = Window(*sides, window.mirrored)
    return layer, window


def cut(layer: NDArray[Any], window: Window, size: Size) -> NDArray[Any]:
    """The same of a layer (H, W) of any kind; slower, and exact to a 32nd of a pixel."""
    layer, window = reduced(layer, window, size)
    scale = np.array([size[0] / window.width, size[1] / window.height])
    offset = 0.5 * scale - 0.5 - scale * [window.left, window.top]
    matrix = np.column_stack((np.diag(scale), offset))
    return cv2.warpAffine(layer, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def change(before: Window | None, now: Window | None) -> Matrix | None:
    """Where the points of what was shown lie in what is shown; both 1 wide and 1 high.

    None where that is the same place, or is not known.
    """
    if before is None or now is None or before == now:
        return None
    x, y = before.width / now.width, before.height / now.height
    left = (before.left - now.left) / now.width
    top = (before.top - now.top) / now.height
    if before.mirrored:  # u of the picture that is not mirrored is 1 - u
        x, left = -x, left + x
    if now.mirrored:
        x, left = -x, 1 - left
    return np.array([[x, 0, left], [0, y, top]])


def moved(layer: NDArray[Any], matrix: Matrix, *, method: int = cv2.INTER_LINEAR) -> NDArray[Any]:
    """A layer (H, W) or (H, W, C) after a `change`; edges are repeated where nothing is known."""
    return _warped(layer, matrix, method, cv2.BORDER_REPLICATE)


def was_seen(size: Size, matrix: Matrix) -> NDArray[np.bool_]:
    """Which places of a grid (width, height) were in the picture before a `change`, (H, W)."""
    before = np.ones(size[::-1], np.float32)
    return _warped(before, matrix, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT) > 0


def _warped(layer: NDArray[Any], matrix: Matrix, method: int, border: int) -> NDArray[Any]:
    size = layer.shape[1::-1]
    matrix = matrix.copy()
    matrix[:, 2] *= size
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # OpenCV counts from pixels' centres
    return cv2.warpAffine(layer, matrix, size, flags=method, borderMode=border)
