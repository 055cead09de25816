"""Pixels picked out of a picture, many at once: where they are, what lies there, and back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Picture, Size

LEVELS = 255
REMAP_ROW = 1 << 10  # cv2.remap takes no row longer than 32767


def places(size: Size) -> NDArray[np.uint32]:
    """Of each pixel its x and y, two uint16 as one item: (H * W,)."""
    width, height = size
    pairs = np.empty((height, width, 2), np.uint16)
    pairs[..., 0] = np.arange(width)
    pairs[..., 1] = np.arange(height)[:, None]
    return pairs.view(np.uint32).reshape(-1)


def whole_rows(at: NDArray[np.intp]) -> NDArray[np.intp]:
    """As many as fill rows of REMAP_ROW: the last one is done again and again."""
    return np.pad(at, (0, -len(at) % REMAP_ROW), mode="edge")


def repeat3(x: NDArray[np.generic]) -> NDArray[np.float32]:
    """(N,) to (N, 3), each value three times; arrays of one shape are computed faster."""
    return cv2.cvtColor(x.reshape(-1, REMAP_ROW), cv2.COLOR_GRAY2BGR).reshape(-1, 3)


def scatter(picture: Picture, at: NDArray[np.intp], colours: NDArray[np.uint8]) -> None:
    """picture[at] = colours, flat indices and (N, 3); a pixel moved as one item is faster."""
    np.put(picture.reshape(-1).view("V3"), at, np.ascontiguousarray(colours).reshape(-1).view("V3"))


def pairs(x: float, y: float) -> NDArray[np.float32]:
    """A row of REMAP_ROW pairs: short rows are slow."""
    return np.tile(np.array([x, y], np.float32), REMAP_ROW)


def clipped(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x itself, cut to [0, 255]."""
    return np.clip(x, 0, LEVELS, out=x)


def sample(x: NDArray[np.float32], where: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear values (N[, C]) of x (h, w[, C]) at places (x, y), pixel centres at .5.

    `where` holds N pairs in rows of REMAP_ROW.
    """
    grid = (where - np.float32(0.5)).reshape(-1, REMAP_ROW, 2)
    values = cv2.remap(x, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(-1, *x.shape[2:])
