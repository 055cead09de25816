"""What may leave: the one place that decides it.

A frame leaves with a valid matte of its own; any doubt shows the background
alone, or a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EngineError
from ..matting.check import NUMBER_TEXT, check

if TYPE_CHECKING:
    from ..types import Alpha, Layers, Mask8, Matte, Picture

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
WHOLE_TEXT = "the matte takes the whole picture for a person; step back from the camera"
JUMP_TEXT = "the matte jumped; it is shown again once it is steady"
OUTPUT_TEXT = "the composite differs from its matte; run bshm-live engines verify"


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
