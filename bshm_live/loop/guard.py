"""What may leave: the one place that decides it.

A frame leaves with a valid matte of its own; any doubt shows the background
alone, or a card.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EngineError
from ..kernels.call import Spots, address, rows_address, run
from ..matting.check import NUMBER_TEXT, check
from .evidence import (
    Sighting,
    certainty,
    excess,
    known,
    rise,
    seen_from,
    sighting,
    torn,
    unseen,
)

if TYPE_CHECKING:
    from ..types import Alpha, Frame, Layers, Mask8, Matte, Picture

# Browsers give a camera a second; whoever was stopped or swapped out comes back later than that.
LATE_S = 1.0

# The rest are shares of the picture, and times in seconds of the frames' own clock. "People" are
# 34 clips of talkers and signers, and 72 scenes of somebody who comes, leans in or stands up;
# "rooms" are 60 empty ones, panned and shaken (python -m tools.evaluate.guard).

# Above it no room is seen at all, and a person so near cannot be told from networks that say
# yes to everything. It never leaves; nobody stays so near for long.
WHOLE = 0.995
# More than this leaves only where it came about step by step, by somebody who comes near: never
# as a first matte, and never by a jump, however long it lasts. A face before a laptop takes 0.2
# to 0.5, one that leans in 0.8.
MOST = 0.82
# Alpha beyond the networks' own masks: people 0.03 at most; a fault of the last network all of it.
EXCESS = 0.06
# Turned to person where the picture is as it was, against any matte of the last seconds: people
# 0.04 at most, who walk before a wall of their own colour.
UNSEEN = 0.07
MEMORY_S, MEMORY_STEP_S = 2.0, 0.25
# What may turn to person between two frames: who walks past or stands up close makes 1.1 pictures
# a second at most, and a matte flickers.
PACE, PACE_SLACK = 1.5, 0.06
PACE_MOST_S = 0.2  # a frame that comes later says no more
# Where no matte of the last seconds was more than this, one that is more is somebody new.
NOBODY = 0.006
# Somebody new, or a jump, is believed where MPN is sure of it: the mean of its mask is 0.87 and
# more on people, 0.85 and less on a room's false alarms. A jump must also last for a moment.
SURE, JUMP_S = 0.86, 0.06
# Less than this of somebody new is small: a towel or the back of a chair at the picture's edge
# may be as sure as a person so far away, up to 0.91. Then it must be sure for so long, each time
# anew, without a hint from its last matte; or surer than they. Who walks in is larger before.
SMALL, SURE_S, SURER = 0.06, 0.2, 0.95
# In bad light MPN may never be sure. Then it is believed once it has said the same for so long,
# each time anew; what is small, for longer. A room's false alarms end before.
DOUBT_S, SMALL_DOUBT_S = 1.0, 3.0
# Rows of another picture are let out where they stay as they are for so long: then it is no tear.
TORN_S = 0.2

OUTPUT_GRID = 8  # composites on every eighth
OUTPUT_SLACK = 0.1  # of the picture: what fine edges may add to a matte's coverage

LATE_TEXT = (
    f"the networks took more than {LATE_S:g} s for a frame; try --preset fast or a smaller --size"
)
WHOLE_TEXT = "the matte takes the whole picture for a person; step back from the camera"
EXCESS_TEXT = "the matte is more than its own masks; run bshm-live engines verify if it stays"
UNSEEN_TEXT = "the matte grew where the picture did not change; it is shown once somebody moves"
JUMP_TEXT = "the matte jumped; it is shown again once it is steady"
DOUBT_TEXT = "the networks are not sure of a person; more light helps"
TORN_TEXT = "a part of the picture belongs to another; check the camera's cable"
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
        self._left: deque[Sighting] = deque()  # what left in the last seconds, the newest last
        self._before: Sighting | None = None  # the last frame, whether it left or not
        self._held: Sighting | None = None  # the last that was held back for being new,
        self._held_since = 0.0  # and since when it has been the same,
        self._sure_since: float | None = None  # and sure
        self._torn_since: float | None = None

    def __call__(self, frame: Frame, attempt: Callable[[], Matte]) -> Matte | None:
        """What `attempt` gives for this frame, or None where that must not leave."""
        if frame.fault is not None:
            self.reset()
            self.reason = frame.fault
            return None
        start = self._now()
        held, self._held = self._held, None
        try:
            matte = attempt()
            check(matte)
            if not self.strict:
                self._check_age(self._now() - start)
                self._check_evidence(sighting(frame, matte), held)
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
        wrong, coverage = spots(composite, alpha, backdrop)
        more = coverage - float(matte.sparse().mean())
        if self.strict or (not wrong and more <= OUTPUT_SLACK):
            return True
        self.reason = OUTPUT_TEXT
        return False

    def _check_age(self, seconds: float) -> None:
        """A matte that comes late belongs to a frame that is too old."""
        if seconds > LATE_S:
            raise EngineError(LATE_TEXT)

    def _check_evidence(self, seen: Sighting, held: Sighting | None) -> None:
        """Holds back a matte that nothing speaks for. Raises EngineError."""
        if not np.isfinite(seen.alpha.sum()):
            raise EngineError(NUMBER_TEXT)
        past = [seen_from(one, seen.window) for one in self._left]
        before, self._before = self._before, seen
        if seen.coverage > WHOLE:
            raise EngineError(WHOLE_TEXT)
        if excess(seen) > EXCESS:
            raise EngineError(EXCESS_TEXT)
        self._check_tear(seen, before)
        if unseen(seen, past) > UNSEEN:
            raise EngineError(UNSEEN_TEXT)
        since = before.time if before else seen.time
        pace = PACE_SLACK + PACE * min(seen.time - since, PACE_MOST_S)
        self._check_rise(seen, held, past, pace)
        self._let_out(seen)

    def _check_tear(self, seen: Sighting, before: Sighting | None) -> None:
        """Rows of another picture, until they stay as they are."""

        def differs(one: Sighting) -> bool:
            return torn(seen, seen_from(one, seen.window, pixels=True))

        if before is None or not self._left or not differs(self._left[-1]):
            self._torn_since = None
            return
        if self._torn_since is None or differs(before):
            self._torn_since = seen.time
        if seen.time - self._torn_since < TORN_S:
            raise EngineError(TORN_TEXT)

    def _check_rise(
        self, seen: Sighting, held: Sighting | None, past: Sequence[Sighting], pace: float
    ) -> None:
        """Somebody new, or more than a body can do since the last frame."""
        new = rise(seen, known(past))
        somebody = any(one.coverage > NOBODY for one in past)
        if seen.coverage <= NOBODY or (somebody and new.mean() <= pace):
            return
        if seen.coverage > MOST:
            raise EngineError(WHOLE_TEXT)
        self._held = seen
        if held is None or rise(seen, seen_from(held, seen.window).alpha).mean() > pace:
            self._held_since, self._sure_since = seen.time, None
        lasted = seen.time - self._held_since
        if self._doubtful(seen, new, lasted):
            raise EngineError(DOUBT_TEXT)
        if past and new.mean() > pace and lasted < JUMP_S:
            raise EngineError(JUMP_TEXT)
        self._held = None

    def _doubtful(self, seen: Sighting, new: Alpha, lasted: float) -> bool:
        """Whether MPN is not sure of what is new, or not yet for long enough."""
        sure, small = certainty(seen, new), new.mean() < SMALL
        if sure < SURE:
            self._sure_since = None
            return lasted < (SMALL_DOUBT_S if small else DOUBT_S)
        if self._sure_since is None:
            self._sure_since = seen.time
        return bool(small and sure < SURER and seen.time - self._sure_since < SURE_S)

    def _let_out(self, seen: Sighting) -> None:
        """Remembers what leaves: the last, and of those before it one in a while."""
        left = self._left
        if len(left) > 1 and left[-1].time - left[-2].time < MEMORY_STEP_S:
            left.pop()
        left.append(seen)
        while seen.time - left[0].time > MEMORY_S:
            left.popleft()


def spots(composite: Picture, alpha: Mask8, backdrop: Picture) -> tuple[int, float]:
    """How many of the pixels that are looked at have alpha 0 and do not show the backdrop, and
    the mean alpha of all of them, of 1."""
    height, width = alpha.shape
    found, alpha = np.zeros(2, np.uint64), np.ascontiguousarray(alpha)
    arguments = Spots(
        alpha=address(alpha, (height, width), np.uint8),
        found=found.ctypes.data,
        width=width,
        step=OUTPUT_GRID,
    )
    shape = (height, width, 3)
    arguments.composite, arguments.composite_stride = rows_address(composite, shape)
    arguments.back, arguments.back_stride = rows_address(backdrop, shape)
    rows, columns = -(-height // OUTPUT_GRID), -(-width // OUTPUT_GRID)
    run("spots", arguments, rows, threads=1)
    return int(found[0]), float(found[1]) / (255 * rows * columns)
