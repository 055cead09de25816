"""The part of the camera's picture that follows the people in it, as an operator would.

Where it should be is the rule of thirds; how it gets there is two low-pass filters in a row,
a critically damped motion that never leaves the picture and has a highest speed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..matting.head import Head
from ..matting.outline import SOLID, HeadPlace, heads_by_outline
from ..settings import Framing
from ..types import Alpha, Frame, Matte, Picture, Size, Window
from .fit import whole_window

# Of each framing: the head's length and the height of the eyes, in shares of the picture's height
SHOTS: dict[Framing, tuple[float, float]] = {
    "head": (0.42, 0.40),
    "half": (0.27, 1 / 3),
    "loose": (0.17, 1 / 3),
}
ZOOM_MOST = 2.5  # times
EYES = 0.5  # of the way from the crown to the chin
BESIDE = 1.3  # of a head's length: room that several people have on both sides
ABOVE = 0.06  # of the picture's height: over the highest of several heads
BELOW = 0.6  # of a head's length: under the lowest of several chins

# Times are in seconds of the frames' own clock, lengths in heights of the whole picture.
QUICKNESS = 4.0  # per second, of each of the two filters
SPEED = np.array([0.7, 0.7, 0.35])  # a second at most: left, top, height
# What the operator does not follow: of the window's own size, and of its zoom
DEAD, DEAD_ZOOM = 0.07, 1.15
CALM, CALM_ZOOM, CALM_SPEED = 0.02, 1.04, 0.05  # where he has arrived
# Over so long what is measured is a mean: where people are, how large, and how fast
MEAN_S = np.array([0.15, 0.15, 0.8])
VELOCITY_S = 0.35
JUMP = 0.12  # from one look to the next: no walk, somebody else
EXACT = 2e-5  # nearer than this it is there
STEP_MOST_S = 0.25  # what came between longer pauses is not made up for
COUNT_S, GONE_S = 0.7, 2.0  # so long there must be more or fewer people, or nobody
LOOK_S, LOOK_OFTEN_S = 0.4, 0.2  # between two looks for heads: at rest, and on the way
HEADS_S = 1.2  # heads that are not found again are believed for so long
NO_HEAD_S = 60.0  # so is what looked like one and was no person
log = logging.getLogger(__name__)
Vector = NDArray[np.float64]
Finder = Callable[[Picture], Sequence[Head]]


class Follower:
    """Left, top and height of a window on their way: y follows what is wanted, x follows y.

    y' = w (wanted - y), but no component faster than `speed`; x' = w (y - x). Both are means
    of what was wanted, so x never leaves a convex region that all of that lies in. x's speed
    is `speed` at most, its acceleration 2 w `speed`, whatever is wanted and when.
    """

    def __init__(self, start: Vector) -> None:
        self.place = start.copy()
        self._leader = start.copy()

    @property
    def velocity(self) -> Vector:
        return QUICKNESS * (self._leader - self.place)

    def step(self, wanted: Vector, seconds: float) -> Vector:
        """Where it is `seconds` later; exact, however long they are."""
        way = wanted - self._leader
        takes = float((np.abs(way) / SPEED).max())  # at full speed
        fast = min(seconds, max(0.0, takes - 1 / QUICKNESS))
        if fast > 0:
            run = way / takes
            lag = run / QUICKNESS
            late = self.place - self._leader + lag
            self._leader = self._leader + run * fast
            self.place = self._leader - lag + late * exp(-QUICKNESS * fast)
        rest = seconds - fast
        fade, ahead = exp(-QUICKNESS * rest), self._leader - wanted
        self.place = wanted + (self.place - wanted + QUICKNESS * rest * ahead) * fade
        self._leader = wanted + ahead * fade
        if max(np.abs(self._leader - wanted).max(), np.abs(self.place - wanted).max()) < EXACT:
            self.place, self._leader = wanted.copy(), wanted.copy()
        return self.place


class Framer:
    """Where the window is in each frame. `size` is the output's, `find` finds heads.

    `window` gives it before the networks, `saw` is told the frame's matte behind them.
    Without `find` mattes alone say where people are.
    """

    def __init__(self, size: Size, find: Finder | None = None) -> None:
        self._size, self._aspect, self._find = size, size[0] / size[1], find
        self._home = Window(0, 0, *size)
        self.reset()

    def reset(self) -> None:
        """Forget: what comes has nothing to do with what was. The whole picture is shown."""
        self._window, self._picture = self._home, np.empty((0, 0, 3), np.uint8)
        self._follower = Follower(self._at_home())
        self._wanted = self._at_home()
        self._following = False
        self._shown: Vector | None = None  # what was measured, in the mean
        self._shown_at = 0.0
        self._velocity = np.zeros(2)  # of its middle
        self._count, self._other_since = 0, 0.0  # of people, and since when there are others
        self._time = 0.0
        self._heads: list[HeadPlace] = []  # found last, in pixels of the picture
        self._found_at = self._looked_at = -HEADS_S
        self._no_heads: list[tuple[HeadPlace, float]] = []  # and when that was seen

    def window(
        self, frame: Frame, framing: Framing | None, *, whole: bool = False, mirror: bool = False
    ) -> Window:
        """The part of this frame that is shown.

        Without a framing it goes back to the picture that fills the output, or is its `whole`.
        """
        home = whole_window(frame.image.shape[1::-1], self._size, whole=whole and not framing)
        if home != self._home:
            self._home = home
            self.reset()
        elapsed = min(max(frame.time - self._time, 0.0), STEP_MOST_S)
        self._time, self._picture = frame.time, frame.image
        if framing is None:
            self._wanted, self._following, self._count = self._at_home(), False, 0
        left, top, height = (self._follower.step(self._wanted, elapsed) * home.height).tolist()
        window = Window(left, top, self._aspect * height, height)
        if self.rests_at_home:
            window = home
        self._window = replace(window, mirrored=mirror)
        return self._window

    @property
    def rests_at_home(self) -> bool:
        """Whether the window is where it is without a framing."""
        return np.array_equal(self._follower.place, self._at_home())

    def saw(self, matte: Matte | None, framing: Framing, *, strict: bool = False) -> None:
        """The matte of the last frame, None where nobody was seen.

        `strict`: who is not in the matte is not meant.
        """
        heads = [] if matte is None else self._people(matte.sparse(), strict)
        if self._believed(len(heads)):
            wanted = self._shot(heads, framing) if heads else self._middle_of(self._at_home())
            self._follow(self._mean(wanted))

    # --- who is where ---

    def _people(self, alpha: Alpha, strict: bool) -> list[HeadPlace]:
        """Heads in pixels of the picture: those that are found, or else by the matte."""
        pause = LOOK_OFTEN_S if self._following else LOOK_S
        if self._find is not None and not 0 <= self._time - self._looked_at < pause:
            self._looked_at = self._time
            if heads := self._found():
                self._heads, self._found_at = heads, self._time
        if 0 <= self._time - self._found_at < HEADS_S:
            seen = [head for head in self._heads if self._is_person(head, alpha, strict)]
            if seen:
                return seen
        return [in_picture(head, self._window) for head in heads_by_outline(alpha, self._aspect)]

    def _found(self) -> list[HeadPlace]:
        """Those in the whole picture; none any more where that cannot be told."""
        assert self._find is not None
        try:
            return [place_of(head) for head in self._find(self._picture)]
        except EngineError as error:
            log.info(f"heads are found by the mattes alone: {error}")
            self._find = None
            return []

    def _is_person(self, head: HeadPlace, alpha: Alpha, strict: bool) -> bool:
        """By the matte, where it shows the head; elsewhere unless it was none before."""
        window = self._window
        across = (head.x - window.left) / window.width
        down = (head.crown + EYES * head.length - window.top) / window.height
        if 0 <= across < 1 and 0 <= down < 1:
            tall, wide = alpha.shape
            column = int((1 - across if window.mirrored else across) * wide)
            if alpha[int(down * tall), min(column, wide - 1)] > SOLID:
                return True
            self._no_heads = [*self._other_no_heads(head), (head, self._time)]
            return False
        return not strict and len(self._other_no_heads(head)) == len(self._no_heads)

    def _other_no_heads(self, head: HeadPlace) -> list[tuple[HeadPlace, float]]:
        """What looked like a head elsewhere, and not too long ago."""
        self._no_heads = [one for one in self._no_heads if self._time - one[1] < NO_HEAD_S]
        return [
            (one, time)
            for one, time in self._no_heads
            if abs(one.x - head.x) + abs(one.crown - head.crown) > head.length
        ]

    def _believed(self, count: int) -> bool:
        """Whether so many people are there for long enough."""
        if count == self._count:
            self._other_since = self._time
        elif not 0 <= self._time - self._other_since < (COUNT_S if count else GONE_S):
            self._count = count
        return count == self._count

    # --- where the window should be ---

    def _shot(self, heads: Sequence[HeadPlace], framing: Framing) -> Vector:
        """The rule of thirds for these heads, all of them in the picture; see `_middle_of`."""
        share, eyes_at = SHOTS[framing]
        height = float(np.mean([head.length for head in heads])) / share
        left = min(head.x - BESIDE * head.length for head in heads)
        right = max(head.x + BESIDE * head.length for head in heads)
        crown = min(head.crown for head in heads)
        chin = max(head.crown + (1 + BELOW) * head.length for head in heads)
        if len(heads) > 1:
            height = max(height, (right - left) / self._aspect, (chin - crown) / (1 - ABOVE))
        height = min(max(height, self._home.height / ZOOM_MOST), self._home.height)
        eyes = float(np.mean([head.crown + EYES * head.length for head in heads]))
        fills = max(head.length for head in heads) / height
        top = eyes - max(eyes_at, min(0.5, 0.5 * fills)) * height  # a head too large: its middle
        if fills < 1 - 2 * ABOVE:
            top = min(top, crown - ABOVE * height)
        if len(heads) > 1:
            top = max(top, chin - height)
        return np.array([(left + right) / 2, top + height / 3, height]) / self._home.height

    def _kept_in(self, shot: Vector) -> Vector:
        """The window in the picture that comes nearest: left, top and height."""
        x, eyes, height = shot.tolist()
        tall, wide = np.array(self._picture.shape[:2]) / self._home.height
        left = min(max(x - self._aspect * height / 2, 0.0), max(0.0, wide - self._aspect * height))
        top = min(max(eyes - height / 3, 0.0), max(0.0, tall - height))
        return np.array([left, top, height])

    def _at_home(self) -> Vector:
        home = self._home
        return np.array([home.left, home.top, home.height]) / home.height

    # --- how it gets there ---

    def _mean(self, shot: Vector) -> Vector:
        """What is measured, without its noise; minds its speed, in heights a second."""
        last, seconds = self._shown, self._time - self._shown_at
        self._shown_at = self._time
        if last is None or seconds < 0 or np.abs(shot[:2] - last[:2]).max() > JUMP:
            self._shown, self._velocity = shot, np.zeros(2)
        elif seconds > 0:
            self._shown = last + (1 - np.exp(-seconds / MEAN_S)) * (shot - last)
            new = (self._shown - last)[:2] / seconds
            share = 1 - exp(-seconds / VELOCITY_S)
            self._velocity = self._velocity + share * (new - self._velocity)
        assert self._shown is not None
        return self._shown

    def _follow(self, shot: Vector) -> None:
        """Wants the window there, unless it nearly wants that already and is at rest."""
        there = self._kept_in(shot)
        if not self._following:
            self._following = self._apart(self._wanted, there, DEAD, DEAD_ZOOM)
        if not self._following:
            return
        lead = np.append(self._velocity * (2 / QUICKNESS + MEAN_S[0]), 0.0)
        self._wanted = self._kept_in(shot + lead)
        calm = float(np.abs(self._velocity).max()) < CALM_SPEED
        if calm and not self._apart(self._follower.place, there, CALM, CALM_ZOOM):
            self._following, self._wanted = False, there

    def _middle_of(self, place: Vector) -> Vector:
        """Of a window its middle across, where a third of it ends, and its height."""
        left, top, height = place
        return np.array([left + self._aspect * height / 2, top + height / 3, height])

    def _apart(self, one: Vector, other: Vector, share: float, zoom: float) -> bool:
        """Whether two windows differ by more than a share of their size, or in zoom."""
        size = one[2] * np.array([self._aspect, 1.0])
        way = np.abs(self._middle_of(one) - self._middle_of(other))[:2] / size
        return bool(way.max() > share or not 1 / zoom < one[2] / other[2] < zoom)


def place_of(head: Head) -> HeadPlace:
    """In pixels, as the head."""
    return HeadPlace(float(head.middle[0]), float(head.crown[1]), head.length)


def in_picture(head: HeadPlace, window: Window) -> HeadPlace:
    """A head of what is shown, in pixels of the camera's picture."""
    x = 1 - head.x if window.mirrored else head.x
    crown, length = window.top + head.crown * window.height, head.length * window.height
    return HeadPlace(window.left + x * window.width, crown, length)
