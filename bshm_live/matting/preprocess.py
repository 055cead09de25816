"""Picture to tensor and back; the only place where BGR becomes RGB."""

from __future__ import annotations

import cv2
import numpy as np

from ..kernels.call import (
    Prepare,
    Scratch,
    address,
    prepare_once,
    rows_address,
    run,
    sides_of,
)
from ..types import Hint, Picture, Shape, Size, Tensor

LEVELS = 255.0
REFINED = 4  # the high size is four times the low one


class Preprocessor:
    """Pictures of any size to the two tensors of one preset.

    `low` is (h, w); the high size is (4h, 4w). The tensors' memory is reused:
    what `__call__` returned is overwritten by the next call. `threads` 0: all cores.
    """

    def __init__(self, low: Shape, high: Shape, threads: int = 0) -> None:
        self._threads = threads
        self.high_size = (high[1], high[0])
        self._low = np.empty((1, 3, *low), np.float32)
        self._high = np.empty((1, 3, *high), np.float32)
        self._resizer: Resizer | None = None

    def __call__(self, picture: Picture) -> tuple[Tensor, Tensor, Picture]:
        """(H, W, 3) BGR to low (1, 3, h, w) and high (1, 3, 4h, 4w), RGB in [0, 1].

        The third is the high one as a picture, new each time.
        """
        if self._resizer is None or self._resizer.shape != picture.shape:
            self._resizer = Resizer(
                picture.shape, self.high_size, self._high, self._low, self._threads
            )
        return self._low, self._high, self._resizer(picture)


class Resizer:
    """Pictures of one size (H, W, 3) to another, (width, height); see `resized`.

    What becomes of a picture goes also to the tensors, where they are given: `high`
    (1, 3, height, width) and `low`, a fourth of it each way. Memory is used again.
    """

    def __init__(
        self,
        shape: Shape,
        size: Size,
        high: Tensor | None = None,
        low: Tensor | None = None,
        threads: int = 0,
    ) -> None:
        self._threads = threads
        (height, width, _), (wide, tall) = shape, size
        x, y = halvings(width, wide), halvings(height, tall)
        self.shape, self._size = shape, size
        self._sides = sides_of(wide)
        row = 3 * width  # of a picture; two of each size, and one of sums
        self._scratch = Scratch(2 * row + 6 * wide + max(x, y) * (2 + 4) * row + 32)
        self._arguments = Prepare(
            high=address(high, (1, 3, tall, wide), np.float32),
            low=address(low, (1, 3, tall // REFINED, wide // REFINED), np.float32),
            sides=self._sides.ctypes.data,
            scratch=self._scratch.address,
            lane_bytes=self._scratch.lane_bytes,
            width=width,
            height=height,
            wide=wide,
            tall=tall,
            halved_x=x,
            halved_y=y,
        )
        prepare_once("prepare_sides", self._arguments)

    def __call__(self, picture: Picture) -> Picture:
        """A new picture."""
        wide, tall = self._size
        out: Picture = np.empty((tall, wide, 3), np.uint8)
        arguments = self._arguments
        arguments.picture, arguments.stride = rows_address(picture, self.shape)
        arguments.guide = out.ctypes.data
        run("prepare", arguments, -(-tall // REFINED), self._threads)
        return out


def halvings(length: int, target: int) -> int:
    """How often a side is halved: while it is twice too long."""
    times = 0
    while length >> times >= 2 * target:
        times += 1
    return times


def resized(picture: Picture, size: Size) -> Picture:
    """To (width, height): halved while twice too large, then bilinear.

    Free of aliasing like area averaging, whose odd ratios take ten times as long.
    A picture of that size already comes back itself.
    """
    return picture if picture.shape[1::-1] == size else Resizer(picture.shape, size)(picture)


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
