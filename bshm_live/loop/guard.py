"""What may leave: the one place that decides it.

A frame leaves with a valid matte of its own; any doubt shows the background
alone, or a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import EngineError

if TYPE_CHECKING:
    from ..types import Alpha, Layers, Mask8, Matte, Picture, Size

SLACK = 0.01  # rounding over the edge of a range
# Browsers give a camera a second; whoever was stopped or swapped out comes back later than that.
LATE_S = 1.0
# Of the picture: above it no room is seen at all, and a person so near cannot be told from
# networks that say yes to everything. It never leaves; nobody stays so near for long.
WHOLE = 0.995
# Of the picture, in a first matte, which has none before it to be compared with: a face
# before a laptop takes 0.2 to 0.5, one that leans in 0.8.
MOST = 0.9
# Of the picture, that turns to person from one matte to the next. A seated talker: 0.014 at
# most. Somebody who walks in or stands up close: about one picture a second, that is 0.03 at
# 30 frames/s and 0.2 at 5.
APPEARS = 0.2
# Frames for which a jump is held back: the third that says the same is believed. So a hand
# thrown before the lens, or another scene, blanks two frames.
HELD = 2
OUTPUT_GRID = 8  # composites on every eighth
OUTPUT_SLACK = 0.1  # of the picture: what fine edges may add to a matte's coverage

LATE_TEXT = (
    f"the networks took more than {LATE_S:g} s for a frame; try --preset fast or a smaller --size"
)
NUMBER_TEXT = "the networks gave a matte that is not a number: run engines verify"
FAULT_TEXT = "the networks gave a matte that cannot be one: run engines verify"
WHOLE_TEXT = "the matte takes the whole picture for a person; step back from the camera"
JUMP_TEXT = "the matte jumped; it is shown again once it is steady"
OUTPUT_TEXT = "the composite differs from its matte; run bshm-live engines verify"

CARD_TEXT = "Back in a moment"
CARD_GROUND, CARD_INK = (52, 44, 40), (214, 208, 204)  # BGR
CARD_SHARE = 0.5  # of the card's width


class Guard:
    """Lets mattes through, or says why not in `reason`.

    `strict` is for files, where a run can be repeated: errors are raised, and a
    matte may take its time and jump.
    """

    def __init__(self, *, strict: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self.strict, self._now = strict, now
        self.reason: str | None = None
        self.reset()

    def reset(self) -> None:
        """Forget: the next frame has nothing to do with the last."""
        self._left: Alpha | None = None  # of the last matte that left
        self._held: Alpha | None = None  # of the last that was held back for its jump
        self._count = 0

    def __call__(self, attempt: Callable[[], Matte]) -> Matte | None:
        """What `attempt` gives, or None where that must not leave."""
        start = self._now()
        try:
            matte = attempt()
            check(matte)
            if not self.strict:
                self._check_age(self._now() - start)
                self._check_coverage(matte)
        except EngineError as error:
            if self.strict:
                raise
            self.reason = str(error)
            return None
        self.reason = None
        return matte

    def composite(
        self, attempt: Callable[[], tuple[Layers, Picture]], matte: Matte
    ) -> Layers | None:
        """The layers that `attempt` gives beside their backdrop, or None, as above."""
        try:
            layers, backdrop = attempt()
        except EngineError as error:
            if self.strict:
                raise
            self.reason = str(error)
            return None
        return layers if self.passes(layers[0], layers[1], matte, backdrop) else None

    def passes(self, composite: Picture, alpha: Mask8, matte: Matte, backdrop: Picture) -> bool:
        """Whether a composite shows the backdrop wherever its matte says so.

        composite, backdrop (H, W, 3) and alpha (H, W) as the compositor made it.
        """
        some = np.s_[::OUTPUT_GRID, ::OUTPUT_GRID]
        levels = alpha[some]
        room = levels == 0
        same = (composite[some] == backdrop[some])[room].all()
        more = float(levels.mean()) / 255 - float(matte.sparse().mean())
        if self.strict or (same and more <= OUTPUT_SLACK):
            return True
        self.reason = OUTPUT_TEXT
        return False

    def _check_age(self, seconds: float) -> None:
        """A matte that comes late belongs to a frame that is too old."""
        if seconds > LATE_S:
            raise EngineError(LATE_TEXT)

    def _check_coverage(self, matte: Matte) -> None:
        """Holds back a matte that nobody can have walked to since the last one."""
        seen = matte.sparse().copy()
        if not np.isfinite(seen.sum()):
            raise EngineError(NUMBER_TEXT)
        if seen.mean() > WHOLE:
            raise EngineError(WHOLE_TEXT)
        if jumps(seen, self._left):
            again = self._held is not None and not jumps(seen, self._held)
            self._count = self._count + 1 if again else 1
            self._held = seen
            if self._count <= HELD:
                raise EngineError(JUMP_TEXT)
        self._left, self._held, self._count = seen, None, 0


def jumps(alpha: Alpha, last: Alpha | None) -> bool:
    """Whether more turned to person than can have come by itself; None: nothing is known.

    What turns to background is no danger, and counts not.
    """
    if last is None or last.shape != alpha.shape:
        return bool(alpha.mean() > MOST)
    return bool(np.maximum(alpha - last, 0).mean() > APPEARS)


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


def card(size: Size, text: str = CARD_TEXT) -> Picture:
    """A plain picture (H, W, 3) with a short text in its middle."""
    width, height = size
    picture = np.full((height, width, 3), CARD_GROUND, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, _), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = CARD_SHARE * width / wide
    thick = max(1, round(2 * scale))
    (wide, high), _ = cv2.getTextSize(text, font, scale, thick)
    corner = ((width - wide) // 2, (height + high) // 2)
    cv2.putText(picture, text, corner, font, scale, CARD_INK, thick, cv2.LINE_AA)
    return picture
