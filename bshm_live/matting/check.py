"""Whether a matte can be one at all."""

from __future__ import annotations

from math import isfinite

from ..errors import EngineError
from ..types import Matte

SLACK = 0.01  # rounding over the edge of a range
NUMBER_TEXT = "the networks gave a matte that is not a number: run engines verify"
FAULT_TEXT = "the networks gave a matte that cannot be one: run engines verify"


def check(matte: Matte) -> None:
    """Raises EngineError unless shapes fit and every value is a number in its range.

    What lies on a GPU was looked at there. A NaN anywhere is both the least and the most.
    """
    if (sound := matte.sound()) is not None:
        if not sound:
            raise EngineError(FAULT_TEXT)
        return
    small, large = matte.unified.shape, matte.alpha.shape
    shapes = (matte.coarse.shape, matte.residual.shape, matte.guide.shape)
    if (
        len(small) != 2
        or shapes != (small, (*small, 3), (*large, 3))
        or large != (4 * small[0], 4 * small[1])
    ):
        raise EngineError("the networks gave a matte of a wrong size: run engines verify")
    for part, least in (
        (matte.alpha, 0),
        (matte.residual, -1),
        (matte.unified, 0),
        (matte.coarse, 0),
    ):
        low, high = float(part.min()), float(part.max())
        if not (isfinite(low) and isfinite(high)):
            raise EngineError(NUMBER_TEXT)
        if low < least - SLACK or high > 1 + SLACK:
            raise EngineError("the networks gave a matte out of range: run engines verify")
