"""A second look at people who fill little of a still: the networks once more, on them alone.

    first matte ▸ where somebody is ▸ the networks on that part ▸ both joined

Stretched to the networks' size, somebody far away is a few pixels high. A still has the time
for a second look; where it ends, the first matte goes on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Alpha, HostMatte, Matte, Picture, Size
from .preprocess import resized

CELL = 4  # pixels of alpha for one of the masks
SURE = 0.5  # alpha of somebody
MARGIN = 0.12  # of the person's box on each side: what the first look may have missed
LEAST = 8  # pixels of it
SPARE = 0.7  # a part that covers more of the picture shows hardly more than the first look
FEWEST = 1e-4  # of the picture: less is nobody
Box = tuple[int, int, int, int]  # x, y, width, height


def person_box(alpha: Alpha, size: Size) -> Box | None:
    """Where somebody is in a picture of `size`, with a margin; None: no second look."""
    sure = (alpha > SURE).astype(np.uint8)
    if sure.mean() <= FEWEST:
        return None
    x, y, width, height = cv2.boundingRect(sure)
    left, right = _wider(x, width, sure.shape[1], size[0])
    top, bottom = _wider(y, height, sure.shape[0], size[1])
    box = left, top, right - left, bottom - top
    return None if box[2] * box[3] > SPARE * size[0] * size[1] else box


def _wider(start: int, length: int, of: int, side: int) -> tuple[int, int]:
    """First and last of a side's pixels: a stretch of `of` places, with its margin."""
    low, high = start * side / of, (start + length) * side / of
    more = MARGIN * (high - low) + LEAST
    return max(0, int(low - more)), min(side, int(np.ceil(high + more)))


def joined(picture: Picture, first: Matte, second: Matte, box: Box) -> Matte:
    """The first matte of a BGR picture (H, W, 3), with that of the part `box` laid into it.

    As large as the part's detail asks for, at most as the picture or as the first one was.
    """
    size: Size = (picture.shape[1], picture.shape[0])
    across, down = (
        _cells(first.alpha.shape[1 - i], second.alpha.shape[1 - i] * size[i] / box[2 + i], size[i])
        for i in (0, 1)
    )
    whole: Size = (across * CELL, down * CELL)
    weights = {side: _weight(side, box, size) for side in (whole, (across, down))}

    def laid(low: NDArray[np.float32], high: NDArray[np.float32], side: Size) -> Alpha:
        out = cv2.resize(low, side)
        x, y, width, height = _scaled(box, size, side)
        part = np.s_[y : y + height, x : x + width]
        fine = cv2.resize(high, (width, height), interpolation=cv2.INTER_AREA)
        weight = weights[side].reshape(height, width, *[1] * (out.ndim - 2))
        out[part] += (fine - out[part]) * weight
        return out

    masks = (across, down)
    return HostMatte(
        laid(first.alpha, second.alpha, whole),
        laid(first.residual, second.residual, masks),
        laid(first.unified, second.unified, masks),
        laid(first.coarse, second.coarse, masks),
        resized(picture, whole),
    )


def _cells(before: int, wanted: float, side: int) -> int:
    return max(before, int(min(wanted, side))) // CELL


def _scaled(box: Box, size: Size, side: Size) -> Box:
    """The box on a picture of another size, at least a pixel wide."""
    x, y = (int(box[i] * side[i] / size[i]) for i in (0, 1))
    right, bottom = (
        max(start + 1, round((box[i] + box[2 + i]) * side[i] / size[i]))
        for i, start in ((0, x), (1, y))
    )
    return x, y, right - x, bottom - y


def _weight(side: Size, box: Box, size: Size) -> Alpha:
    """Of the second look (height, width): 0 at the box's edges inside the picture, soon 1."""
    x, y, width, height = _scaled(box, size, side)
    across = _ramp(width, x > 0, x + width < side[0])
    down = _ramp(height, y > 0, y + height < side[1])
    return np.outer(down, across)


def _ramp(length: int, fades_in: bool, fades_out: bool) -> NDArray[np.float32]:
    place = (np.arange(length, dtype=np.float32) + 0.5) / (MARGIN / 2 * length)
    ones = np.ones(length, np.float32)
    return np.minimum(
        np.minimum(place, 1) if fades_in else ones,
        np.minimum(place[::-1], 1) if fades_out else ones,
    )
