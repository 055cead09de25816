"""Whether a matte can be one at all."""

from __future__ import annotations

import numpy as np

from ..errors import EngineError
from ..types import Matte

SLACK = 0.01  # rounding over the edge of a range
NUMBER_TEXT = "the networks gave a matte that is not a number: run engines verify"
FAULT_TEXT = "the networks gave a matte that cannot be one: run engines verify"


def check(matte: Matte) -> None:
    """Raises EngineError unless shapes fit and every value is a number in its range.

    What lies on a GPU was looked at there. The sum is enough to see a NaN or an
    infinity anywhere: both survive it.
    """
    if (sound := matte.sound()) is not None:
        if not sound:
            raise EngineError(FAULT_TEXT)
        return
    low, high = matte.unified.shape, matte.alpha.shape
    shapes = (matte.coarse.shape, matte.residual.shape, matte.guide.shape)
    if len(low) != 2 or shapes != (low, (*low, 3), (*high, 3)) or high != (4 * low[0], 4 * low[1]):
        raise EngineError("the networks gave a matte of a wrong size: run engines verify")
    ranges = ((matte.alpha, 0), (matte.residual, -1), (matte.unified, 0), (matte.coarse, 0))
    if not all(np.isfinite(part.sum()) for part, _ in ranges):
        raise EngineError(NUMBER_TEXT)
    if any(part.min() < least - SLACK or part.max() > 1 + SLACK for part, least in ranges):
        raise EngineError("the networks gave a matte out of range: run engines verify")
