"""Pictures turned, scaled and moved: where each of their points goes is a matrix (2, 3).

Points are x, y from the upper left corner of the picture, not from a pixel's centre.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Size

Matrix = NDArray[np.float64]


def sampled(
    layer: NDArray[Any],
    matrix: Matrix,
    size: Size,
    *,
    border: float = 0,
    method: int = cv2.INTER_CUBIC,
) -> NDArray[Any]:
    """A layer (H, W) or (H, W, C) as `size` (width, height) has it; `border` beyond its edges.

    What shrinks is averaged first.
    """
    scale = float(np.hypot(*matrix[:, 0]))
    matrix = matrix.copy()
    if scale < 1:
        height, width = layer.shape[:2]
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        layer = cv2.resize(layer, small, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= np.array(small) / np.array([width, height])
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # OpenCV counts from pixels' centres
    return cv2.warpAffine(layer, matrix, size, flags=method, borderValue=(border,) * 4)


def mapped(points: NDArray[Any], matrix: Matrix) -> NDArray[Any]:
    """Points (n, 2) through a matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]
