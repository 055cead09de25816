"""Where a matte says that heads are: what is uppermost of each person, down to the shoulders."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Alpha

SOLID = 0.5  # alpha of a place that counts
PERSON_LEAST = 0.004  # of the picture: what is less is no person,
OTHERS_LEAST = 0.15  # nor is what is less than so much of the largest one
# Shoulders begin where a body is so many times as wide as it was at this part of the way there
SHOULDERS, BEFORE = 1.6, 0.6
CHIN = 0.85  # of the way from the crown to the shoulders
NARROWEST, WIDEST = 1.05, 1.7  # of a head's width: its length


class HeadPlace(NamedTuple):
    """A head's middle `x`, its `crown` and its `length` down to the chin, in shares.

    Of the picture's width, its height and its height.
    """

    x: float
    crown: float
    length: float


def heads_by_outline(alpha: Alpha, aspect: float) -> list[HeadPlace]:
    """The heads of a matte (h, w) of a picture `aspect` times as wide as high, largest body first.

    A hand that is held above a head is taken for it.
    """
    solid = (alpha > SOLID).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    if count < 2:
        return []
    areas = stats[1:, cv2.CC_STAT_AREA]
    least = max(PERSON_LEAST * alpha.size, OTHERS_LEAST * float(areas.max()))
    bodies = [int(label) + 1 for label in np.argsort(-areas) if areas[label] >= least]
    return [_head_of(labels == label, stats[label], aspect) for label in bodies]


def _head_of(body: NDArray[np.bool_], box: NDArray[np.int32], aspect: float) -> HeadPlace:
    """The head of one body (h, w) in its box (x, y, width, height, area)."""
    left, top, width, height = (int(side) for side in box[:4])
    tall, wide = body.shape
    part = body[top : top + height, left : left + width]
    widths = part.sum(1) / wide * aspect  # in the picture's height
    lines = np.arange(height)
    above = widths[(BEFORE * lines).astype(int)]
    # So near to the crown a head itself becomes broader as fast.
    below = lines / tall > NARROWEST * above
    broad = np.flatnonzero((widths > SHOULDERS * above) & below)
    end = int(broad[0]) if len(broad) else height
    head_width = float(np.median(widths[: max(end, 1)]))
    length = CHIN * end / tall if len(broad) else WIDEST * head_width
    length = float(np.clip(length, NARROWEST * head_width, WIDEST * head_width))
    rows = part[: max(1, round(length * tall))]
    x = (left + 0.5 + float(np.nonzero(rows)[1].mean())) / wide
    return HeadPlace(x, top / tall, length)
