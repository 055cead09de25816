"""Picture to tensor and back; the only place where BGR becomes RGB."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Hint, Picture, Shape, Tensor

LEVELS = 255.0


class Preprocessor:
    """Pictures of any size to the two tensors of one preset.

    `low` is (h, w); the high size is (4h, 4w). The tensors' memory is reused:
    what `__call__` returned is overwritten by the next call.
    """

    def __init__(self, low: Shape, high: Shape) -> None:
        self.low_size = (low[1], low[0])
        self.high_size = (high[1], high[0])
        self._low = np.empty((1, 3, *low), np.float32)
        self._high = np.empty((1, 3, *high), np.float32)

    def __call__(self, picture: Picture) -> tuple[Tensor, Tensor, Picture]:
        """(H, W, 3) BGR to low (1, 3, h, w) and high (1, 3, 4h, 4w), RGB in [0, 1].

        The third is the high one as a picture, new each time.
        """
        large = resized(picture, self.high_size)
        if large is picture:  # the source may reuse its memory
            large = picture.copy()
        small = cv2.resize(large, self.low_size, interpolation=cv2.INTER_AREA)
        planes(large, self._high)
        planes(small, self._low)
        return self._low, self._high, large


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """To (width, height): halved while twice too large, then bilinear.

    Free of aliasing like area averaging, whose odd ratios take ten times as long.
    """
    height, width = picture.shape[:2]
    while width >= 2 * size[0] or height >= 2 * size[1]:  # a panorama in one direction only
        width = width // 2 if width >= 2 * size[0] else width
        height = height // 2 if height >= 2 * size[1] else height
        picture = averaged(picture, (width, height))
    if (width, height) == size:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def averaged(picture: Picture, size: tuple[int, int]) -> Picture:
    """To (width, height), half as large in one direction or both, each pixel a mean."""
    width, height = size
    if picture.shape[:2] != (height, 2 * width):
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    # The same levels, in half of the time that it takes where one side stays.
    pairs = cv2.filter2D(picture, -1, np.full((1, 2), 0.5, np.float32), anchor=(0, 0))
    return cv2.resize(pairs, size, interpolation=cv2.INTER_NEAREST)


def planes(picture: Picture, out: Tensor) -> None:
    """(H, W, 3) BGR uint8 into (1, 3, H, W) RGB float32 in [0, 1]."""
    for plane, channel in zip(out[0], cv2.split(picture)[::-1], strict=True):
        np.multiply(channel, np.float32(1 / LEVELS), out=plane, casting="unsafe")


def hint_tensor(hint: Hint | None, low: Shape) -> Tensor:
    """A mask (H, W) in [0, 1] as MPN's hint (1, 1, h, w), zeros for None.

    Raises TypeError for one that lies on a GPU.
    """
    if hint is None:
        return np.zeros((1, 1, *low), np.float32)
    if not isinstance(hint, np.ndarray):
        raise TypeError("a hint that lies on a GPU is for the networks on that GPU")
    small = cv2.resize(hint, (low[1], low[0]), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[None, None])


def colour_image(tensor: Tensor) -> Tensor:
    """(1, 3, H, W) RGB to a new (H, W, 3) BGR array, same range."""
    return np.ascontiguousarray(tensor[0, ::-1].transpose(1, 2, 0))
